"""The certificate: what must hold of an env before it may enter a suite, checked by running it.

The gold calls are replayed in locked-down processes, with every reference taken from an upstream *output*, and must
earn F1 = 1; the same bytes must come twice, from processes with different hash seeds; changing any required argument
must lose the answer; and no answer may stand where the model can read it. A check that cannot run is `unknown`, and
only a spec whose every check passes gets a certificate. What counts as solved is decided in `verifier.py`, what source
may do in `sandbox`. Answers to weaknesses W15 to W20 of the published pipeline (arXiv 2601.21558, section 3).
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version

import orjson

from astra_gym.errors import PolicyError, SandboxError, SpecError
from astra_gym.gold import resolve_call, resolve_pointer
from astra_gym.leaks import find_leaks
from astra_gym.perturb import Perturbation, perturbations
from astra_gym.records import JSON, canonical_json
from astra_gym.sandbox import (
    ArgumentValidator,
    IsolatedRunner,
    Program,
    check_source,
    record_vet,
)
from astra_gym.types import Certificate, Rejected, SubQuestion, ToolCall, ToolEnvSpec, ToolResult, Verdict
from astra_gym.verifier import EpisodeVerifier

SEED = 0
OTHER_SEED = 20250101


class _Failed(Exception):
    """One check says no: ends the certification of one spec."""

    def __init__(self, stage: str, reason: str, evidence: JSON = None) -> None:
        super().__init__(reason)
        self.stage, self.reason, self.evidence = stage, reason, evidence


@dataclass
class _Case:
    """A spec under test with what is known of it so far."""

    spec: ToolEnvSpec
    program: Program
    first: IsolatedRunner
    second: IsolatedRunner
    calls: dict[str, ToolCall] = field(default_factory=dict)
    results: dict[str, ToolResult] = field(default_factory=dict)


class Certifier:
    """Holds two isolated runners (hash seeds 1 and 2), so that certifying many specs starts two processes, not many.

    Use as a context manager, or call `close`.
    """

    def __init__(self) -> None:
        self._first = IsolatedRunner(hash_seed=1)
        self._second = IsolatedRunner(hash_seed=2)

    def __enter__(self) -> Certifier:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._first.close()
        self._second.close()

    def certify(self, spec: ToolEnvSpec) -> Certificate | Rejected:
        """Certify one spec; see `certify`."""
        try:
            case = _Case(spec, _check_sources(spec), self._first, self._second)
            checks = tuple(Verdict(check=name, status="pass", evidence=check(case)) for name, check in _CHECKS)
        except _Failed as failed:
            return Rejected(id=spec.id, stage=failed.stage, reason=failed.reason, evidence=failed.evidence)
        except SandboxError as error:
            return Rejected(id=spec.id, stage="sandbox", reason=f"unknown: a check could not run: {error}")
        record_vet(case.program, stateless=case.program.stateless)
        return Certificate(content_hash=spec.content_hash(), checks=checks, versions=_versions())


def certify(spec: ToolEnvSpec) -> Certificate | Rejected:
    """Check one env as it must hold for everybody who plays it.

    Returns: the certificate to store with `with_certificate`, or the first reason against it. A pass also enters the
    program into this machine's vet record, so that `isolation="auto"` may run it in process here.
    """
    with Certifier() as certifier:
        return certifier.certify(spec)


def with_certificate(spec: ToolEnvSpec, certificate: Certificate) -> ToolEnvSpec:
    """`spec` carrying `certificate`. Raises SpecError when the certificate is another content's."""
    if certificate.content_hash != spec.content_hash():
        raise SpecError(f"{spec.id}: the certificate is of {certificate.content_hash}, this is {spec.content_hash()}")
    return spec.model_copy(update={"certificate": certificate})


@cache
def _versions() -> dict[str, str]:
    major, minor, _ = platform.python_version_tuple()
    return {
        "astra-gym": version("astra-gym"),
        "RestrictedPython": version("RestrictedPython"),
        "python": f"{major}.{minor}",
    }


def _check_sources(spec: ToolEnvSpec) -> Program:
    """Every source is inside the policy and every schema is one. (Unique names are `ToolEnvSpec`'s own rule.)"""
    try:
        for tool in spec.tools:
            check_source(tool.source, tool.name)
            ArgumentValidator(tool)
        return Program.from_spec(spec)
    except PolicyError as error:
        raise _Failed("sources", str(error)) from error


