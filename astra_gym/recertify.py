"""Certify a whole suite again on this machine: what `astra check` does, over several processes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

from astra_gym.certify import Certifier
from astra_gym.errors import SpecError, SuiteError
from astra_gym.suite import Suite, open_suite
from astra_gym.types import Rejected

_FEW = 16


def recertify(suite: Suite, *, workers: int | None = None) -> Iterator[tuple[str, Rejected | None]]:
    """(id, None when it holds or the reason against it) of every env of `suite`, in order.

    An env whose content no longer matches its certificate does not hold. Every env that holds enters this machine's vet
    record, so that `isolation="auto"` may play it in process.
    """
    jobs = [(suite.path, env_id) for env_id in suite.ids]
    if workers == 1 or len(jobs) < _FEW:
        outcomes: Iterator[Rejected | None] = map(_recertify, jobs)
        yield from zip(suite.ids, outcomes, strict=True)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from zip(suite.ids, pool.map(_recertify, jobs, chunksize=8), strict=True)


@cache
def _certifier() -> Certifier:
    """One for this process; its runners end with it."""
    return Certifier()


@cache
def _suite(path: Path) -> Suite:
    return open_suite(path, skip_bad=True)


def _recertify(job: tuple[Path, str]) -> Rejected | None:
    path, env_id = job
    try:
        spec = _suite(path).load(env_id)
    except (SpecError, SuiteError) as error:
        return Rejected(id=env_id, stage="read", reason=str(error))
    outcome = _certifier().certify(spec)
    return outcome if isinstance(outcome, Rejected) else None
