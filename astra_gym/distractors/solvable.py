"""Whether a candidate gives an answer away: it is called, in the sandbox, with what the gold calls are called with.

The gold arguments go in as they are, with single parameters renamed, and spread over the candidate's required
parameters in every way that fits its schema. An answer anywhere in what comes out is enough to refuse the candidate,
although credit would need the gold tool's name: an answer that leaks is an answer not looked up. Yes/no and choices are
looked for among the candidate's answers to their own sub-question only, for half of all tools say "yes".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, permutations

import jsonschema_rs

from astra_gym.distractors.pool import DistractorError, PoolTool
from astra_gym.errors import PolicyError, SandboxError
from astra_gym.gold import resolve_call
from astra_gym.leaks import find_leaks
from astra_gym.records import JSON, canonical_json
from astra_gym.sandbox import IsolatedRunner, Program
from astra_gym.types import SubQuestion, ToolCall, ToolEnvSpec, ToolResult

TRIES = 24
"""Calls at most of one candidate for one sub-question."""
NODES = 2_000
"""Values of one output that are compared with the answers, breadth first."""
SEED = 0


@dataclass(frozen=True, slots=True)
class GoldRun:
    """The gold calls of an env with their references filled in from what the calls before returned."""

    spec: ToolEnvSpec
    calls: Mapping[str, ToolCall]
    """By sub-question."""

    @classmethod
    def of(cls, spec: ToolEnvSpec, runner: IsolatedRunner) -> GoldRun:
        """Run them. Raises: DistractorError when one fails: the env does not hold; SandboxError, PolicyError."""
        program = Program.from_spec(spec)
        calls: dict[str, ToolCall] = {}
        outputs: dict[str, JSON] = {}
        levels = spec.hop_levels
        for level in sorted({levels[sub.id] for sub in spec.needed}):
            subs = [sub for sub in spec.needed if levels[sub.id] == level]
            for sub in subs:
                calls[sub.id] = _resolved(spec, sub, outputs)
            if level == max(levels[sub.id] for sub in spec.needed):
                break  # nothing refers to the last ones
            results = runner.run(program, SEED, list(calls.values()))[-len(subs) :]
            outputs |= {sub.id: result.output for sub, result in zip(subs, results, strict=True)}
        return cls(spec, calls)


def _resolved(spec: ToolEnvSpec, sub: SubQuestion, outputs: Mapping[str, JSON]) -> ToolCall:
    assert sub.call is not None
    try:
        return resolve_call(spec, sub.call, outputs)
    except LookupError as error:
        raise DistractorError(f"{spec.id}: the gold call of {sub.id!r} cannot be made: {error}") from None


def leaks_an_answer(spec: ToolEnvSpec, candidate: PoolTool) -> bool:
    """Whether the candidate's document holds an answer, by the rule of the certificate."""
    alone = spec.model_copy(update={"tools": (candidate.tool,)})
    return any(leak.fatal and leak.place.endswith(f" tool {candidate.tool.name}") for leak in find_leaks(alone))


def solving(gold: GoldRun, candidates: Sequence[PoolTool], runner: IsolatedRunner) -> dict[str, str]:
    """The candidates, by name, that give an answer away, or that cannot be run, with the reason."""
    reasons: dict[str, str] = {}
    asked = [(tool, sub, call) for tool in candidates for sub, call in _trials(gold, tool)]
    if not asked:
        return reasons
    calls = [call for _, _, call in asked]
    try:
        results = _run(gold, candidates, runner, calls)
    except (PolicyError, SandboxError) as error:
        if len(candidates) == 1:
            return {candidates[0].tool.name: f"cannot be run: {error}"}
        for tool in candidates:
            reasons |= solving(gold, [tool], runner)
        return reasons
    for (tool, sub, call), result in zip(asked, results, strict=True):
        if result.error is None and (answered := _answered(gold.spec, sub, call, result.output)):
            reasons.setdefault(tool.tool.name, f"answers {answered!r}")
        elif result.error is not None and result.error.code in ("tool_timeout", "tool_crashed"):
            reasons.setdefault(tool.tool.name, "cannot be run within the limits")
    return reasons


def _run(
    gold: GoldRun, candidates: Sequence[PoolTool], runner: IsolatedRunner, calls: Sequence[ToolCall]
) -> list[ToolResult]:
    data = {name: table for tool in candidates for name, table in tool.data.items()}
    program = Program(tuple(tool.tool for tool in candidates), "", data, gold.spec.clock, gold.spec.id)
    return runner.run(program, SEED, calls)


def _trials(gold: GoldRun, candidate: PoolTool) -> Iterator[tuple[SubQuestion, ToolCall]]:
    """Calls of the candidate with the arguments of each gold call."""
    fits = jsonschema_rs.Draft202012Validator(candidate.tool.parameters).is_valid
    seen: set[bytes] = set()
    for key, call in gold.calls.items():
        fitting = (arguments for arguments in _spread(call.arguments, candidate.tool.parameters) if fits(arguments))
        for arguments in islice(fitting, TRIES):
            mark = canonical_json([key, arguments])
            if mark not in seen:
                seen.add(mark)
                yield gold.spec.by_id[key], ToolCall(candidate.tool.name, arguments)


def _spread(arguments: Mapping[str, JSON], schema: Mapping[str, JSON]) -> Iterator[dict[str, JSON]]:
    """The arguments as they are, with one renamed, and as the required ones in every order; not yet checked."""
    properties = schema.get("properties")
    names = list(properties) if isinstance(properties, dict) else []
    required = schema.get("required")
    needed = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    renamed = (
        {other if key == name else key: value for key, value in arguments.items()}
        for name in arguments
        for other in names
        if other not in arguments
    )
    spread = (
        dict(zip(needed, values, strict=True))
        for values in islice(permutations(arguments.values(), len(needed)), 4 * TRIES)
    )
    single = ({name: value} for name in names for value in arguments.values())
    yield from chain([dict(arguments)], renamed, spread if needed else (), single)


def _answered(spec: ToolEnvSpec, own: SubQuestion, call: ToolCall, output: JSON) -> str | None:
    """The id of a sub-question whose answer stands in the output of a call made for `own`.

    An answer that went in as an argument is no news when it comes out.
    """
    given = list(call.arguments.values())
    targets = [own]
    for sub in spec.needed:
        few_values = sub.answer.kind == "bool" or sub.answer.choices
        if sub.id != own.id and not few_values and not any(map(sub.answer.matches, given)):
            targets.append(sub)
    for value in islice(_values(output), NODES):
        for sub in targets:
            if sub.answer.matches(value):
                return sub.id
    return None


def _values(output: JSON) -> Iterator[JSON]:
    """The output and every value inside it, breadth first."""
    level: list[JSON] = [output]
    while level:
        yield from level
        level = list(chain.from_iterable(_inside(value) for value in level))


def _inside(value: JSON) -> Sequence[JSON]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
