"""What every door looks like: a stream of items, and a function from one item to one spec or the reason against it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from astra_gym.records import JSON
from astra_gym.types import Rejected, ToolEnvSpec


@dataclass(frozen=True, slots=True)
class Item:
    """One record on its way in. `id` is stable between runs: a run resumes by it."""

    id: str
    payload: JSON


class Source(Protocol):
    """A door. Instances are pickled into worker processes, so they hold data, not handles."""

    name: str

    def items(self) -> Iterator[Item | Rejected]:
        """The records in order, the same on every run; one that cannot be read is a `Rejected` in its place."""
        ...

    def build(self, item: Item) -> ToolEnvSpec | Rejected:
        """The env of one item, not yet certified. Depends on nothing but this source's data and the item."""
        ...
