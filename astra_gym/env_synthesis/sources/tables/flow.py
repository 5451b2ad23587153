"""Which operations may follow which: the graph of kinds in which programs are walks.

An operation can take a step of a walk when one of its arguments is the value so far and a question can simply state
the others. It can join walks when two or more of its arguments can be the ends of walks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from astra_gym.env_synthesis.sources.tables.kinds import SMALL, Kind
from astra_gym.env_synthesis.sources.tables.operation import Operation, Parameter

MAX_HOPS = 8


@dataclass(frozen=True, slots=True)
class Step:
    """An operation and the arguments that take results: none at the start of a walk, one in it, more at a join."""

    operation: Operation
    flows: tuple[Parameter, ...] = ()


Steps = Mapping[str, Sequence[Step]]
"""Steps by the family of their operation."""


class Flow:
    """The operations of a domain, indexed for walking. What is asked for is kept."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = tuple(operations)
        self._kept: dict[tuple[str, int, int, Kind | None, Kind | None], Steps] = {}

    @cached_property
    def _starts(self) -> tuple[Step, ...]:
        return tuple(Step(op) for op in self.operations if all(p.kind.stated for p in op.parameters))

    @cached_property
    def _joins(self) -> tuple[Step, ...]:
        found = [Step(op, tuple(p for p in op.parameters if p.kind.base not in SMALL)) for op in self.operations]
        return tuple(step for step in found if len(step.flows) > 1)

    @cached_property
    def _kinds(self) -> tuple[Kind, ...]:
        return tuple(dict.fromkeys(op.output for op in self.operations))

    @cached_property
    def _steps(self) -> Mapping[Kind, tuple[Step, ...]]:
        return {kind: tuple(step for op in self.operations for step in _steps(op, kind)) for kind in self._kinds}

    @cached_property
    def _reach(self) -> tuple[Mapping[Kind, frozenset[Kind]], ...]:
        """_reach[n][kind]: the kinds at which a walk of exactly n steps from `kind` can end."""
        levels: list[Mapping[Kind, frozenset[Kind]]] = [{kind: frozenset([kind]) for kind in self._kinds}]
        for _ in range(MAX_HOPS):
            last = levels[-1]
            following = {kind: {step.operation.output for step in self._steps[kind]} for kind in self._kinds}
            levels.append({kind: _union(last[end] for end in following[kind]) for kind in self._kinds})
        return tuple(levels)

    @cached_property
    def _ends(self) -> tuple[frozenset[Kind], ...]:
        """_ends[n]: the kinds at which a walk of exactly n operations from stated values can end."""
        first = {step.operation.output for step in self._starts}
        return (frozenset(), *(_union(self._reach[n][kind] for kind in first) for n in range(MAX_HOPS)))

    def leads(self, kind: Kind, hops: int, goal: Kind | None) -> bool:
        """Whether a walk of `hops` steps from `kind` can end at `goal` (anywhere, when it is None)."""
        ends = self._reach[hops][kind]
        return bool(ends) if goal is None else any(goal.accepts(end) for end in ends)

    def lengths(self, goal: Kind, longest: int) -> list[int]:
        """Lengths, ascending, of the walks from stated values that can end at `goal`."""
        return [n for n in range(1, longest + 1) if any(goal.accepts(kind) for kind in self._ends[n])]

    def sisters(self, operation: Operation, goal: Kind) -> list[Operation]:
        """Look-ups that give a value of kind `goal` for the same row as the look-up `operation`."""
        return [
            other
            for other in self.operations
            if other.family == operation.family == "look_up"
            and other.parameters[0].kind == operation.parameters[0].kind
            and goal.accepts(other.output)
        ]

    def starts(self, hops: int, goal: Kind | None) -> Steps:
        """First steps of walks of `hops` operations to `goal`."""
        key = ("starts", hops, 0, None, goal)
        if key not in self._kept:
            self._kept[key] = _by_family(s for s in self._starts if self.leads(s.operation.output, hops - 1, goal))
        return self._kept[key]

    def steps(self, kind: Kind, left: int, goal: Kind | None) -> Steps:
        """Steps from a value of `kind` after which a walk of `left` more can end at `goal`."""
        key = ("steps", left, 0, kind, goal)
        if key not in self._kept:
            self._kept[key] = _by_family(s for s in self._steps[kind] if self.leads(s.operation.output, left, goal))
        return self._kept[key]

    def joins(self, stem: int, tail: int) -> Steps:
        """Operations at which walks of up to `stem` operations, one of them as long, can meet and go on for `tail`."""
        key = ("joins", stem, tail, None, None)
        if key not in self._kept:
            self._kept[key] = _by_family(s for s in self._joins if self._joinable(s, stem, tail))
        return self._kept[key]

    def _joinable(self, join: Step, stem: int, tail: int) -> bool:
        lengths = [self.lengths(flow.kind, stem) for flow in join.flows]
        return (
            all(lengths) and any(stem in found for found in lengths) and self.leads(join.operation.output, tail, None)
        )


def _steps(operation: Operation, kind: Kind) -> list[Step]:
    return [
        Step(operation, (flow,))
        for flow in operation.parameters
        if flow.kind.accepts(kind) and all(other.kind.stated for other in operation.parameters if other is not flow)
    ]


def _by_family(steps: Iterable[Step]) -> Steps:
    found: dict[str, list[Step]] = {}
    for step in steps:
        found.setdefault(step.operation.family, []).append(step)
    return found


def _union(sets: Iterable[frozenset[Kind]]) -> frozenset[Kind]:
    return frozenset().union(*sets)
