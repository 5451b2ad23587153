"""Pick the next envs by the signal they are expected to give: an estimate of each env's pass rate.

Every env has a Beta posterior over its pass rate, from counts that fade with each policy update, so that an env that
was solved (or hopeless) long ago becomes uncertain again and is tried anew. What is maximised is the probability that
a group of g rollouts is not flat, 1 - p^g - (1 - p)^g, in expectation over the posterior; an env never seen has
g - 1 over g + 1 under the uniform prior. Only whole passes count: partial credit that varies within a group is not
foreseen. Pure: the dataset adapter is `dataset.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astra_train.filling.errors import FillingConfigError, RolloutDataError
from astra_train.filling.groups import Group, Rollout
from astra_train.filling.options import REWARD_METRIC, read_options

STATE_FORMAT = 1

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PassRateOptions:
    """How envs are picked; stands under `data.pass_rates`. Raises FillingConfigError on a value out of range."""

    group_size: int = 8
    """Rollouts in a group, verl's `rollout.n`."""
    metric: str = "solve_rate"
    """Key of `reward_extra_info` that says whether an episode passed, or `reward`."""
    pass_at: float = 1.0
    """The metric from which on an episode counts as passed."""
    discount: float = 0.97
    """Factor on all counts with each policy update: 0.97 halves old evidence in 23 updates."""
    prior: float = 1.0
    """Pseudo-counts of a pass and of a failure before anything is known."""
    power: float = 4.0
    """Envs are drawn in proportion to the expected signal to this power; 0 is uniform."""
    explore: float = 0.1
    """Share of the picks that are uniform whatever the estimate says."""
    no_repeat: float = 0.1
    """An env row is not picked again before this share of the data set has been."""
    seed: int = 0

    def __post_init__(self) -> None:
        checks = {
            "group_size": self.group_size >= 2,
            "metric": bool(self.metric),
            "discount": 0 < self.discount <= 1,
            "prior": self.prior > 0,
            "power": self.power >= 0,
            "explore": 0 <= self.explore <= 1,
            "no_repeat": 0 <= self.no_repeat < 1,
        }
        for name, holds in checks.items():
            if not holds:
                raise FillingConfigError(f"data.pass_rates.{name}: {getattr(self, name)!r} is out of range")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> PassRateOptions:
        """Read options; an unknown name or a value of the wrong type raises FillingConfigError."""
        return read_options(cls, values, "data.pass_rates", {})


def expected_signal(passes: Floats, failures: Floats, group_size: int) -> Floats:
    """Probability that a group is not flat, in expectation over Beta(passes, failures); both > 0, shape (N,).

    E[p^g] is the product of (a + i) / (a + b + i) for i < g, so no power of a small rate is ever taken.
    """
    steps = np.arange(group_size, dtype=np.float64)[:, None]
    total = passes + failures + steps
    all_pass = np.prod((passes + steps) / total, axis=0)
    all_fail = np.prod((failures + steps) / total, axis=0)
    return np.asarray(np.clip(1.0 - all_pass - all_fail, 0.0, 1.0))


def _draw(weights: Floats, uniform: float) -> int:
    """An index drawn in proportion to the weights, never one of weight 0; `uniform` is in [0, 1)."""
    total = np.cumsum(weights)
    drawn = np.searchsorted(total, uniform * total[-1], side="right")
    return int(min(drawn, np.flatnonzero(weights)[-1]))


