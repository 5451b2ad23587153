"""A whole evaluation as data: which envs of a suite, which models, how many episodes; `run` does what is left to do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path
from typing import Any, TypeAlias

from astra_gym.comparison import EvaluationReport, compare
from astra_gym.errors import ModelError, UnknownEnvError
from astra_gym.evaluation import EnvMaker, EvaluationError, episode_seed, evaluate
from astra_gym.evaluation_log import EvaluationLog, Key
from astra_gym.fault_injection import FaultOptions, Faults
from astra_gym.models.resolve import check_model_name, default_concurrency, resolve_models, takes_sampling
from astra_gym.nearest import nearest
from astra_gym.records import JSON
from astra_gym.suite import Suite
from astra_gym.summary import EpisodeScore
from astra_gym.types import ToolEnvSpec

Progress: TypeAlias = Callable[[Key, EpisodeScore], None]


@dataclass(frozen=True)
class EvaluationPlan:
    """What is to be played. Raises: ModelError or MissingExtraError for a name that is no model, or stands twice."""

    suite: Suite
    models: tuple[str, ...]
    """Compared with each other, each with those before it."""
    baselines: tuple[str, ...] = ()
    """Trivial policies to stand beside them."""
    ids: tuple[str, ...] | None = None
    """Of the suite; None for all."""
    n_samples: int = 1
    seed: int = 0
    max_turns: int | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """temperature, top_p, top_k, max_tokens: for the models that have them."""
    base_url: str | None = None
    """For `openai:NAME`. Not part of the settings: a server may move."""
    faults: FaultOptions = None
    """Injected into the tools' results; None for none."""
    concurrency: int | None = None
    """Episodes at a time; None by the kind of model."""
    isolation: str = "auto"

    def __post_init__(self) -> None:
        names = self.players
        for name in names:
            check_model_name(name)
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ModelError(f"each model is played once, found {twice} more than once")
        if self.sampling and not any(map(takes_sampling, names)):
            raise ModelError(f"{', '.join(sorted(self.sampling))}: none of {', '.join(names)} samples; they are rules")
        if self.base_url is not None and not any(name.startswith("openai:") for name in names):
            raise ModelError(f"base_url is for openai:NAME; the models are {', '.join(names)}")
        Faults.of(self.faults)

    @property
    def players(self) -> tuple[str, ...]:
        """All models, the baselines last."""
        return (*self.models, *self.baselines)

    @property
    def env_ids(self) -> tuple[str, ...]:
        return self.suite.ids if self.ids is None else self.ids

    @property
    def episodes(self) -> int:
        """Of all models together."""
        return len(self.players) * len(self.env_ids) * self.n_samples

    def order(self) -> Iterator[Key]:
        """Every episode in the order of the output: model by model, env by env, sample by sample."""
        for name in self.players:
            for env_id in self.env_ids:
                for sample in range(self.n_samples):
                    yield Key(name, env_id, episode_seed(self.seed, sample))

    def settings(self) -> dict[str, JSON]:
        """All that decides the result, as JSON data: another evaluation does not go on with this one's output."""
        return {
            "suite": self.suite.path.name,
            "suite_sha256": _digest(self.suite),
            "models": list(self.players),
            "weights": {name: found for name in self.players if (found := _weights(name)) is not None},
            "sampling": dict(self.sampling),
            "envs": len(self.env_ids),
            "ids": None if self.ids is None else list(self.ids),
            "n_samples": self.n_samples,
            "seed": self.seed,
            "max_turns": self.max_turns,
            "faults": None if (faults := Faults.of(self.faults)) is None else faults.to_json(),
        }

    def run(self, log: EvaluationLog | None = None, progress: Progress | None = None) -> EvaluationReport:
        """Play what the log does not hold and report on all.

        Raises: EvaluationError when too many episodes failed in a row; PipelineError when the log cannot be written;
        what loading a spec or a model raises. What was played stands in the log.
        """
        scores = dict(log.done) if log is not None else {}
        for name in self.players:
            for key, score in self._play(name, scores, log):
                scores[key] = score
                if progress is not None:
                    progress(key, score)
        if log is not None:
            log.finish(self.order())
        by_model: dict[str, list[EpisodeScore]] = {name: [] for name in self.players}
        for key in self.order():
            by_model[key.model].append(scores[key])
        return compare(by_model, pairs=list(combinations(self.models, 2)))

    def _play(
        self, name: str, done: Mapping[Key, EpisodeScore], log: EvaluationLog | None
    ) -> Iterator[tuple[Key, EpisodeScore]]:
        skip = frozenset((key.env_id, key.seed) for key in done if key.model == name)
        if len(skip) == len(self.env_ids) * self.n_samples:
            return
        options = self.sampling if takes_sampling(name) else {}
        more = {"base_url": self.base_url} if name.startswith("openai:") else {}
        factory = resolve_models(name, **options, **more)
        played = evaluate(
            self._specs(skip),
            factory,
            n_samples=self.n_samples,
            seed=self.seed,
            concurrency=self.concurrency or default_concurrency(name),
            max_turns=self.max_turns,
            make_env=EnvMaker(max_turns=self.max_turns, isolation=self.isolation, faults=self.faults),
            name=name,
            skip=skip,
            ordered=False,
        )
        try:
            for trajectory in played:
                if log is not None:
                    log.write(trajectory)
                yield Key.of(trajectory), EpisodeScore.of(trajectory)
        except EvaluationError as error:
            kept = "" if log is None else f"; what was played stands in {log.path}, the same command goes on with it"
            raise EvaluationError(f"{name}: {error}{kept}") from error
        finally:
            played.close()
            if not isinstance(factory, type) and callable(close := getattr(factory, "close", None)):
                close()

    def _specs(self, skip: frozenset[tuple[str, int]]) -> Iterator[ToolEnvSpec]:
        """The envs that have an episode left to play, loaded when their turn comes."""
        seeds = [episode_seed(self.seed, sample) for sample in range(self.n_samples)]
        for env_id in self.env_ids:
            if any((env_id, seed) not in skip for seed in seeds):
                yield self.suite.load(env_id)


def select_ids(suite: Suite, patterns: Sequence[str] = (), limit: int | None = None) -> tuple[str, ...]:
    """The ids of the suite that match one of the patterns (`*` and `?` are wildcards; a namespace is left off).

    Raises: UnknownEnvError for a pattern that matches nothing, with the nearest ids.
    """
    names = [pattern.rpartition("/")[2] for pattern in patterns]
    found = [env_id for env_id in suite.ids if any(fnmatchcase(env_id, name) for name in names)] if names else suite.ids
    for name in names:
        if not any(fnmatchcase(env_id, name) for env_id in found):
            near = ", ".join(nearest(name, suite.ids))
            raise UnknownEnvError(f"{suite.path}: no env {name!r} among {len(suite)}; the nearest are {near}")
    return tuple(found[:limit])


def _digest(suite: Suite) -> str:
    """Hash of the suite's bytes."""
    digest = hashlib.sha256()
    files = [suite.path / f"{env_id}.json" for env_id in suite.ids] if suite.path.is_dir() else [suite.path]
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _weights(name: str) -> str | None:
    """What tells one state of a model's folder from another (names, sizes and times of its files); None without one."""
    folder = Path(name.partition(":")[2])
    if not takes_sampling(name) or not name.partition(":")[2] or not folder.is_dir():
        return None
    files = sorted(path for path in folder.iterdir() if path.is_file())
    states = [f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    return hashlib.sha256("\n".join(states).encode()).hexdigest()
