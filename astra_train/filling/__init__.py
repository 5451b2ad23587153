"""Which rollouts train: adaptive batch filling, and ahead of it the choice of envs by pass rate.

`groups`, `filler`, `statistics` and `pass_rates` are plain logic; `sampler` and `dataset` hook them into verl and are
imported by verl alone, `checks` tells whether a verl config fits them.
"""

from __future__ import annotations

from astra_train.filling.checks import check_filling
from astra_train.filling.errors import FillingConfigError, NoSignalError, RolloutDataError
from astra_train.filling.filler import Batch, BatchFiller
from astra_train.filling.groups import Group, Rollout, Verdict, judge
from astra_train.filling.options import AtCap, FillingOptions, Order

__all__ = [
    "AtCap",
    "Batch",
    "BatchFiller",
    "FillingConfigError",
    "FillingOptions",
    "Group",
    "NoSignalError",
    "Order",
    "Rollout",
    "RolloutDataError",
    "Verdict",
    "check_filling",
    "judge",
]
