"""Query programs: graphs of operations with literal arguments or the results of others, and their exact answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from astra_gym.env_synthesis.sources.tables.kinds import Kind
from astra_gym.env_synthesis.sources.tables.operation import Operation, Undecided, World
from astra_gym.env_synthesis.sources.tables.phrases import folded
from astra_gym.records import JSON

MAX_LISTED = 8
"""A list with more members than this is no good answer."""


@dataclass(frozen=True, eq=False)
class Node:
    """One operation applied: `arguments` holds a literal or the node whose result is passed."""

    operation: Operation
    arguments: Mapping[str, JSON | Node]
    value: JSON

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The nodes it depends on, without repeats."""
        return tuple(dict.fromkeys(value for value in self.arguments.values() if isinstance(value, Node)))

    @property
    def kind(self) -> Kind:
        return self.operation.output


@dataclass
class Program:
    """Nodes in an order in which each comes after its inputs; grown by `add`."""

    world: World
    nodes: list[Node] = field(default_factory=list)

    def add(self, operation: Operation, arguments: Mapping[str, JSON | Node]) -> Node:
        """Apply `operation` and keep the result.

        Raises: Undecided when there is no single answer, or one that says little: 0 or 1, an empty or long list,
        a value that the program already holds or that its literals already name.
        """
        plain = self.plain(arguments)
        if len({str(value) for value in plain.values()}) < len(plain):
            raise Undecided
        if operation.family in ("compare", "is_more") and _foregone(operation, arguments):
            raise Undecided
        if operation.family in ("later", "convert") and _repeated(operation, arguments):
            raise Undecided
        value = operation.run(self.world, plain)
        if not operation.chooses and not self._tells(value, plain):
            raise Undecided
        node = Node(operation, arguments, value)
        self.nodes.append(node)
        return node

    @staticmethod
    def plain(arguments: Mapping[str, JSON | Node]) -> dict[str, JSON]:
        """Arguments with the results of nodes in their place."""
        return {name: value.value if isinstance(value, Node) else value for name, value in arguments.items()}

    def _tells(self, value: JSON, arguments: Mapping[str, JSON]) -> bool:
        if isinstance(value, bool):
            return True
        if isinstance(value, int | float):
            return value not in (0, 1, 100) and abs(value) < 1e15 and all(value != node.value for node in self.nodes)
        if isinstance(value, list):
            return 2 <= len(value) <= MAX_LISTED and all(value != node.value for node in self.nodes)
        own = folded(value)
        return value not in self.texts and not any(own in folded(str(other)) for other in arguments.values())

    @property
    def texts(self) -> set[str]:
        """Every text that a literal or a result holds."""
        found: set[str] = set()
        for node in self.nodes:
            for value in (node.value, *node.arguments.values()):
                if isinstance(value, str):
                    found.add(value)
                elif isinstance(value, list):
                    found.update(item for item in value if isinstance(item, str))
        return found

    @property
    def sinks(self) -> tuple[Node, ...]:
        """The nodes whose result no other one takes, in order: what the question asks for."""
        used = {upstream for node in self.nodes for upstream in node.inputs}
        return tuple(node for node in self.nodes if node not in used)

    @property
    def levels(self) -> dict[Node, int]:
        """Hop level of each node: 1 + the longest path to it."""
        levels: dict[Node, int] = {}
        for node in self.nodes:
            levels[node] = 1 + max((levels[upstream] for upstream in node.inputs), default=0)
        return levels

    @property
    def hops(self) -> int:
        return max(self.levels.values())

    def consumers(self, node: Node) -> int:
        """How many arguments take the result of `node`."""
        return sum(value is node for other in self.nodes for value in other.arguments.values())

    def literals(self) -> Iterator[tuple[Kind, JSON]]:
        """Every literal argument with its kind."""
        for node in self.nodes:
            for parameter in node.operation.parameters:
                if not isinstance(node.arguments[parameter.name], Node):
                    yield parameter.kind, node.arguments[parameter.name]


def _foregone(operation: Operation, arguments: Mapping[str, JSON | Node]) -> bool:
    """Whether a comparison follows from how its arguments were found, by an ordering of the same column."""
    ordered = ("next", "extreme", "nth", "best_of_list", "compare")
    found_by = [value.operation for value in arguments.values() if isinstance(value, Node)]
    return any(
        other.family in ordered and columns & other.needs.get(table, frozenset())
        for other in found_by
        for table, columns in operation.needs.items()
    )


def _repeated(operation: Operation, arguments: Mapping[str, JSON | Node]) -> bool:
    """Whether the operation is applied to a result of its own family, as in a date after a date after a date."""
    return any(isinstance(value, Node) and value.operation.family == operation.family for value in arguments.values())
