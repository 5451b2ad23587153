"""Injected faults: calls of a working tool that fail all the same, as a service on a network does.

Which calls are hit depends on the env's id, the episode's seed and the number of the call alone, so that the same
actions meet the same faults in every process and after every copy. A call that no tool would run for (an unknown
name, arguments off the schema) is never hit: a model's own mistake stays its own. What a hit call is worth is decided
in `verifier.py`. The paper fails 20 % of the calls of its emulated tools (arXiv 2601.21558, section 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Literal, TypeAlias

import orjson
from pydantic import Field, ValidationError, field_validator

from astra_gym.errors import AstraError
from astra_gym.records import JSON, Record
from astra_gym.sandbox import ArgumentValidator, Program, ToolExecutor
from astra_gym.types import FaultedResult, FaultKind, ToolCall, ToolError, ToolResult

FAULT_KINDS: tuple[FaultKind, ...] = ("timeout", "server_error", "rate_limit", "stale", "empty")
_WORDS: Mapping[FaultKind, str] = {
    "timeout": "the service did not answer in time (timeout)",
    "server_error": "the service failed (503 Service Unavailable)",
    "rate_limit": "too many requests (429 Too Many Requests)",
}
_ADVICE = {True: "the call was not made; try it again", False: "the call was not made, and trying again will not help"}


class FaultOptionsError(AstraError, ValueError):
    """Options of injected faults that make no sense."""


class Faults(Record):
    """How often tool calls fail, in which ways, and whether trying again helps."""

    rate: float = Field(default=0.2, ge=0.0, le=1.0)
    """Share of the calls that are hit."""
    kinds: tuple[FaultKind, ...] = Field(default=FAULT_KINDS, min_length=1)
    """Ways to fail, drawn evenly. "stale" is the last result of the same tool in this episode, "empty" one with nothing
    in it; neither says that it is a fault, and where it would be the right result another kind is drawn."""
    recoverable: bool = True
    """Whether the same call succeeds when it is made again; if not, it fails in the same way to the episode's end."""
    max_per_call: int = Field(default=1, ge=1)
    """How many times at most one call (a name with arguments) is hit in an episode; for recoverable faults."""
    seed: int | None = None
    """Another seed hits other calls of the same episode; None is a stream of its own."""

    @field_validator("kinds")
    @classmethod
    def _each_once(cls, kinds: tuple[FaultKind, ...]) -> tuple[FaultKind, ...]:
        return tuple(dict.fromkeys(kinds))

    @classmethod
    def of(cls, options: FaultOptions) -> Faults | None:
        """The faults that an option of `ToolEnv` asks for; None and "" ask for none.

        Args:
            options: a rate, a mapping of fields, the same as JSON text, or "paper".

        Raises: FaultOptionsError, naming what is wrong.
        """
        if options is None or options == "":
            return None
        if isinstance(options, Faults):
            return options
        if options == "paper":
            return PAPER
        try:
            found = orjson.loads(options) if isinstance(options, str) else options
        except orjson.JSONDecodeError as error:
            raise FaultOptionsError(f"faults: expected 'paper' or a JSON object, found {options!r} ({error})") from None
        if isinstance(found, int | float) and not isinstance(found, bool):
            found = {"rate": found}
        if not isinstance(found, Mapping):
            raise FaultOptionsError(f"faults: expected a rate, a mapping or 'paper', found {found!r}")
        try:
            return cls.model_validate(dict(found))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "options"
            fields = ", ".join(cls.model_fields)
            raise FaultOptionsError(
                f"faults: {where}: {first['msg']}, found {first['input']!r}; the options are {fields}"
            ) from None

    def to_json(self) -> dict[str, JSON]:
        """Every field, defaults included: an empty mapping would read like none at all."""
        return self.model_dump(mode="json")


FaultOptions: TypeAlias = Faults | Mapping[str, Any] | float | str | None
"""What `ToolEnv(faults=...)` takes; all but a `Faults` can stand in a JSON file."""
PAPER = Faults(rate=0.2, kinds=("timeout", "server_error"))
"""What the paper does to emulated tools: one call in five times out or finds nobody."""


