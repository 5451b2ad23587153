"""What a trajectory has solved: one verifier watches one episode's tool calls and keeps the counts.

A sub-question is solved when a call to the tool of its gold call returns, at the declared path, a value that equals its
typed answer; how the model came by the arguments is not asked, with one exception: where few values are possible (yes
or no, a choice among named things) the arguments must carry the upstream answers, or half of all calls would be paid.
One call is credited with one sub-question at most, and each sub-question once. How each dependency was used (`edges`)
is recorded beside the counts and does not change them. A call that an injected fault hit earns nothing, whatever it
shows, and stops counting when it is made again (or at once, when that would not help): the fault is not the model's,
what it then does with it is. What the counts are worth is decided in `reward.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from astra_gym.errors import SpecError
from astra_gym.gold import fill_refs, resolve_pointer
from astra_gym.records import JSON
from astra_gym.types import (
    Decomposition,
    EdgeStatus,
    FaultedResult,
    GoldCall,
    RewardBreakdown,
    SubQuestion,
    ToolCall,
    ToolResult,
    iter_refs,
)
from astra_gym.values.matching import Matcher, item_matcher

INVALID_CODES = frozenset({"invalid_json", "unknown_tool", "invalid_arguments"})
"""Errors of calls that no tool ran for."""


@dataclass(frozen=True, slots=True)
class _Edge:
    """A dependency between two sub-questions that need tools."""

    key: str
    upstream: str
    equals: Matcher
    """Whether a value equals the upstream answer."""
    pointers: tuple[str | None, ...]
    """Where in the upstream output the values stand that the gold arguments refer to; None is its result path."""


@dataclass(frozen=True, slots=True)
class _Target:
    """A sub-question that needs a tool, prepared for `observe`."""

    id: str
    tool: str
    solved_by: Callable[[JSON], bool]
    """Whether an output holds the answer at the result path."""
    gold_arguments: dict[str, JSON]
    """References included."""
    has_refs: bool
    edges: tuple[_Edge, ...]
    must_carry: tuple[Matcher, ...]
    """Upstream answers that the arguments must hold for credit; empty unless the answer has few possible values."""


class _Credit(NamedTuple):
    """The call that solved a sub-question."""

    call: ToolCall
    output: JSON
    turn: int


@dataclass(slots=True)
class _Episode:
    """All that changes while an episode is played."""

    calls: int = 0
    invalid_calls: int = 0
    credits: dict[str, _Credit] = field(default_factory=dict)
    edges: dict[str, EdgeStatus] = field(default_factory=dict)
    faulted: list[ToolCall] = field(default_factory=list)
    """Calls that an injected fault hit and that were not made again yet."""

    def copy(self) -> _Episode:
        return _Episode(self.calls, self.invalid_calls, dict(self.credits), dict(self.edges), list(self.faulted))


class EpisodeVerifier:
    """Credits the calls of one episode, in the order in which they were made."""

    def __init__(self, decomposition: Decomposition) -> None:
        """Raises: SpecError when no sub-question needs a tool."""
        targets = [_target(decomposition, sub, sub.call) for sub in decomposition.sub_questions if sub.call is not None]
        if not targets:
            raise SpecError(f"{decomposition.id}: no sub-question has a gold call, so there is nothing to verify")
        self.needed = len(targets)
        self._by_tool: dict[str, list[_Target]] = {}
        for target in targets:
            self._by_tool.setdefault(target.tool, []).append(target)
        self._result_paths = {sub.id: sub.result_path for sub in decomposition.sub_questions}
        self._all_open: dict[str, EdgeStatus] = {edge.key: "open" for target in targets for edge in target.edges}
        self._episode = _Episode(edges=dict(self._all_open))

    def reset(self) -> None:
        """Forget the episode."""
        self._episode = _Episode(edges=dict(self._all_open))

    def copy(self) -> EpisodeVerifier:
        """A verifier at the same point of the episode that goes on independently of this one."""
        twin = object.__new__(EpisodeVerifier)
        twin.__dict__.update(self.__dict__)
        twin._episode = self._episode.copy()
        return twin

    @property
    def calls(self) -> int:
        """Calls that count: malformed ones included, those excused by an injected fault not."""
        return self._episode.calls

    @property
    def invalid_calls(self) -> int:
        """Of all calls, those that no tool ran for: malformed, to an unknown tool, or with arguments off its schema."""
        return self._episode.invalid_calls

    @property
    def solved(self) -> tuple[str, ...]:
        """Ids of the solved sub-questions in the order in which they were solved."""
        return tuple(self._episode.credits)

    @property
    def all_solved(self) -> bool:
        return len(self._episode.credits) == self.needed

    @property
    def edges(self) -> dict[str, EdgeStatus]:
        """How each dependency between sub-questions that need tools was used, by `"q1->q2"`."""
        return dict(self._episode.edges)

    @property
    def breakdown(self) -> RewardBreakdown:
        return RewardBreakdown(self.needed, len(self._episode.credits), self._episode.calls)

    def observe(self, call: ToolCall | None, result: ToolResult, turn: int) -> str | None:
        """Take in the next call and its result; `call` is None when the model's text was no call.

        `turn` numbers the model's messages: what a message's calls return is seen from the next one on.
        Returns: the id of the sub-question that the call is credited with, or None.
        """
        episode = self._episode
        episode.calls += 1
        if call is None or result.error is not None or type(result) is FaultedResult:
            self._observe_failure(call, result)
            return None
        if episode.faulted:
            self._excuse(call)
        targets = self._by_tool.get(call.name)
        if targets is None:
            return None
        output, credits = result.output, episode.credits
        hits = [
            target
            for target in targets
            if target.id not in credits
            and target.solved_by(output)
            and all(_carries(call.arguments, equals) for equals in target.must_carry)
        ]
        return self._credit(call, output, hits, turn) if hits else None

    def _observe_failure(self, call: ToolCall | None, result: ToolResult) -> None:
        episode = self._episode
        if call is not None and episode.faulted:
            self._excuse(call)
        code = None if result.error is None else result.error.code
        if call is None or code in INVALID_CODES:
            episode.invalid_calls += 1
        elif not isinstance(result, FaultedResult):
            if code == "injected_fault":
                episode.faulted.append(call)
        elif result.excuse == "on_retry":
            episode.faulted.append(call)
        elif result.excuse == "at_once":
            episode.calls -= 1

    def _excuse(self, call: ToolCall) -> None:
        """Stop counting the calls that a fault hit and that `call` makes again."""
        faulted = self._episode.faulted
        self._episode.faulted = [earlier for earlier in faulted if not _same_call(earlier, call)]
        self._episode.calls -= len(faulted) - len(self._episode.faulted)

    def _credit(self, call: ToolCall, output: JSON, hits: list[_Target], turn: int) -> str | None:
        """Credit one of the sub-questions that `output` answers; none when the call repeats a credited one."""
        credits = self._episode.credits
        for credit in credits.values():
            if _same_call(credit.call, call):
                hits = [target for target in hits if self._is_gold(target, call)]
                if not hits:
                    return None
                break
        target = hits[0]
        if len(hits) > 1:
            target = min(hits, key=lambda hit: (not self._is_gold(hit, call), not self._is_ready(hit)))
        for edge in target.edges:
            self._episode.edges[edge.key] = self._edge_status(edge, call, turn)
        credits[target.id] = _Credit(call, output, turn)
        return target.id

    def _is_gold(self, target: _Target, call: ToolCall) -> bool:
        """Whether `call` has the gold arguments, references being to what the episode's own calls returned."""
        if not target.has_refs:
            return _same_value(target.gold_arguments, call.arguments)
        try:
            return _same_value(fill_refs(target.gold_arguments, self._recorded), call.arguments)
        except LookupError:
            return False

    def _is_ready(self, target: _Target) -> bool:
        return all(edge.upstream in self._episode.credits for edge in target.edges)

    def _recorded(self, upstream: str, pointer: str | None) -> JSON:
        """What the call that solved `upstream` returned at a pointer.

        Raises: LookupError when it was not solved or nothing stands there.
        """
        path = self._result_paths[upstream] if pointer is None else pointer
        return resolve_pointer(self._episode.credits[upstream].output, path)

    def _edge_status(self, edge: _Edge, call: ToolCall, turn: int) -> EdgeStatus:
        """How `call`, made in `turn`, uses the upstream answer."""
        upstream = self._episode.credits.get(edge.upstream)
        if upstream is None or upstream.turn >= turn:
            return "guessed" if _carries(call.arguments, edge.equals) else "violated"
        for pointer in edge.pointers:
            if not self._uses(edge, pointer, call):
                return "violated"
        return "satisfied"

    def _uses(self, edge: _Edge, pointer: str | None, call: ToolCall) -> bool:
        """Whether the arguments carry what stood at `pointer` in the upstream output."""
        if pointer is None:
            return _carries(call.arguments, edge.equals)
        try:
            return _carries(call.arguments, item_matcher(self._recorded(edge.upstream, pointer), 0.0, 1e-9))
        except (LookupError, RecursionError):
            return False


