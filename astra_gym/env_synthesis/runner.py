"""Runs a door over many items: build, certify, drop repeats, write; resumes after a kill with the same bytes.

One item gives one line: a certified spec in the suite, or a `Rejected` in the file beside it. Lines are written whole
and in item order, so the two files together always hold exactly the first so many items: a later run with the same
source and options skips as many and goes on. What an item becomes is decided in the source and in `certify.py`.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from astra_gym.certify import Certifier, with_certificate
from astra_gym.env_synthesis.outputs import Outputs
from astra_gym.env_synthesis.repeats import Repeats
from astra_gym.env_synthesis.report import RunReport
from astra_gym.env_synthesis.sources.base import Item, Source
from astra_gym.errors import PipelineError
from astra_gym.records import JSON, canonical_json
from astra_gym.suite import SuiteWriter, open_suite
from astra_gym.types import Rejected, ToolEnvSpec

Progress = Callable[["RunReport"], None]
_IN_FLIGHT_PER_WORKER = 8
_PATIENCE = 30
"""An endless source has no more to give once so many items (and 900 more) were rejected for each one kept."""


def run(
    source: Source,
    output: Path,
    *,
    config: dict[str, JSON],
    limit: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> RunReport:
    """Turn the items of `source` into the certified suite `output` (JSONL) and `<output stem>.rejected.jsonl`.

    Args:
        config: what determines the items (input file hashes, seed, options); a resumed run must have the same.
        limit: stop once this many envs are kept, or when hardly anything new comes; needed when the source is endless.
        workers: processes; default: one a core. One runs in this process. The output does not depend on it.
        overwrite: start again although `output` holds something.

    Raises: PipelineError when `output` holds another run's or somebody else's content and `overwrite` is not set.
    """
    files = _Files(output, [source.name, config], overwrite)
    report = RunReport(files.suite, files.rejected)
    with files:
        state = files.resume(report)
        if limit is None or report.kept < limit:
            todo = islice(source.items(), report.resumed, None)
            report.exhausted = _work(source, todo, files, state, report, limit, workers, progress)
    if progress:
        progress(report)
    return report


def _work(
    source: Source,
    todo: Iterator[Item | Rejected],
    files: _Files,
    state: Repeats,
    report: RunReport,
    limit: int | None,
    workers: int | None,
    progress: Progress | None,
) -> bool:
    """Process `todo` in order until it ends or `limit` envs are kept; returns whether there was enough."""
    for item_id, outcome in _outcomes(source, todo, workers or os.cpu_count() or 1):
        if isinstance(outcome, ToolEnvSpec) and (repeated := state.against(outcome, item_id)):
            outcome = repeated
        if isinstance(outcome, ToolEnvSpec):
            state.add(outcome)
            files.write_spec(outcome)
            report.keep(outcome)
        else:
            files.write_rejected(outcome.model_copy(update={"id": item_id}))
            report.reject(outcome)
        if progress:
            progress(report)
        if limit is not None and report.kept >= limit:
            return True
        if limit is not None and report.rejected > _PATIENCE * (report.kept + _PATIENCE):
            return False
    return limit is None


def _outcomes(
    source: Source, todo: Iterator[Item | Rejected], workers: int
) -> Iterator[tuple[str, ToolEnvSpec | Rejected]]:
    """(item id, outcome) in item order."""
    if workers == 1:
        with Certifier() as certifier:
            for item in todo:
                yield item.id, item if isinstance(item, Rejected) else process(source, item, certifier)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(source,)) as pool:
        waiting: deque[tuple[str, Future[ToolEnvSpec | Rejected] | Rejected]] = deque()
        try:
            for item in todo:
                waiting.append((item.id, item if isinstance(item, Rejected) else pool.submit(_process, item)))
                if len(waiting) >= workers * _IN_FLIGHT_PER_WORKER:
                    yield _settled(*waiting.popleft())
            while waiting:
                yield _settled(*waiting.popleft())
        except BrokenProcessPool as error:
            raise PipelineError(
                "a worker process died (out of memory?); what was finished is kept: run the same command to go on, "
                "with --workers 1 if it happens again"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _settled(item_id: str, outcome: Future[ToolEnvSpec | Rejected] | Rejected) -> tuple[str, ToolEnvSpec | Rejected]:
    return item_id, outcome if isinstance(outcome, Rejected) else outcome.result()


def process(source: Source, item: Item, certifier: Certifier) -> ToolEnvSpec | Rejected:
    """One item: the certified spec, or the first reason against it. Never raises for what an item holds."""
    try:
        built = source.build(item)
    except Exception as error:  # noqa: BLE001 - one item of a batch
        return Rejected(id=item.id, stage="build", reason=f"{type(error).__name__}: {error}")
    if isinstance(built, Rejected):
        return built
    certificate = certifier.certify(built)
    return certificate if isinstance(certificate, Rejected) else with_certificate(built, certificate)


_source: Source
_certifier: Certifier


def _start(source: Source) -> None:
    global _source, _certifier
    _source, _certifier = source, Certifier()


def _process(item: Item) -> ToolEnvSpec | Rejected:
    return process(_source, item, _certifier)


class _Files:
    """The suite and the rejected items, open for appending."""

    def __init__(self, suite: Path, settings: JSON, overwrite: bool) -> None:
        self._outputs = Outputs(suite)
        self._outputs.claim(settings, overwrite=overwrite)
        self.suite, self.rejected = self._outputs.suite, self._outputs.rejected

    def __enter__(self) -> _Files:
        self._specs = SuiteWriter.resume(self.suite)
        self._rejects = _resume_lines(self.rejected)
        return self

    def __exit__(self, *exc: object) -> None:
        self._specs.close()
        self._rejects.close()

    def resume(self, report: RunReport) -> Repeats:
        """Count what an earlier run of the same fingerprint has written, and learn what is taken."""
        taken = Repeats()
        if self.suite.stat().st_size:
            for spec in open_suite(self.suite):
                taken.add(spec)
                report.keep(spec)
        for line in self.rejected.read_bytes().splitlines():
            report.reject(Rejected.model_validate_json(line))
        report.resumed = report.kept + report.rejected
        return taken

    def write_spec(self, spec: ToolEnvSpec) -> None:
        self._specs.write(spec)

    def write_rejected(self, rejected: Rejected) -> None:
        self._rejects.write(canonical_json(rejected.to_json()) + b"\n")
        self._rejects.flush()


def _resume_lines(path: Path) -> BinaryIO:
    """`path` opened for appending, after cutting off a last line that was not finished."""
    path.touch()
    with path.open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
    return path.open("ab")
