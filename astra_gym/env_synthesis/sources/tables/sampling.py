"""Sampling programs of a wanted scenario type and number of hops over one world.

A walk applies one operation after another; a graph joins walks, forks one, or leaves several ends. Each try may fail
(no single answer, a dead end): the caller tries again with the same generator, so the outcome depends on the seed only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random

from astra_gym.env_synthesis.sources.tables.flow import Flow, Steps
from astra_gym.env_synthesis.sources.tables.kinds import Kind
from astra_gym.env_synthesis.sources.tables.operation import Operation, Parameter, Undecided, World
from astra_gym.env_synthesis.sources.tables.programs import Node, Program
from astra_gym.records import JSON
from astra_gym.types import ScenarioType

_TRIES_PER_STEP = 12
_FAMILY_WEIGHTS = {
    "look_up": 3.0, "follow": 3.0, "extreme": 2.5, "nth": 2.0, "nearest": 1.6, "distance": 2.0, "count": 1.6,
    "mean": 1.6, "next": 1.6, "convert": 1.4, "compare": 1.2, "is_more": 0.7, "later": 0.5, "reverse": 0.7,
    "median": 0.6, "min": 0.6, "max": 0.6, "count_above": 1.4, "sum_of_three": 0.7, "named_ratio": 3.0,
    "difference": 2.0,
}  # fmt: skip
"""How often a family is chosen relative to others (1 unless listed)."""
_REPEATED = 0.25
"""What is left of the weight of a family, or of an operation, each time the program has used it."""
_APART = 0.25
"""How often walks of a graph end apart instead of meeting."""
_FORKED = 0.4
"""How often a walk that meets another starts from a node of that one, where it can."""
_COREFERENCE = 0.35
"""How often an argument names again what the program already speaks of."""


class Sampler:
    """Samples programs over one world."""

    def __init__(self, flow: Flow, world: World, rng: Random) -> None:
        self._flow, self._world, self._rng = flow, world, rng
        self._begin()

    def sample(self, scenario: ScenarioType, hops: int) -> Program:
        """A program of that shape. Raises Undecided when this try failed."""
        self._begin()
        if scenario == "Parallel Single-Hop":
            self._level = True
            for _ in range(self._rng.choice((2, 2, 3, 3, 4))):
                self._walk(1)
        elif scenario == "Parallel Multi-Hop":
            self._graph(hops)
        else:
            self._walk(hops)
        return self._program

    def _begin(self) -> None:
        self._program = Program(self._world)
        self._level = False
        """Whether no node may refer to another one."""
        self._used: Counter[str] = Counter()
        """How often each family and each operation stands in the program."""

    # shapes

    def _walk(self, hops: int, goal: Kind | None = None) -> Node:
        """A walk of `hops` nodes from stated values to a value that `goal` accepts."""
        return self._extend(self._take_one_of(self._flow.starts(hops, goal), ()), hops - 1, goal)

    def _extend(self, node: Node, steps: int, goal: Kind | None = None) -> Node:
        """Walk on from `node` by so many steps; the last node."""
        for left in reversed(range(steps)):
            node = self._take_one_of(self._flow.steps(node.kind, left, goal), (node,))
        return node

    def _graph(self, hops: int) -> None:
        """Walks that meet in one node and may go on from there, or that end apart."""
        if self._rng.random() < _APART:
            for length in self._rng.sample((hops, self._rng.randint(1, min(hops, 3))), 2):
                self._walk(length)
            return
        tail = min(self._rng.choice((0, 0, 0, 1, 1, 2)), hops - 2)
        stem = hops - 1 - tail
        joins = self._flow.joins(stem, tail)
        if not joins:
            raise Undecided
        join = self._rng.choice(joins[self._family(joins)])
        of_one_row = join.operation.family == "named_ratio"
        ends = self._columns_of_one_row(join.flows, stem) if of_one_row else self._branches(join.flows, stem)
        node = self._take_one_of({join.operation.family: [join]}, ends)
        self._extend(node, tail)

    def _branches(self, flows: Sequence[Parameter], stem: int) -> list[Node]:
        """The end of one walk for each of `flows`: one of length `stem`, the others shorter or forked off it."""
        order = self._rng.sample(flows, len(flows))
        order.sort(key=lambda flow: stem not in self._flow.lengths(flow.kind, stem))
        ends = {order[0].name: self._walk(stem, order[0].kind)}
        trunk = list(enumerate(self._program.nodes[:-1], start=1))
        for flow in order[1:]:
            forks = [
                (node, steps)
                for level, node in trunk
                for steps in range(1, min(2, stem - level) + 1)
                if self._flow.leads(node.kind, steps, flow.kind)
            ]
            if forks and self._rng.random() < _FORKED:
                node, steps = self._rng.choice(forks)
                ends[flow.name] = self._extend(node, steps, flow.kind)
            else:
                ends[flow.name] = self._walk(self._rng.choice(self._flow.lengths(flow.kind, min(stem, 3))), flow.kind)
        return [ends[flow.name] for flow in flows]

    def _columns_of_one_row(self, flows: Sequence[Parameter], stem: int) -> list[Node]:
        """A walk that ends in a look-up for the first of `flows`, and look-ups of the same row for the others."""
        ends = [self._walk(stem, flows[0].kind)]
        for flow in flows[1:]:
            sisters = self._flow.sisters(ends[0].operation, flow.kind)
            if not sisters:
                raise Undecided
            ends.append(self._program.add(self._rng.choice(sisters), ends[0].arguments))
        return ends

    # nodes

    def _take_one_of(self, steps: Steps, ends: Sequence[Node]) -> Node:
        """The node of the first of `steps`, drawn by weight, that has an answer; Undecided when there is none."""
        for _ in range(_TRIES_PER_STEP if steps else 0):
            step = self._rng.choice(steps[self._family(steps)])
            operation = step.operation
            seen = self._used["compare"] if operation.chooses else self._used[operation.name]
            if seen and self._rng.random() > _REPEATED:
                continue
            try:
                given = {flow.name: end for flow, end in zip(step.flows, ends, strict=True)}
                node = self._program.add(operation, self._filled(operation, given))
            except Undecided:
                continue
            self._used.update((operation.family, operation.name))
            return node
        raise Undecided

    def _family(self, steps: Steps) -> str:
        families = list(steps)
        weights = [_FAMILY_WEIGHTS.get(name, 1.0) * _REPEATED ** self._used[name] for name in families]
        return self._rng.choices(families, weights)[0]

    def _filled(self, operation: Operation, given: Mapping[str, Node]) -> dict[str, JSON | Node]:
        """All arguments of `operation`: those `given`, and stated values for the others."""
        arguments: dict[str, JSON | Node] = {}
        for parameter in operation.parameters:
            arguments[parameter.name] = given[parameter.name] if parameter.name in given else self._stated(parameter)
        return arguments

    def _stated(self, parameter: Parameter) -> JSON | Node:
        kind = parameter.kind
        if kind.base == "position":
            return self._rng.randint(2, 5)
        if kind.base == "count":
            return self._rng.randint(2, 4)
        if kind.base == "days":
            return self._rng.randint(5, 400)
        if self._rng.random() < _COREFERENCE and (known := self._known(kind)):
            return self._rng.choice(known)
        if parameter.drawn_from is None:
            return self._rng.choice(list(self._world[kind.of]))
        table, column = parameter.drawn_from
        value = self._rng.choice(list(self._world[table].values()))[column]
        if value is None:
            raise Undecided
        return value

    def _known(self, kind: Kind) -> list[JSON | Node]:
        """What the program already speaks of that could be named again as a `kind`."""
        literals = [value for other, value in self._program.literals() if kind.accepts(other)]
        nodes = [] if self._level else [node for node in self._program.nodes if kind.accepts(node.kind)]
        return [*literals, *nodes]
