"""A policy before training, after SFT and after GRPO, on held-out envs: the second half of `astra demo`.

    python -m astra_train.demo -o runs/demo0 --seed 0

It only runs the commands that a user would type, shows each, and puts their results side by side: `astra synthesize`,
`astra data`, `astra train`, `astra eval`. The tiny policy starts from the weights in `policies/tiny_base`, which
`examples/make_tiny_base.py` made; what is held out here (entities, by the split of `astra data`) was kept from them.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from astra_gym.cli.output import console, fail
from astra_gym.comparison import EvaluationReport, compare
from astra_gym.errors import AstraError
from astra_gym.rollout import read_trajectories
from astra_gym.summary import EpisodeScore
from astra_train.data.content import Content, content_of
from astra_train.data.split import common_texts
from astra_train.demo_figures import draw_curve, read_curve, show_curve, show_stages
from astra_train.errors import TrainingError
from astra_train.versions import require_training

DOMAINS = "airports,cities,countries,us_cities"
OPERATIONS = "lookups"
"""What the tools do: 28 tools in all, so that an episode of one env teaches something about others."""
FOR_SFT = 0.7
"""Share of the training envs that SFT shows; GRPO plays the others, of which no answer was shown."""
HELD_OUT = 0.3
"""Share of the entities that is held out; the base was made with the same."""
READ_FILE = "entities_read.txt"
"""In a base's folder: what `examples/make_tiny_base.py` had it read, one entity a line."""
TINY_BASE = Path(__file__).parent / "policies" / "tiny_base"


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """How long the demo trains; docs/decisions.md says how these numbers were found."""

    seed: int = 0
    envs: int = 8000
    """Made from the tables; about a sixth of them end up held out."""
    sft_steps: int = 150
    sft_batch: int = 16
    grpo_steps: int = 14
    grpo_prompts: int = 32
    grpo_episodes: int = 8
    evaluated: int = 400
    """Held-out envs that each stage is measured on."""
    samples: int = 2
    """Episodes of each, sampled at temperature 1 as in training; greedily there is but one."""
    validated: int = 128
    """Held-out envs at most that the learning curve is measured on."""
    env_kwargs: str = '{"beta":1.5,"final_answer_weight":0.2,"max_turns":6}'
    """Reward of GRPO: with F1 a policy that fails more calls than it solves learns to stop after the first."""


