"""Does what a policy learns on some envs help it on others? Agreement of policy gradients between batches of envs.

    python examples/gradient_agreement.py runs/demo0/sft_policy runs/demo0/held_out.jsonl --envs 64

Episodes are sampled at temperature 1 in groups, as GRPO does, and the gradient of the expected reward is taken for
several batches of envs. Its cosine between batches is the share of a batch's gradient that is common to all envs: near
0, a step of GRPO is mostly noise, and learns little but those envs; below 0, envs hold each other back. It tells within
minutes whether a suite, a starting policy and a reward are worth a run. It trains nothing.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional

from astra_gym.env import ToolEnv
from astra_gym.reward import trajectory_reward
from astra_gym.suite import open_suite
from astra_gym.types import ToolEnvSpec
from astra_train.generation.hf_model import HFModels
from astra_train.generation.sampling import Sampling

MAX_TURNS, TURN_TOKENS, MICRO_TOKENS = 6, 96, 3200


@dataclass
class Episode:
    env: ToolEnv
    ids: list[int]
    sampled: list[int]
    """1 for the tokens that the policy wrote."""
    reward: float = 0.0


def play(models: HFModels, specs: Sequence[ToolEnvSpec], reward: dict[str, float], seed: int) -> list[Episode]:
    """One episode of each spec, all at a time, turn by turn."""
    episodes = []
    for spec in specs:
        env = ToolEnv(spec, max_turns=MAX_TURNS)
        _, info = env.reset(seed=0)
        ids = models.chat.initial(info["messages"], spec.tool_schemas)
        episodes.append(Episode(env, ids, [0] * len(ids)))
    active = list(enumerate(episodes))
    while active:
        asked = [models.engine.submit(e.ids, sampling(models, seed, n, len(e.ids)), f"{seed}/{n}") for n, e in active]
        going = []
        for (number, episode), future in zip(active, asked, strict=True):
            turn = future.result()
            episode.ids += turn.token_ids
            episode.sampled += [1] * len(turn.token_ids)
            if turn.stop_reason == "length":
                continue
            _, _, terminated, truncated, info = episode.env.step(models.chat.decode(turn.token_ids))
            episode.reward = trajectory_reward(
                info["breakdown"],
                beta=reward["beta"],
                final_answer_weight=reward["final_answer_weight"],
                final_answer_correct=info.get("final_answer_correct"),
            )
            if not (terminated or truncated):
                shown = models.chat.context([m for m in info["messages"] if m["role"] != "assistant"])
                episode.ids += shown
                episode.sampled += [0] * len(shown)
                going.append((number, episode))
        active = going
    for episode in episodes:
        episode.env.close()
    return episodes


def sampling(models: HFModels, seed: int, number: int, length: int) -> Sampling:
    return Sampling(TURN_TOKENS, models.chat.stop_token_ids, seed=hash((seed, number, length)) & (2**63 - 1))


def gradient(model: torch.nn.Module, groups: Sequence[Sequence[Episode]], loss: str) -> torch.Tensor:
    """Of the mean reward of the episodes, by REINFORCE with the group's mean as baseline; one flat vector."""
    model.zero_grad()
    episodes = [(e, e.reward - statistics.mean(o.reward for o in group)) for group in groups for e in group]
    tokens = sum(sum(e.sampled) for e, _ in episodes)
    weighted = [
        (e, advantage / (tokens if loss == "token-mean" else sum(e.sampled) * len(episodes)))
        for e, advantage in episodes
        if advantage
    ]
    weighted.sort(key=lambda pair: len(pair[0].ids))
    while weighted:
        size = max(1, MICRO_TOKENS // len(weighted[-1][0].ids))
        batch, weighted = weighted[-size:], weighted[:-size]
        width = max(len(e.ids) for e, _ in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        weights = torch.zeros(len(batch), width)
        for row, (episode, weight) in enumerate(batch):
            ids[row, : len(episode.ids)] = torch.tensor(episode.ids)
            weights[row, : len(episode.ids)] = torch.tensor(episode.sampled) * weight
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
        losses = functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        (losses * weights[:, 1:].flatten()).sum().backward()
    parameters = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return torch.cat(parameters).clone()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("policy", help="model folder")
    parser.add_argument("suite", type=Path)
    parser.add_argument("--envs", type=int, default=64, help="drawn from the suite")
    parser.add_argument("--batches", type=int, default=4, help="into which the envs are divided")
    parser.add_argument("--episodes", type=int, default=8, help="of each env: a group")
    parser.add_argument("--beta", type=float, default=1.0)
    parser.add_argument("--final-answer-weight", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    suite = open_suite(options.suite)
    if len(suite) < options.envs or options.envs < 2 * options.batches:
        parser.error(f"--envs must be from {2 * options.batches} to the suite's {len(suite)}, found {options.envs}")
    specs = [suite.load(spec_id) for spec_id in random.Random(options.seed).sample(list(suite.ids), options.envs)]
    reward = {"beta": options.beta, "final_answer_weight": options.final_answer_weight}
    with HFModels.load(options.policy) as models:
        rounds = [play(models, specs, reward, options.seed + n) for n in range(options.episodes)]
    groups = list(zip(*rounds, strict=True))
    uneven = sum(len({e.reward for e in group}) > 1 for group in groups)
    mean = statistics.mean(e.reward for group in groups for e in group)
    print(f"{len(groups)} envs x {options.episodes} episodes: mean reward {mean:.3f}, {uneven} groups with differences")
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(options.policy, dtype=torch.float32).train()
    size = len(groups) // options.batches
    for loss in ("token-mean", "seq-mean-token-mean"):
        parts = [gradient(model, groups[n * size : (n + 1) * size], loss) for n in range(options.batches)]
        cosines = [float(functional.cosine_similarity(a, b, dim=0)) for a, b in itertools.combinations(parts, 2)]
        agreement = f"{statistics.mean(cosines):+.3f} (lowest {min(cosines):+.3f})"
        print(f"{loss}: cosine between batches of {size} envs {agreement}")


if __name__ == "__main__":
    main()