def _check_replay(case: _Case) -> JSON:
    """The gold calls, upstream values taken from outputs, solve every sub-question: F1 = 1, every edge satisfied."""
    spec = case.spec
    verifier = EpisodeVerifier(spec)
    levels = sorted({spec.hop_levels[sub.id] for sub in spec.needed})
    for turn, level in enumerate(levels):
        subs = [sub for sub in spec.needed if spec.hop_levels[sub.id] == level]
        outputs = {key: result.output for key, result in case.results.items()}
        for sub in subs:
            case.calls[sub.id] = _resolve(spec, sub, outputs)
        # A fresh episode each time, replayed up to here: state that earlier calls left is there again.
        results = case.first.run(case.program, SEED, list(case.calls.values()))[-len(subs) :]
        for sub, result in zip(subs, results, strict=True):
            if result.error is not None:
                raise _Failed("replay", f"the gold call of {sub.id!r} fails: {result.error.message}", _shown(case, sub))
            case.results[sub.id] = result
            if verifier.observe(case.calls[sub.id], result, turn) is None:
                raise _Failed(
                    "replay",
                    f"the gold call of {sub.id!r} does not give {sub.answer.render()!r} at {sub.result_path!r}",
                    {**_shown(case, sub), "output": _clip(result.output)},
                )
    edges = verifier.edges
    if broken := sorted(edge for edge, status in edges.items() if status != "satisfied"):
        raise _Failed("replay", f"dependencies not used by the gold calls: {broken}", dict(edges))
    if verifier.breakdown.f1 != 1.0:
        raise _Failed("replay", f"the gold calls earn F1 = {verifier.breakdown.f1:.3f}, expected 1")
    evidence: dict[str, JSON] = {"calls": len(case.calls), "f1": 1.0}
    if missing := case.first.missing_locks:
        evidence["missing_locks"] = list(missing)
    return evidence


def _resolve(spec: ToolEnvSpec, sub: SubQuestion, outputs: dict[str, JSON]) -> ToolCall:
    assert sub.call is not None
    try:
        return resolve_call(spec, sub.call, outputs)
    except LookupError as error:
        raise _Failed("replay", f"an argument of {sub.id!r} cannot be filled: {error}") from error


def _check_determinism(case: _Case) -> JSON:
    """The same bytes again from a process with another hash seed; the same answers under another episode seed."""
    calls = list(case.calls.values())
    want = [_bytes(case.results[key]) for key in case.calls]
    for sub_id, before, after in zip(case.calls, want, case.second.run(case.program, SEED, calls), strict=True):
        if before != _bytes(after):
            raise _Failed(
                "determinism",
                f"{sub_id!r} gave other bytes in a second process",
                {"first": before.decode()[:300], "second": _bytes(after).decode()[:300]},
            )
    for sub_id, result in zip(case.calls, case.second.run(case.program, OTHER_SEED, calls), strict=True):
        if not _solves(case.spec.by_id[sub_id], result):
            raise _Failed(
                "determinism",
                f"{sub_id!r} is answered under episode seed {SEED} but not under {OTHER_SEED}",
                {"second": _bytes(result).decode()[:300]},
            )
    return {"processes": 2, "seeds": 2}


def _check_sensitivity(case: _Case) -> JSON:
    """Each required argument matters: some change of it, alone, loses the answer. An echo of an argument is refused."""
    evidence: dict[str, str] = {}
    tools = {tool.name: tool for tool in case.spec.tools}
    tried = {
        sub.id: perturbations(case.spec, tools[case.calls[sub.id].name], case.calls[sub.id]) for sub in case.spec.needed
    }
    outcomes = _alone(case, {key: [trial.call for trial in trials] for key, trials in tried.items()})
    for sub in case.spec.needed:
        call, trials, results = case.calls[sub.id], tried[sub.id], outcomes[sub.id]
        for name in dict.fromkeys(trial.argument for trial in trials):
            own = [result for trial, result in zip(trials, results, strict=True) if trial.argument == name]
            lost = sum(not _solves(sub, result) for result in own)
            evidence[f"{sub.id}.{name}"] = f"{lost}/{len(own)}"
            if not lost:
                values = [_clip(trial.call.arguments[name]) for trial in trials if trial.argument == name]
                reason = f"{call.name} gives the answer of {sub.id!r} whatever {name!r} is"
                raise _Failed("sensitivity", reason, {**_shown(case, sub), "tried": values})
        if echo := _echoed(sub, call, trials, results):
            raise _Failed("sensitivity", f"{call.name} only gives back its argument {echo!r}", _shown(case, sub))
    return evidence