class FaultyExecutor:
    """Runs calls on another executor, but for those that a fault hits: these do not reach a tool."""

    def __init__(self, inner: ToolExecutor, program: Program, faults: Faults) -> None:
        self.inner = inner
        self.faults = faults
        self.isolation = inner.isolation
        self._program = program
        self._tools = {tool.name: tool for tool in program.tools}
        self._begin(0)

    def _begin(self, seed: int) -> None:
        own = "" if self.faults.seed is None else str(self.faults.seed)
        self._stream = blake2b(f"{own}|{self._program.name}|{seed}|".encode())
        self._calls = 0
        self._hits: list[tuple[ToolCall, FaultKind, int]] = []
        """Calls that were hit, with the way and how many times."""
        self._last: dict[str, JSON] = {}
        """The last output of each tool."""

    @property
    def missing_locks(self) -> tuple[str, ...]:
        return self.inner.missing_locks

    def reset(self, seed: int) -> None:
        """Begin an episode; the same seed hits the same calls."""
        self.inner.reset(seed)
        self._begin(seed)

    def __call__(self, call: ToolCall) -> ToolResult:
        number = self._calls
        self._calls += 1
        before = self._hit_before(call)
        hit = self._decide(number, before)
        if hit is not None and self._reaches_a_tool(call):
            faulted = self._fault(call, hit, before)
            if faulted is not None:
                return faulted
        result = self.inner(call)
        if result.error is None:
            self._last[call.name] = result.output
        return result

    def batch(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        return [self(call) for call in calls]

    def close(self) -> None:
        self.inner.close()

    def _hit_before(self, call: ToolCall) -> int | None:
        """Where in `_hits` the same call stands."""
        for index, (earlier, _, _) in enumerate(self._hits):
            if earlier.name == call.name and _equal(earlier.arguments, call.arguments):
                return index
        return None

    def _decide(self, number: int, before: int | None) -> int | None:
        """None when the call is left alone, else a number to draw the kind with."""
        stream = self._stream.copy()
        stream.update(str(number).encode())
        digest = stream.digest()
        draw = int.from_bytes(digest[8:16], "big")
        if before is None:
            return draw if int.from_bytes(digest[:8], "big") < self.faults.rate * 2**64 else None
        if not self.faults.recoverable:
            return draw
        if self._hits[before][2] >= self.faults.max_per_call:
            return None
        return draw if int.from_bytes(digest[:8], "big") < self.faults.rate * 2**64 else None

    def _reaches_a_tool(self, call: ToolCall) -> bool:
        tool = self._tools.get(call.name)
        return tool is not None and ArgumentValidator(tool).check(call.arguments) is None

    def _fault(self, call: ToolCall, draw: int, before: int | None) -> FaultedResult | None:
        """What the call gives instead of its result; None where no kind can be told from the right result."""
        again = before is not None and not self.faults.recoverable
        left = [self._hits[before][1]] if again and before is not None else list(self.faults.kinds)
        while left:
            draw, place = divmod(draw, len(left))
            kind = left.pop(place)
            excuse: Literal["on_retry", "at_once", "never"] = "on_retry"
            if not self.faults.recoverable:
                excuse = "never" if again else "at_once"
            if kind in _WORDS:
                words = f"{_WORDS[kind]}; {_ADVICE[self.faults.recoverable]}"
                result = FaultedResult(error=ToolError("injected_fault", words), kind=kind, excuse=excuse)
            else:
                output = self._instead(call, kind)
                if output is _NOTHING:
                    continue
                result = FaultedResult(output, kind=kind, excuse=excuse)
            self._remember(call, kind, before)
            return result
        return None

    def _instead(self, call: ToolCall, kind: FaultKind) -> Any:
        """A stale or an empty output in place of the right one, `_NOTHING` where there is none that differs."""
        if not self._program.stateless:  # to run it for comparison would change what later calls see
            return None if kind == "empty" else _NOTHING
        if kind == "stale" and call.name not in self._last:
            return _NOTHING
        right = self.inner(call)
        if right.error is not None:
            return _NOTHING
        output = self._last[call.name] if kind == "stale" else _emptied(right.output)
        return _NOTHING if _equal(output, right.output) else output

    def _remember(self, call: ToolCall, kind: FaultKind, before: int | None) -> None:
        if before is None:
            self._hits.append((call, kind, 1))
        else:
            self._hits[before] = (call, kind, self._hits[before][2] + 1)


_NOTHING = object()


def _emptied(output: JSON) -> JSON:
    """Nothing, in the form of `output`."""
    return type(output)() if type(output) in (dict, list, str) else None


def _equal(left: JSON, right: JSON) -> bool:
    try:
        return bool(left == right)
    except RecursionError:
        return False
