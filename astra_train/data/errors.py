"""What the data of a training run can have wrong with it."""

from __future__ import annotations

from astra_gym.errors import AstraError


class DataError(AstraError, ValueError):
    """Training data cannot be made, written or read; the message says which row or env and what would do."""


class LeakageError(DataError):
    """Something that is to be measured on was trained on."""
