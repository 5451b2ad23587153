"""The settings of adaptive batch filling, as they stand under `trainer.v1.sampler.sampler_kwargs`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from astra_train.filling.errors import FillingConfigError

Options = TypeVar("Options")

REWARD_METRIC = "reward"
"""The reward that the policy is trained on; any other name is a key of `reward_extra_info`."""


class Order(StrEnum):
    """Which valid groups train first when there are more than needed; an older policy version always precedes."""

    COMPLETION = "completion"
    """The group that finished first, as in the paper; ties go to the one that was sent out first."""
    DISPATCH = "dispatch"
    """The group that was sent out first: no bias towards short episodes, and the same batch in every run."""


class AtCap(StrEnum):
    """What to do when the allowed rollouts are used up and the batch is not full."""

    SHORT = "short"
    """Train on the valid groups there are (verl pads with masked samples); an error when there are none."""
    FLAT = "flat"
    """Fill up with groups without signal: their advantage is zero, as in plain GRPO."""
    ERROR = "error"
    """Stop with `NoSignalError`."""


@dataclass(frozen=True, slots=True)
class FillingOptions:
    """How a batch is filled. Raises FillingConfigError on a value out of range."""

    delta: float = 0.01
    """A group is valid when the population standard deviation of its rewards is greater than this."""
    metric: str = REWARD_METRIC
    """What the spread is measured on: the reward, or a key of the rollout's `reward_extra_info`."""
    max_staleness: int = 1
    """Policy updates that a waiting group may lag behind; 0 is strictly online: the surplus is dropped."""
    max_gen_batches: int = 8
    """Cap on the rollouts of one step, in training batches, the one that verl sends by itself included."""
    refill_groups: int | None = None
    """Groups in one further send-out, a multiple of verl's `data.gen_batch_size`; None is a whole training batch."""
    order: Order = Order.COMPLETION
    at_cap: AtCap = AtCap.SHORT
    filter: bool = True
    """False trains on every group, as verl does by default, but keeps the statistics and the treatment of faults."""
    drop_masked: bool = True
    """Leave rollouts lost to an infrastructure error out of the batch, so that they do not shift their group's mean."""
    poll_interval_s: float = 0.25
    """Seconds between two looks at the queue; verl's own is 2."""

    def __post_init__(self) -> None:
        checks = {
            "delta": math.isfinite(self.delta) and self.delta >= 0,
            "metric": bool(self.metric),
            "max_staleness": self.max_staleness >= 0,
            "max_gen_batches": self.max_gen_batches >= 1,
            "refill_groups": self.refill_groups is None or self.refill_groups >= 1,
            "poll_interval_s": math.isfinite(self.poll_interval_s) and self.poll_interval_s > 0,
        }
        for name, holds in checks.items():
            if not holds:
                raise FillingConfigError(f"sampler_kwargs.{name}: {getattr(self, name)!r} is out of range")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> FillingOptions:
        """Read options; an unknown name or a value of the wrong type raises FillingConfigError."""
        return read_options(cls, values, "trainer.v1.sampler.sampler_kwargs", {"order": Order, "at_cap": AtCap})


def read_options(
    cls: type[Options], values: Mapping[str, Any], where: str, enums: Mapping[str, type[StrEnum]]
) -> Options:
    """An options dataclass from a mapping; `where` is the config path that errors name."""
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise FillingConfigError(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(sorted(fields))}")
    read: dict[str, Any] = {}
    for name, value in values.items():
        try:
            read[name] = enums[name](value) if name in enums else _of_type(value, str(fields[name].type))
        except ValueError as error:
            allowed = f"one of {', '.join(enums[name])}" if name in enums else f"of type {fields[name].type}"
            raise FillingConfigError(f"{where}.{name}: {value!r}, but it must be {allowed}") from error
    return cls(**read)


def _of_type(value: Any, annotation: str) -> Any:
    """The value as its field's type; an int stands for a float, nothing else is converted."""
    if value is None and annotation.endswith("| None"):
        return None
    kind = {"float": float, "int": int, "str": str, "bool": bool}[annotation.removesuffix(" | None")]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(value)
    return value
