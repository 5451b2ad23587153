"""How much candidates resemble an env's tools: cosines, normalised a row at a time, in three bands.

Source: irrelevant-tool mixing, arXiv 2601.21558, section 4: each in-scope tool's similarities to all other tools are
scaled to [0, 1] by their own minimum and maximum, so that the bands are relative to that tool.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from astra_gym.distractors.embedding import Vectors

Band: TypeAlias = Literal["high", "medium", "low"]
BANDS: tuple[Band, ...] = ("high", "medium", "low")
"""Most alike first."""
HIGH_ABOVE = 0.85
LOW_BELOW = 0.4
CACHE_BYTES = 64 << 20
"""What the rows that are kept may take."""
LEVELS: dict[Band, int] = {"low": 0, "medium": 1, "high": 2}
"""The bands as `BandIndex.of` gives them."""


def normalised_rows(similarities: npt.NDArray[np.float32], own: Sequence[int]) -> npt.NDArray[np.float32]:
    """Each row scaled to [0, 1] by its minimum and maximum over all columns but its own.

    Args:
        similarities: cosines, shape (R, T).
        own: the column that is the row's own tool, length R.

    Returns: shape (R, T); NaN in the own column; 0 in a row whose values are all equal.
    """
    rows = similarities.astype(np.float32, copy=True)
    rows[np.arange(len(own)), own] = np.nan
    if rows.shape[1] < 2:
        return rows
    low = np.nanmin(rows, axis=1, keepdims=True)
    span = np.nanmax(rows, axis=1, keepdims=True) - low
    return np.where(span > 0, (rows - low) / np.where(span > 0, span, 1), np.where(np.isnan(rows), np.nan, 0))


class BandIndex:
    """The bands of a pool, computed a row at a time when asked for; memory stays at `CACHE_BYTES`."""

    def __init__(self, vectors: Vectors) -> None:
        """`vectors`: unit rows, shape (T, D)."""
        self._vectors = vectors
        self._size = int(vectors.shape[0])
        self._rows: OrderedDict[int, npt.NDArray[np.int8]] = OrderedDict()
        self._most = max(16, CACHE_BYTES // max(1, self._size))

    def of(self, tools: Sequence[int]) -> npt.NDArray[np.int8]:
        """Level of every tool of the pool for an env that has `tools`, the highest over its tools: shape (T,).

        What a tool is to itself is not asked: it counts as low.
        """
        levels: npt.NDArray[np.int8] = self._levels(list(dict.fromkeys(tools))).max(axis=0)
        return levels

    def _levels(self, tools: Sequence[int]) -> npt.NDArray[np.int8]:
        missing = [tool for tool in tools if tool not in self._rows]
        new = dict(zip(missing, self._compute(missing), strict=True)) if missing else {}
        rows = np.stack([new[tool] if tool in new else self._rows[tool] for tool in tools])
        self._rows.update(new)
        for tool in tools:
            self._rows.move_to_end(tool)
        while len(self._rows) > self._most:
            self._rows.popitem(last=False)
        return rows

    def _compute(self, tools: Sequence[int]) -> npt.NDArray[np.int8]:
        cosines = self._vectors[list(tools)] @ self._vectors.T
        dense = cosines if isinstance(cosines, np.ndarray) else cosines.toarray()
        rows = np.nan_to_num(normalised_rows(dense, tools), nan=0.0)
        high, medium, low = LEVELS["high"], LEVELS["medium"], LEVELS["low"]
        return np.where(rows > HIGH_ABOVE, high, np.where(rows >= LOW_BELOW, medium, low)).astype(np.int8)