class PassRates:
    """Estimates for the envs of a data set and the picks made from them.

    Args:
        env_ids: the env of each row, length N; rows of one env share an estimate.

    Raises: FillingConfigError when there is no row.
    """

    def __init__(self, env_ids: Sequence[str], options: PassRateOptions) -> None:
        if not env_ids:
            raise FillingConfigError("picking envs by pass rate needs at least one row, the data set has none")
        self.options = options
        self._envs = {env_id: i for i, env_id in enumerate(dict.fromkeys(env_ids))}
        self._rows = np.array([self._envs[env_id] for env_id in env_ids])
        self._counts = np.zeros((2, len(self._envs)))
        self._seen = np.zeros(len(self._envs), dtype=bool)
        self._version = 0
        self._recent: deque[int] = deque(maxlen=int(options.no_repeat * len(env_ids)))
        self._rng = np.random.default_rng(options.seed)
        self._weights: Floats | None = None
        self.picks = 0
        self.observed = 0

    def observe(self, group: Group) -> None:
        """Take in a finished group; one of another data set (a validation env, say) is left alone."""
        self._age(group.version)
        env = self._envs.get(group.env_id)
        if env is None or not group.usable:
            return
        weight = self.options.discount ** (self._version - group.version)
        passed = sum(self._passed(rollout) for rollout in group.usable)
        self._weights = None
        self._counts[:, env] += weight * np.array([passed, len(group.usable) - passed])
        self._seen[env] = True
        self.observed += 1

    def pick(self) -> int:
        """The row to play next, in [0, N)."""
        if self._weights is None:
            self._weights = self.signal()[self._rows] ** self.options.power
        explores = self._rng.random() < self.options.explore
        weights = np.ones(len(self._rows)) if explores else self._weights.copy()
        weights[list(self._recent)] = 0.0
        if weights.sum() <= 0:
            weights = np.ones(len(self._rows))
            weights[list(self._recent)] = 0.0
        row = _draw(weights, self._rng.random())
        self._recent.append(row)
        self.picks += 1
        return row

    def pass_rates(self) -> Floats:
        """Posterior mean of each env's pass rate, shape (number of envs,), in order of first appearance."""
        passes, failures = self._counts + self.options.prior
        return np.asarray(passes / (passes + failures))

    def signal(self) -> Floats:
        """Expected signal of each env, shape (number of envs,)."""
        passes, failures = self._counts + self.options.prior
        return expected_signal(passes, failures, self.options.group_size)

    def metrics(self, rollout_s: float = 0.0) -> dict[str, float]:  # noqa: ARG002
        """Numbers for the trainer's log."""
        signal, rates = self.signal(), self.pass_rates()
        recent = self._rows[list(self._recent)]
        return {
            "pass_rates/seen_share": float(self._seen.mean()),
            "pass_rates/mean": float(rates.mean()),
            "pass_rates/too_hard_share": float((rates < 0.1).mean()),
            "pass_rates/too_easy_share": float((rates > 0.9).mean()),
            "pass_rates/signal_mean": float(signal.mean()),
            "pass_rates/signal_picked": float(signal[recent].mean()) if len(recent) else 0.0,
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next pick depends on, in plain Python values; counts by env id."""
        counts = {env_id: [*self._counts[:, i].tolist(), bool(self._seen[i])] for env_id, i in self._envs.items()}
        return {
            "format": STATE_FORMAT,
            "version": self._version,
            "counts": counts,
            "recent": list(self._recent),
            "rng": self._rng.bit_generator.state,
            "picks": self.picks,
            "observed": self.observed,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state. Envs that are gone are dropped, new ones start from the prior.

        Raises: FillingConfigError when the state is of another format.
        """
        if state.get("format") != STATE_FORMAT:
            raise FillingConfigError(
                f"the checkpoint's pass rates have format {state.get('format')!r}, this version reads {STATE_FORMAT}: "
                "resume with the version that wrote it, or start a new run"
            )
        for env_id, (passes, failures, seen) in state["counts"].items():
            if env_id in self._envs:
                self._counts[:, self._envs[env_id]] = passes, failures
                self._seen[self._envs[env_id]] = seen
        self._weights = None
        self._version = state["version"]
        self._recent = deque((r for r in state["recent"] if r < len(self._rows)), maxlen=self._recent.maxlen)
        self._rng.bit_generator.state = state["rng"]
        self.picks, self.observed = state["picks"], state["observed"]

    def _age(self, version: int) -> None:
        if version > self._version:
            self._weights = None
            self._counts *= self.options.discount ** (version - self._version)
            self._version = version

    def _passed(self, rollout: Rollout) -> bool:
        metric = self.options.metric
        if metric == REWARD_METRIC:
            return rollout.reward >= self.options.pass_at
        if metric not in rollout.metrics:
            raise RolloutDataError(
                f"{rollout.keys[-1]}: data.pass_rates.metric={metric!r} is not in reward_extra_info, "
                f"it holds {sorted(rollout.metrics)}"
            )
        return float(rollout.metrics[metric]) >= self.options.pass_at
