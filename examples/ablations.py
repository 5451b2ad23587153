"""What the reward, distractors and the choice of envs do to GRPO: the same SFT policies, other settings, three seeds.

    for seed in 0 1 2; do python -m astra_train.demo --seed $seed -o runs/demo$seed; done
    python examples/ablations.py runs/demo0 runs/demo1 runs/demo2 -o runs/ablations --report docs/ablations

Each demo folder gives one seed: its SFT policy, its training envs, its held-out envs. Every variant trains that policy
with `astra train grpo --preset cpu`, as the demo does, and is then measured on the held-out envs, sampled at
temperature 1, once with the tools of the domain alone and once with banded distractors among them. A finished part is
not done again: after an interruption, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from astra_gym.rollout import read_trajectories
from astra_gym.suite import open_suite, write_suite
from astra_gym.summary import EpisodeScore, summarize
from astra_gym.types import ToolEnvSpec
from astra_train.data.content import content_of
from astra_train.data.split import split_contents
from astra_train.demo import FOR_SFT, HELD_OUT, DemoPlan, grpo_options

SPLIT_SEED = 0
"""As in the demo, whose folders this starts from."""
METRICS = ("f1", "recall", "precision", "solve_rate", "calls", "invalid_calls", "final_answer_accuracy")


@dataclass(frozen=True, slots=True)
class Variant:
    """What is different from GRPO with the F1 reward, the domain's tools alone and envs drawn at random."""

    about: str
    env: Mapping[str, Any] = field(default_factory=dict)
    distractors: str = "none"
    overrides: Sequence[str] = ()


VARIANTS = {
    "f1": Variant("reward F1, as in the paper"),
    "recall": Variant("reward recall only", {"reward": "recall"}),
    "precision": Variant("reward precision only", {"reward": "precision"}),
    "beta3": Variant("reward F-beta with beta 3: a missed sub-question counts more than a wasted call", {"beta": 3}),
    "final_answer": Variant("F1, a fifth of the reward for the final answer", {"final_answer_weight": 0.2}),
    "std": Variant(
        "F1, advantages divided by the group's standard deviation",
        overrides=("algorithm.norm_adv_by_std_in_grpo=true",),
    ),
    "token_mean": Variant(
        "F1, every token weighs the same, as in the paper; else every episode",
        overrides=("actor_rollout_ref.actor.loss_agg_mode=token-mean",),
    ),
    "random": Variant("F1, up to 9 random distractors an env", distractors="random"),
    "banded": Variant("F1, up to 3 distractors of each likeness band", distractors="banded"),
    "pass_rate": Variant(
        "F1, envs chosen by expected signal",
        overrides=(
            "data.custom_cls.path=pkg://astra_train.filling.dataset",
            "data.custom_cls.name=PassRateDataset",
            "+data.pass_rates={group_size:8}",
        ),
    ),
}


def run(*command: object) -> None:
    """One `astra` command, shown as it could be typed."""
    words = [str(word) for word in command]
    print(f"\n$ {shlex.join(['astra', *words])}", flush=True)
    subprocess.run([sys.executable, "-m", "astra_gym.cli", *words], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demos", nargs="+", type=Path, help="folders of the demo, one a seed")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--report", type=Path, help="folder for the table and the plots; default: the output's")
    about = "; ".join(f"{name}: {variant.about}" for name, variant in VARIANTS.items())
    parser.add_argument("--variants", default=",".join(VARIANTS), help=f"default: all. {about}")
    parser.add_argument("--steps", type=int, default=14, help="GRPO steps")
    parser.add_argument("--prompts", type=int, default=32, help="groups a step")
    parser.add_argument("--episodes", type=int, default=8, help="episodes a group")
    options = parser.parse_args()
    names = options.variants.split(",")
    if unknown := sorted(set(names) - set(VARIANTS)):
        parser.error(f"--variants: no {', '.join(unknown)}; there are {', '.join(VARIANTS)}")
    for demo in options.demos:
        if not (demo / "sft_policy").is_dir():
            parser.error(f"{demo}/sft_policy is missing; `python -m astra_train.demo -o {demo}` makes it")
    for name in names:
        for seed, demo in enumerate(options.demos):
            train(options, name, seed, demo)
    for seed, demo in enumerate(options.demos):
        measure(options, "SFT", seed, demo, demo / "sft_policy")
        for name in names:
            measure(options, name, seed, demo, folder_of(options, name, seed) / "policy")
    report(options, ["SFT", *names])


def folder_of(options: argparse.Namespace, name: str, seed: int) -> Path:
    return Path(options.output) / name / str(seed)


def training_suite(demo: Path, distractors: str, folder: Path) -> Path:
    """The demo's training envs, with distractors mixed in after the split, so that no held-out tool gets in."""
    plain = folder / "plain.jsonl"
    if not plain.exists():
        specs = {spec.id: spec for spec in open_suite(demo / "train_suite.jsonl")}
        split = split_contents(map(content_of, specs.values()), validation=HELD_OUT, seed=SPLIT_SEED)
        _write(plain, [specs[spec_id] for spec_id in split.training_part(FOR_SFT, 1).train])
    return with_distractors(plain, distractors)


