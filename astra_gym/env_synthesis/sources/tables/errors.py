"""What is wrong with a table or with its description, said to the person who brought it."""

from __future__ import annotations

from astra_gym.errors import AstraError


class TableError(AstraError, ValueError):
    """A table or its description cannot be used; the message says where, what was found and what would do."""