def _alone(case: _Case, asked: Mapping[str, Sequence[ToolCall]]) -> dict[str, list[ToolResult]]:
    """By sub-question: the result of each call made alone, after the gold calls that the sub-question depends on.

    Where no call leaves anything behind, all go in one episode: nothing can be told apart.
    """
    if case.program.stateless:
        results = iter(case.first.run(case.program, SEED, [call for calls in asked.values() for call in calls]))
        return {key: [next(results) for _ in calls] for key, calls in asked.items()}
    alone: dict[str, list[ToolResult]] = {}
    for key, calls in asked.items():
        upstream = _upstream(case.spec, case.spec.by_id[key])
        before = [case.calls[other] for other in case.calls if other in upstream]
        alone[key] = [case.first.run(case.program, SEED, [*before, call])[-1] for call in calls]
    return alone


def _upstream(spec: ToolEnvSpec, sub: SubQuestion) -> set[str]:
    """Every sub-question that `sub` rests on, directly or not."""
    found: set[str] = set()
    waiting = list(sub.depends_on)
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += spec.by_id[key].depends_on
    return found


def _echoed(
    sub: SubQuestion, call: ToolCall, trials: Sequence[Perturbation], results: Sequence[ToolResult]
) -> str | None:
    """The argument whose value the tool hands back in every trial that succeeded (two at least), if there is one."""
    done = [(trial, _value(sub, result)) for trial, result in zip(trials, results, strict=True) if result.ok]
    if len(done) < 2 or {trial.argument for trial, _ in done} != set(call.arguments):
        return None
    for name in call.arguments:
        if all(_same(value, trial.call.arguments[name]) for trial, value in done):
            return name
    return None


def _same(a: JSON, b: JSON) -> bool:
    return type(a) is type(b) and bool(a == b)


def _check_leaks(case: _Case) -> JSON:
    """A text answer stands nowhere that the model can read before it has called a tool; numbers are only recorded."""
    leaks = find_leaks(case.spec)
    if fatal := [leak for leak in leaks if leak.fatal]:
        raise _Failed("leak", fatal[0].describe(), [leak.describe() for leak in fatal])
    return [leak.describe() for leak in leaks]


def _check_other_tools(case: _Case) -> JSON:
    """No tool outside the gold path solves a sub-question when it is given the gold arguments."""
    gold = {call.name for call in case.calls.values()}
    others = [tool.name for tool in case.spec.tools if tool.name not in gold]
    asked = {key: [ToolCall(name, call.arguments) for name in others] for key, call in case.calls.items()}
    for key, results in _alone(case, asked).items():
        sub = case.spec.by_id[key]
        for name, result in zip(others, results, strict=True):
            if _solves(sub, result):
                raise _Failed("other_tools", f"{name} also answers {key!r}", _shown(case, sub))
    return {"tried": others}


def _value(sub: SubQuestion, result: ToolResult) -> JSON:
    try:
        return resolve_pointer(result.output, sub.result_path)
    except LookupError:
        return None


def _solves(sub: SubQuestion, result: ToolResult) -> bool:
    if result.error is not None:
        return False
    try:
        value = resolve_pointer(result.output, sub.result_path)
    except LookupError:
        return False
    return sub.answer.matches(value)


def _bytes(result: ToolResult) -> bytes:
    error = None if result.error is None else [result.error.code, result.error.message]
    return orjson.dumps([result.output, error])


def _shown(case: _Case, sub: SubQuestion) -> dict[str, JSON]:
    call = case.calls[sub.id]
    return {"sub_question": sub.question, "call": {"name": call.name, "arguments": _clip(call.arguments)}}


def _clip(value: JSON, limit: int = 300) -> JSON:
    """`value`, or the head of its JSON when that is long: evidence is for reading."""
    text = canonical_json(value).decode()
    return value if len(text) <= limit else text[:limit] + "…"


_CHECKS = (
    ("replay", _check_replay),
    ("determinism", _check_determinism),
    ("sensitivity", _check_sensitivity),
    ("leak", _check_leaks),
    ("other_tools", _check_other_tools),
)
