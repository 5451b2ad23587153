"""Make the tiny pretrained base that `astra demo` starts from: astra_train/policies/tiny_base (a few MB).

    astra synthesize tables -n 4000 --max-hops 2 --seed 11 -o base.jsonl
    python examples/make_tiny_base.py base.jsonl -o astra_train/policies/tiny_base --minutes 22

The base has read text, not conversations: questions with the signatures of their tools, records of which fields are
then recalled, names picked out of sentences, tool names spelt as words. It has never seen a tool call, a tool's result
or an answer. What the demo holds out (entities by the split of `astra data`, seed 0) is left out here as well, of the
tokenizer's training too.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from transformers import Qwen3ForCausalLM

from astra_gym.suite import open_suite
from astra_gym.types import ToolEnvSpec
from astra_train.chat_tokens import ChatTokens
from astra_train.data.content import content_of
from astra_train.data.split import split_contents
from astra_train.demo import HELD_OUT, READ_FILE
from astra_train.policies.copying import install_copying
from astra_train.policies.portable import make_portable
from astra_train.policies.tiny import TinyShape, tiny_config, tiny_tokenizer

SPLIT_SEED = 0
SYLLABLES = tuple(
    "ka lo mi ra ton bel vis qua ner dor sha pi zu gan el or tri ven mar hu".split()  # noqa: SIM905
    + "ster ing wood ley burg an do ri".split()  # noqa: SIM905
)
REAL_NAMES, SYLLABLE_NAMES = 0.2, 0.3
"""Shares of real names and of those made of syllables among the names to be recalled; the rest are tokens drawn at
random. Made-up ones cannot be learned by heart, only copied."""
JOINTS = ("and", "or", "than", "between", "of", "from", "with", "near", "in", "after")


def training_specs(path: str) -> list[ToolEnvSpec]:
    """The specs of the suite that hold nothing of what the demo measures on."""
    specs = {spec.id: spec for spec in open_suite(path)}
    split = split_contents(map(content_of, specs.values()), validation=HELD_OUT, seed=SPLIT_SEED)
    return [specs[spec_id] for spec_id in split.train]


def entities_of(specs: list[ToolEnvSpec]) -> list[str]:
    """What the questions name, folded: the demo measures on nothing of it."""
    return sorted({text for spec in specs for text in content_of(spec).entities})


class Texts:
    """Documents of six kinds, without end."""

    def __init__(self, specs: list[ToolEnvSpec], seed: int, pieces: Sequence[str] = ()) -> None:
        self.random = random.Random(seed)
        self.specs = specs
        self.pieces = pieces
        """Letters that the tokenizer writes as one token."""
        self.entities = sorted({text for spec in specs for text in _literals(spec)})
        tools = {tool.name: tool for spec in specs for tool in spec.tools}
        self.names = sorted(tools)
        self.fields = sorted({name for tool in tools.values() for name in tool.parameters["properties"]})

    def name(self) -> str:
        r = self.random
        kind = r.random()
        if kind < REAL_NAMES:
            return r.choice(self.entities)
        if kind > REAL_NAMES + SYLLABLE_NAMES and self.pieces:
            words = ["".join(r.choices(self.pieces, k=r.randint(1, 3))) for _ in range(r.choice((1, 1, 2, 3)))]
            return " ".join(word.capitalize() if r.random() < 0.8 else word for word in words)
        words = ["".join(r.choice(SYLLABLES) for _ in range(r.randint(2, 3))) for _ in range(r.randint(1, 2))]
        return " ".join(word.capitalize() for word in words)

    def value(self) -> str | int | float:
        r = self.random
        kind = r.random()
        if kind < 0.4:
            return self.name()
        return r.randint(0, 10 ** r.randint(1, 7)) if kind < 0.75 else round(r.uniform(-200, 9000), r.randint(1, 3))

    def records(self) -> str:
        """Records, then some of their fields again."""
        r = self.random
        fields = r.sample(self.fields, r.randint(2, 4))
        rows = [{field: self.value() for field in fields} for _ in range(r.randint(2, 5))]
        lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows]
        for row in r.choices(rows, k=4):
            key, *others = r.sample(fields, len(fields))
            asked = {key: row[key], others[0]: row[others[0]]}
            lines.append(json.dumps(asked, ensure_ascii=False, separators=(",", ":")))
        return "\n".join(lines)

    def sentence(self) -> str:
        """A sentence with names in it, then the names as JSON."""
        r = self.random
        names = [self.name() for _ in range(r.randint(1, 3))]
        words = r.choice(self.names).replace("_", " ")
        text = f"{words} {r.choice(JOINTS)} " + f" {r.choice(JOINTS)} ".join(names)
        fields = r.sample(self.fields, len(names))
        picked = dict(zip(fields, names, strict=True))
        return f"{text}?\n" + json.dumps(picked, ensure_ascii=False, separators=(",", ":"))

    def spelling(self) -> str:
        names = self.random.sample(self.names, min(6, len(self.names)))
        return "\n".join(f"{name} {name.replace('_', ' ')}" for name in names)

    def question(self) -> str:
        """A question about other names than its own, then these names."""
        spec = self.random.choice(self.specs)
        text, names = spec.question, []
        for literal in dict.fromkeys(_literals(spec)):
            if literal in text:
                names.append(self.name())
                text = text.replace(literal, names[-1])
        return f"{text}\n{json.dumps(names, ensure_ascii=False, separators=(',', ':'))}"

    def echo(self) -> str:
        """A few names, twice."""
        line = " ".join(self.name() for _ in range(self.random.randint(2, 6)))
        return f"{line}\n{line}"

    def prompt(self) -> ToolEnvSpec:
        return self.random.choice(self.specs)


def _literals(spec: ToolEnvSpec) -> Iterator[str]:
    for sub in spec.sub_questions:
        if sub.call is not None:
            yield from (value for value in sub.call.arguments.values() if isinstance(value, str))


def documents(texts: Texts, chat: ChatTokens) -> Iterator[list[int]]:
    """Token ids of one document after another."""
    end = chat.tokenizer.convert_tokens_to_ids("<|endoftext|>")
    kinds = (
        (0.22, texts.echo),
        (0.4, texts.records),
        (0.6, texts.sentence),
        (0.95, texts.question),
        (1.0, texts.spelling),
    )
    while True:
        kind = texts.random.random()
        if kind < 0.15:
            spec = texts.prompt()
            ids = chat.initial([{"role": "user", "content": spec.question}], spec.tool_schemas)
        else:
            write = next(write for below, write in kinds if kind < below)
            text = write()
            ids = chat.tokenizer.encode(text, add_special_tokens=False)
        yield [*ids, end]


def batches(source: Iterator[list[int]], rows: int, length: int) -> Iterator[torch.Tensor]:
    """Documents one after another, cut into rows; shape (rows, length + 1)."""
    flat: list[int] = []
    while True:
        while len(flat) < rows * (length + 1):
            flat += next(source)
        yield torch.tensor(flat[: rows * (length + 1)]).view(rows, length + 1)
        flat = flat[rows * (length + 1) :]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    specs = training_specs(arguments.suite)
    texts = Texts(specs, arguments.seed)
    shape = TinyShape()
    corpus = [spec.question for spec in specs] + texts.names + [texts.records() for _ in range(500)]
    corpus += [json.dumps({"name": name, "arguments": {}}, separators=(",", ":")) for name in texts.names]
    tokenizer = tiny_tokenizer(corpus, shape.vocabulary, shape.context)
    written = (tokenizer.decode([token]).strip().lower() for token in range(len(tokenizer)))
    texts = Texts(specs, arguments.seed, sorted({piece for piece in written if piece.isalpha()}))
    chat = ChatTokens(tokenizer)
    model = Qwen3ForCausalLM(tiny_config(shape, tokenizer))
    install_copying(model)
    train(model, batches(documents(texts, chat), rows=16, length=224), arguments.minutes * 60)
    model.half().save_pretrained(arguments.output)
    tokenizer.save_pretrained(arguments.output)
    make_portable(arguments.output)
    (arguments.output / READ_FILE).write_text("\n".join(entities_of(specs)) + "\n", encoding="utf-8")


def train(model: Qwen3ForCausalLM, data: Iterator[torch.Tensor], seconds: float, rate: float = 2e-3) -> None:
    """AdamW with warm-up and a cosine to a tenth, over the time given."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    step_of = torch.compile(model)
    step_of(input_ids=(first := next(data)), labels=first).loss.backward()  # compiles, before the clock starts
    started = time.monotonic()
    step = 0
    while (share := (time.monotonic() - started) / seconds) < 1:
        batch = next(data)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 50) * (0.1 + 0.45 * (1 + math.cos(math.pi * share)))
        loss = step_of(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 25 == 0:
            print(f"step {step} tokens {step * batch.numel()} loss {loss.item():.3f} share {share:.2f}", flush=True)


if __name__ == "__main__":
    main()