def with_distractors(suite: Path, variant: str) -> Path:
    """A copy of a suite with distractors, made once; the suite itself for `none`."""
    if variant == "none":
        return suite
    mixed = suite.with_name(f"{suite.stem}_{variant}.jsonl")
    if not mixed.exists():
        part = mixed.with_name(f"part_{mixed.name}")
        run("distract", suite, "-o", part, "--variant", variant, "--overwrite")
        part.rename(mixed)
    return mixed


def _write(path: Path, specs: Sequence[ToolEnvSpec]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"part_{path.name}")
    part.unlink(missing_ok=True)
    write_suite(part, specs)
    part.rename(path)


def train(options: argparse.Namespace, name: str, seed: int, demo: Path) -> None:
    """GRPO of one variant from the demo's SFT policy; exported to <output>/<variant>/<seed>/policy."""
    variant, folder = VARIANTS[name], folder_of(options, name, seed)
    if (folder / "policy").is_dir():
        return
    suite = training_suite(demo, variant.distractors, Path(options.output) / "suites" / str(seed))
    rows = folder / "rl"
    if not rows.is_dir():
        # verl wants envs to validate on; they are not looked at. Another seed, or they would be those held out already
        split = ["--validation", "0.05", "--split-seed", str(SPLIT_SEED + 1), "--namespace", f"ablation-{name}-{seed}"]
        run("data", "rl", suite, "-o", rows, *split, "--env-kwargs", json.dumps(variant.env))
    plan = replace(DemoPlan(), grpo_steps=options.steps, grpo_prompts=options.prompts, grpo_episodes=options.episodes)
    alike = ["data.max_prompt_length=768", "trainer.val_before_train=false", "trainer.test_freq=-1"]
    given = ["--preset", "cpu", "--model", demo / "sft_policy", "--data", rows, "--run", folder / "run"]
    resume = ["--resume"] if (folder / "run").exists() else []
    settings = [*grpo_options(plan), *alike, "trainer.save_freq=5", *variant.overrides]
    run("train", "grpo", *given, *resume, "--seed", seed, *settings)
    run("train", "export", folder / "run", "-o", folder / "part_policy")
    (folder / "part_policy").rename(folder / "policy")


def measure(options: argparse.Namespace, name: str, seed: int, demo: Path, policy: Path) -> None:
    """The held-out envs of the demo, with and without distractors, once each."""
    held_out = folder_of(options, "held_out", seed) / "plain.jsonl"
    if not held_out.exists():
        _write(held_out, list(open_suite(demo / "held_out.jsonl")))
    for tools in ("none", "banded"):
        played = folder_of(options, name, seed) / f"eval_{tools}.jsonl"
        limits = ["--temperature", 1, "--n-samples", 2, "--max-tokens", 96, "--max-turns", 6]
        if not (played.with_suffix(".done")).exists():
            run("eval", with_distractors(held_out, tools), "--model", f"hf:{policy}", *limits, "-o", played)
            played.with_suffix(".done").touch()


def scores(options: argparse.Namespace, name: str, tools: str) -> list[dict[str, float]]:
    """The metrics of one variant, one mapping a seed."""
    found = []
    for seed in range(len(options.demos)):
        played = read_trajectories(folder_of(options, name, seed) / f"eval_{tools}.jsonl")
        summary = summarize([EpisodeScore.of(trajectory) for trajectory in played])
        found.append({metric: float(getattr(summary, metric) or 0.0) for metric in METRICS})
    return found


def report(options: argparse.Namespace, names: Sequence[str]) -> None:
    """ablations.md, ablations.json and ablations.png."""
    folder = Path(options.report or options.output)
    folder.mkdir(parents=True, exist_ok=True)
    results = {tools: {name: scores(options, name, tools) for name in names} for tools in ("none", "banded")}
    lines: list[str] = []
    for tools, title in (("none", "the domain's tools alone"), ("banded", "banded distractors among the tools")):
        lines += [f"### Held-out envs with {title}", "", f"| variant | {' | '.join(METRICS)} |"]
        lines += ["|---" * (len(METRICS) + 1) + "|"]
        for name, seeds in results[tools].items():
            cells = [_mean_and_range([seed[metric] for seed in seeds]) for metric in METRICS]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    (folder / "ablations.md").write_text("\n".join(lines))
    (folder / "ablations.json").write_text(json.dumps(results, indent=1) + "\n")
    draw(results["none"], folder / "ablations.png")
    print("\n".join([*(f"{name}: {VARIANTS[name].about}" for name in names if name in VARIANTS), "", *lines]))


def _mean_and_range(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):.3f} ({min(values):.2f} to {max(values):.2f})"


def draw(results: Mapping[str, Sequence[Mapping[str, float]]], path: Path) -> None:
    """Four metrics side by side: the mean of the seeds as a bar, each seed as a dot."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    shown = {"f1": "F1", "solve_rate": "solved", "calls": "calls an episode", "precision": "precision"}
    figure, axes = plt.subplots(1, len(shown), figsize=(15, 4), layout="constrained")
    for axis, (metric, label) in zip(axes, shown.items(), strict=True):
        for place, (name, seeds) in enumerate(results.items()):
            values = [seed[metric] for seed in seeds]
            axis.bar(place, statistics.mean(values), color="0.7" if name == "SFT" else "C0", width=0.7)
            axis.plot([place] * len(values), values, "k.", markersize=6)
        axis.set_xticks(range(len(results)), list(results), rotation=35, ha="right")
        axis.set_title(label)
        axis.grid(axis="y", alpha=0.3)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
