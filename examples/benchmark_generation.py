"""How fast is the generation engine beside `model.generate`? New tokens a second for the same batch, in one run.

    python examples/benchmark_generation.py                   # a 4-layer, 256-wide Qwen3: 128 episodes, 300-1500 tokens
    python examples/benchmark_generation.py --episodes 32 --threads 1

Three cases: prompts that have nothing in common, groups of eight with one prompt (as in GRPO), and three turns an
episode (each prompt is the last one, its answer and some new tokens). Each answer has `--new-tokens` tokens.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from astra_train.generation.engine import GenerationEngine
from astra_train.generation.sampling import Sampling

Prompts = list[list[int]]
VOCABULARY = 2048


def tiny_model(width: int, layers: int) -> Qwen3ForCausalLM:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        num_key_value_heads=max(1, width // 64),
        head_dim=32,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
    )
    return Qwen3ForCausalLM(config).eval()


def with_generate(model: Qwen3ForCausalLM, prompts: Prompts, new_tokens: int) -> Prompts:
    """The whole batch by transformers, padded on the left, log-probabilities by its own logits."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
    out = model.generate(
        input_ids=ids,
        attention_mask=mask,
        do_sample=True,
        top_k=0,
        min_new_tokens=new_tokens,
        max_new_tokens=new_tokens,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_logits=True,
    )
    new = out.sequences[:, longest:]
    torch.log_softmax(torch.stack(out.logits, 1), -1).gather(-1, new.unsqueeze(-1))
    return [row.tolist() for row in new]


def with_engine(engine: GenerationEngine, prompts: Prompts, new_tokens: int) -> Prompts:
    sampling = Sampling(max_tokens=new_tokens, stop_token_ids=())
    futures = [engine.submit(prompt, sampling, f"episode {i}") for i, prompt in enumerate(prompts)]
    return [future.result().token_ids for future in futures]


def seconds(answer: Callable[[Prompts], Prompts], prompts: Prompts, turns: int) -> float:
    """Time of so many turns; each adds the answer and 60 tokens of a tool's result."""
    start = time.perf_counter()
    for _ in range(turns):
        answers = answer(prompts)
        prompts = [p + a + [7] * 60 for p, a in zip(prompts, answers, strict=True)]
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("episodes", 128), ("new-tokens", 40), ("threads", 2), ("width", 256), ("layers", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = tiny_model(options.width, options.layers)
    draw = random.Random(0)
    distinct = [[draw.randrange(VOCABULARY) for _ in range(draw.randint(300, 1500))] for _ in range(options.episodes)]
    grouped = [prompt for prompt in distinct[::8] for _ in range(8)][: options.episodes]
    print(
        f"{options.episodes} episodes, {sum(map(len, distinct)) / options.episodes:.0f} prompt tokens each on average"
    )
    for case, prompts, turns in (("distinct", distinct, 1), ("groups of 8", grouped, 1), ("three turns", distinct, 3)):
        plain = seconds(lambda p: with_generate(model, p, options.new_tokens), prompts, turns)
        with GenerationEngine(
            tiny_model(options.width, options.layers),
            max_model_len=4096,
            max_batch=options.episodes,
            threads=options.threads,
        ) as engine:
            ours = seconds(lambda p: with_engine(engine, p, options.new_tokens), prompts, turns)
            reused = engine.stats.reused_tokens / engine.stats.prompt_tokens
        tokens = options.episodes * options.new_tokens * turns
        print(
            f"{case:12} generate {plain:6.1f} s ({tokens / plain:5.0f} tokens/s)   engine {ours:6.1f} s "
            f"({tokens / ours:5.0f} tokens/s, {reused:3.0%} of prompts reused)   {plain / ours:.1f} x"
        )


if __name__ == "__main__":
    main()