def _target(decomposition: Decomposition, sub: SubQuestion, call: GoldCall) -> _Target:
    edges = []
    for upstream in dict.fromkeys(sub.depends_on):
        above = decomposition.by_id[upstream]
        if above.call is not None:
            pointers = tuple(dict.fromkeys(path for ref, path in iter_refs(call.arguments) if ref == upstream))
            edges.append(_Edge(f"{upstream}->{sub.id}", upstream, above.answer.matcher(), pointers))
    solved_by = _at(sub.result_path, sub.answer.matcher())
    few_values = sub.answer.kind == "bool" or bool(sub.answer.choices)
    must_carry = tuple(edge.equals for edge in edges if None in edge.pointers) if few_values else ()
    return _Target(sub.id, call.tool, solved_by, call.arguments, bool(call.refs), tuple(edges), must_carry)


def _at(pointer: str, match: Matcher) -> Matcher:
    """`match` on the value at a JSON Pointer; False where nothing stands there."""
    if not pointer:
        return match
    *above, last = (step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/"))

    def matches(output: JSON) -> bool:
        value = output
        for key in above:
            if type(value) is not dict or key not in value:
                return elsewhere(output)
            value = value[key]
        if type(value) is not dict:
            return elsewhere(output)
        return last in value and match(value[last])

    def elsewhere(output: JSON) -> bool:
        """The same by the rules for lists, too."""
        try:
            value = resolve_pointer(output, pointer)
        except LookupError:
            return False
        return match(value)

    return matches


def _same_value(left: JSON, right: JSON) -> bool:
    try:
        return bool(left == right)
    except RecursionError:
        return False


def _same_call(left: ToolCall, right: ToolCall) -> bool:
    return left.name == right.name and _same_value(left.arguments, right.arguments)


def _carries(arguments: JSON, equals: Matcher) -> bool:
    """Whether `equals` holds of the arguments or of any value inside them, however deep."""
    waiting: list[JSON] = [arguments]
    while waiting:
        value = waiting.pop()
        if equals(value):
            return True
        if type(value) is dict:
            waiting += value.values()
        elif type(value) is list:
            waiting += value
    return False
