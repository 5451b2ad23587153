"""Runs a door over many items: build, certify, drop repeats, write; resumes after a kill with the same bytes.

One item gives one line: a certified spec in the suite, or a `Rejected` in the file beside it. Lines are written whole
and in item order, so the two files together always hold exactly the first so many items: a later run with the same
source and options skips as many and goes on. What an item becomes is decided in the source and in `certify.py`.
"""

from __future__ import annotations

import multiprocessing
import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import orjson

from astra_gym.certify import Certifier, with_certificate
from astra_gym.env_synthesis.sources.base import Item, Source
from astra_gym.errors import PipelineError
from astra_gym.records import JSON, canonical_json, content_hash
from astra_gym.suite import SuiteWriter, open_suite
from astra_gym.types import Rejected, ToolEnvSpec

Progress = Callable[["RunReport"], None]
_IN_FLIGHT_PER_WORKER = 8
_PATIENCE = 30
"""An endless source has no more to give once so many items (and 900 more) were rejected for each one kept."""


@dataclass
class RunReport:
    """Counts of a run, resumed items included."""

    suite: Path
    rejected_file: Path
    kept: int = 0
    resumed: int = 0
    rejected_by_stage: dict[str, int] = field(default_factory=dict)
    reasons: dict[tuple[str, str], int] = field(default_factory=dict)
    by_group: dict[tuple[str, str, int], int] = field(default_factory=dict)
    """Kept envs by (domain, scenario type, hops)."""
    exhausted: bool = True
    """False when the source ended before `limit` envs were kept."""

    @property
    def rejected(self) -> int:
        return sum(self.rejected_by_stage.values())

    def _keep(self, spec: ToolEnvSpec) -> None:
        self.kept += 1
        group = (spec.domain, spec.scenario_type, spec.hops)
        self.by_group[group] = self.by_group.get(group, 0) + 1

    def _reject(self, rejected: Rejected) -> None:
        self.rejected_by_stage[rejected.stage] = self.rejected_by_stage.get(rejected.stage, 0) + 1
        key = (rejected.stage, _kind(rejected.reason))
        self.reasons[key] = self.reasons.get(key, 0) + 1


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
    files = _Files(output, content_hash([source.name, config]), overwrite)
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
    state: _Repeats,
    report: RunReport,
    limit: int | None,
    workers: int | None,
    progress: Progress | None,
) -> bool:
    """Process `todo` in order until it ends or `limit` envs are kept; returns whether there was enough."""
    for item_id, outcome in _outcomes(source, todo, workers or os.cpu_count() or 1):
        if isinstance(outcome, ToolEnvSpec) and (twin := state.twin(outcome)):
            outcome = Rejected(id=item_id, stage="duplicate", reason=f"the same question or gold calls as {twin}")
        if isinstance(outcome, ToolEnvSpec):
            state.add(outcome)
            files.write_spec(outcome)
            report._keep(outcome)
        else:
            files.write_rejected(outcome.model_copy(update={"id": item_id}))
            report._reject(outcome)
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


class _Repeats:
    """Which ids, questions and gold calls are taken, and by which env."""

    def __init__(self) -> None:
        self._taken: dict[str, str] = {}

    def twin(self, spec: ToolEnvSpec) -> str | None:
        return next((self._taken[key] for key in _fingerprints(spec) if key in self._taken), None)

    def add(self, spec: ToolEnvSpec) -> None:
        self._taken.update(dict.fromkeys(_fingerprints(spec), spec.id))


def _fingerprints(spec: ToolEnvSpec) -> tuple[str, str, str]:
    """The id; the question without case and spacing; the gold calls and answers, whatever the sub-questions' ids."""
    order = {sub.id: str(i) for i, sub in enumerate(spec.sub_questions)}
    calls = [
        [sub.call.tool, _renamed(sub.call.arguments, order), sub.answer.value]
        for sub in spec.sub_questions
        if sub.call is not None
    ]
    return spec.id, content_hash(" ".join(spec.question.casefold().split())), content_hash(calls)


def _renamed(value: JSON, order: dict[str, str]) -> JSON:
    if isinstance(value, dict):
        return {k: order.get(v, v) if k == "$ref" else _renamed(v, order) for k, v in value.items()}
    return [_renamed(item, order) for item in value] if isinstance(value, list) else value


class _Files:
    """The suite, the rejected items and the mark of the run that writes them."""

    def __init__(self, suite: Path, fingerprint: str, overwrite: bool) -> None:
        if suite.suffix != ".jsonl":
            raise PipelineError(f"{suite}: a run writes one .jsonl file; found the suffix {suite.suffix!r}")
        self.suite = suite
        self.rejected = suite.with_suffix(".rejected.jsonl")
        self._mark = suite.with_suffix(".run.json")
        self._fingerprint = fingerprint
        suite.parent.mkdir(parents=True, exist_ok=True)
        if overwrite:
            for path in (self._mark, self.suite, self.rejected):
                path.unlink(missing_ok=True)
        self._check_mark()

    def _check_mark(self) -> None:
        if self._mark.exists():
            try:
                found = orjson.loads(self._mark.read_bytes()).get("fingerprint")
            except (orjson.JSONDecodeError, AttributeError):
                found = None
            if found == self._fingerprint:
                return
        elif not (self.suite.exists() or self.rejected.exists()):
            temporary = self._mark.with_name(self._mark.name + f".{os.getpid()}.tmp")
            temporary.write_bytes(canonical_json({"fingerprint": self._fingerprint}) + b"\n")
            temporary.replace(self._mark)
            return
        raise PipelineError(
            f"{self.suite}: holds the output of another run (other input, seed or options); "
            "choose another output, or start again with --overwrite"
        )

    def __enter__(self) -> _Files:
        self._specs = SuiteWriter.resume(self.suite)
        self._rejects = _resume_lines(self.rejected)
        return self

    def __exit__(self, *exc: object) -> None:
        self._specs.close()
        self._rejects.close()

    def resume(self, report: RunReport) -> _Repeats:
        """Count what an earlier run of the same fingerprint has written, and learn what is taken."""
        taken = _Repeats()
        if self.suite.stat().st_size:
            for spec in open_suite(self.suite):
                taken.add(spec)
                report._keep(spec)
        for line in self.rejected.read_bytes().splitlines():
            report._reject(Rejected.model_validate_json(line))
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


def _kind(reason: str) -> str:
    """A reason without its particulars, so that equal kinds can be counted together."""
    plain = re.sub(r"'[^']*'|\"[^\"]*\"|\[[^\]]*\]|\{[^}]*\}", "…", reason)
    return re.sub(r"-?\d[\d.,]*", "N", plain)[:120]