@dataclass(slots=True)
class Demo:
    """The folder of a demo and the commands that fill it."""

    folder: Path
    base: Path
    """The policy before training."""
    plan: DemoPlan

    def run(self) -> EvaluationReport:
        """All stages; returns how they did on the held-out envs.

        Raises: TrainingError naming the command that failed.
        """
        started = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._make_data()
        sft = self._train("sft", self.base, self.folder / "sft", self._sft_options())
        grpo = self._train("grpo", sft, self.folder / "rl", grpo_options(self.plan))
        report = self._evaluate({"untrained": self.base, "SFT": sft, "GRPO": grpo})
        curve = read_curve(self.folder / "grpo_run" / "metrics.jsonl")
        show_curve(curve)
        console.print(f"the same as a picture: {draw_curve(curve, report, self.folder / 'curve.png')}", soft_wrap=True)
        console.print(f"All in {self.folder}, after {(time.monotonic() - started) / 60:.0f} minutes.")
        return report

    @property
    def suite(self) -> Path:
        return self.folder / "train_suite.jsonl"

    @property
    def held_out(self) -> Path:
        return self.folder / "held_out.jsonl"

    def _make_data(self) -> None:
        console.rule("[bold]1. Envs to train on, and others that name nothing seen in training", align="left")
        n, seed = str(self.plan.envs), str(self.plan.seed)
        make = ["synthesize", "tables", DOMAINS, "--operations", OPERATIONS, "-n", n, "--max-hops", "3", "--seed", seed]
        self._astra(*make, "--overwrite", "-o", str(self.suite))
        split = ["--validation", str(HELD_OUT), "--train-part"]
        sft = [*split, f"0-{FOR_SFT}", "--styles", "sequential"]
        self._astra("data", "sft", str(self.suite), "-o", str(self.folder / "sft"), *sft)
        rl = [*split, f"{FOR_SFT}-1", "--namespace", "demo", "--env-kwargs", self.plan.env_kwargs]
        self._astra("data", "rl", str(self.suite), "-o", str(self.folder / "rl"), *rl)
        self._write_held_out()

    def _write_held_out(self) -> None:
        """A part of the held-out envs, as a suite for `astra eval`: none that names what the base has read."""
        import pyarrow.parquet as pq

        from astra_gym.suite import open_suite, write_suite

        suite = open_suite(self.suite)
        contents = {spec.id: content_of(spec) for spec in suite}
        read = texts_read(self.base)
        rows = pq.read_table(self.folder / "rl" / "validation.parquet", columns=["extra_info"]).to_pylist()
        ids = [str(row["extra_info"]["env_id"]).partition("/")[2] for row in rows]
        ids = unread(ids, contents, read)
        step = max(1, len(ids) // self.plan.evaluated)
        self.held_out.unlink(missing_ok=True)
        write_suite(self.held_out, [suite.load(spec_id) for spec_id in ids[::step][: self.plan.evaluated]])

    def _train(self, method: str, model: Path, data: Path, options: Sequence[str]) -> Path:
        title = {"sft": "2. SFT on gold solutions", "grpo": "3. GRPO on the envs themselves"}[method]
        console.rule(f"[bold]{title}", align="left")
        run = self.folder / f"{method}_run"
        _remove(run)
        given = ["--preset", "cpu", "--model", str(model), "--data", str(data), "--run", str(run)]
        self._astra("train", method, *given, "--seed", str(self.plan.seed), *options)
        output = self.folder / f"{method}_policy"
        _remove(output)
        self._astra("train", "export", str(run), "-o", str(output))
        return output

    def _sft_options(self) -> list[str]:
        sizes = ["--steps", str(self.plan.sft_steps), f"data.train_batch_size={self.plan.sft_batch}"]
        rare = ["trainer.test_freq=100", "trainer.save_freq=-1", "data.val_max_samples=64"]
        return [*sizes, *rare, "optim.betas=[0.9,0.95]"]

    def _evaluate(self, models: Mapping[str, Path]) -> EvaluationReport:
        """Sampled as in training and greedily, side by side; returns the first."""
        console.rule(
            "[bold]4. Held-out envs: before, after SFT, after GRPO, and rules that learn nothing", align="left"
        )
        greedy = self._played("greedy", models, ["--temperature", "0"])
        rules = ["--temperature", "1", "--n-samples", str(self.plan.samples), "--baselines"]
        sampled = self._played("sampled", models, rules)
        show_stages(greedy, "greedily")
        show_stages(sampled, "sampled at temperature 1, as in training")
        return sampled

    def _played(self, name: str, models: Mapping[str, Path], how: Sequence[str]) -> EvaluationReport:
        output = self.folder / f"eval_{name}.jsonl"
        named = [part for path in models.values() for part in ("--model", f"hf:{path}")]
        limits = ["--max-tokens", "96", "--max-turns", "6", "--seed", str(self.plan.seed)]
        self._astra("eval", str(self.held_out), *named, *how, *limits, "--overwrite", "-o", str(output))
        stages = {f"hf:{path}": stage for stage, path in models.items()}
        played: dict[str, list[EpisodeScore]] = {stage: [] for stage in models}
        for trajectory in read_trajectories(output):
            model = stages.get(str(trajectory.model), str(trajectory.model))
            played.setdefault(model, []).append(EpisodeScore.of(trajectory))
        report = compare(played, pairs=[("untrained", "SFT"), ("SFT", "GRPO")])
        (self.folder / f"report_{name}.json").write_text(report.model_dump_json(indent=1))
        return report

    def _astra(self, *arguments: str) -> None:
        """Run a command as a user would, its output shown."""
        console.print(f"[dim]$ astra {shlex.join(arguments)}[/dim]", soft_wrap=True)
        done = subprocess.run([sys.executable, "-m", "astra_gym.cli", *arguments], check=False)
        if done.returncode:
            raise TrainingError(f"`astra {shlex.join(arguments)}` ended with exit code {done.returncode} (see above)")


def grpo_options(plan: DemoPlan) -> list[str]:
    """How the demo's policy is trained with GRPO: options of `astra train grpo`."""
    return [
        *("--steps", str(plan.grpo_steps)),
        f"data.train_batch_size={plan.grpo_prompts}",
        f"actor_rollout_ref.rollout.n={plan.grpo_episodes}",
        "data.max_prompt_length=512",
        "data.max_response_length=448",
        f"data.val_max_samples={plan.validated}",
        "actor_rollout_ref.rollout.val_kwargs.temperature=1",  # the curve is of the policy as it is trained
        "actor_rollout_ref.rollout.val_kwargs.do_sample=true",
        f"trainer.test_freq={max(1, plan.grpo_steps // 2)}",
        "actor_rollout_ref.actor.optim.lr=1e-4",
        f"actor_rollout_ref.actor.optim.lr_warmup_steps={min(4, plan.grpo_steps // 2)}",
        "actor_rollout_ref.actor.optim.betas=[0.9,0.99]",
        "actor_rollout_ref.actor.optim.weight_decay=0",
        "actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-mean",  # else rambling episodes outweigh others
        "algorithm.norm_adv_by_std_in_grpo=false",  # else the smallest difference counts as the largest
        "algorithm.rollout_correction.bypass_mode=true",  # the server's log-probs are the trainer's: no second pass
    ]


def texts_read(base: Path) -> frozenset[str]:
    """The entities that a base was pretrained on, folded; empty for one that does not say."""
    listed = base / READ_FILE
    return frozenset(listed.read_text(encoding="utf-8").splitlines()) if listed.exists() else frozenset()


def unread(ids: Iterable[str], contents: Mapping[str, Content], read: Collection[str]) -> list[str]:
    """Those of `ids` that name no entity of `read`; `contents` are all envs, which tell what is too common to count."""
    known = frozenset(read) - common_texts(contents.values())
    return [spec_id for spec_id in ids if not contents[spec_id].entities & known]


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def check_demo() -> None:
    """Whether it can run here. Raises: MissingExtraError saying what to install."""
    require_training()


def run_demo(folder: Path, *, seed: int = 0) -> EvaluationReport:
    """Train the tiny policy and show how it did; what `astra demo --train` calls after its first half.

    Args:
        folder: filled with suites, data, runs, policies, figures; an earlier demo in it is replaced.

    Raises: MissingExtraError without the training libraries; TrainingError naming the command that failed.
    """
    check_demo()
    return Demo(folder, TINY_BASE, DemoPlan(seed)).run()


def main() -> None:
    """`python -m astra_train.demo`. Exit code 1 when a stage fails, which says why."""
    plan = DemoPlan()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, default=TINY_BASE, help="model folder to start from")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/demo"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--envs", type=int, default=plan.envs)
    parser.add_argument("--sft-steps", type=int, default=plan.sft_steps)
    parser.add_argument("--grpo-steps", type=int, default=plan.grpo_steps)
    given = parser.parse_args()
    plan = DemoPlan(given.seed, given.envs, given.sft_steps, grpo_steps=given.grpo_steps)
    try:
        check_demo()
        Demo(given.output, given.base, plan).run()
    except AstraError as error:
        fail(str(error), exit_code=1)


if __name__ == "__main__":
    main()
