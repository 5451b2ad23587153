"""Gymnasium spaces of text: the action space knows the tools, the observation space bounds a length.

`spaces.Text` admits an alphabet of single characters only. Both spaces are cheap to copy and compare, as vector envs do
that for each sub-env; importing this module also teaches `AsyncVectorEnv` to share such texts (see the end).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, overload

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector.utils import create_shared_memory, read_from_shared_memory, write_to_shared_memory

from astra_gym.schema_samples import sample_schema
from astra_gym.tool_calls import render_call
from astra_gym.types import ToolCall, ToolSpec

_WORDS = ("the", "answer", "is", "42", "Oslo", "déjà vu", "東京", "no", "result", "found")


class ToolCallSpace(gym.Space[str]):
    """What a model may write: any text. A sample is one call of one tool with arguments that fit its schema."""

    def __init__(self, tools: Sequence[ToolSpec], seed: int | np.random.Generator | None = None) -> None:
        super().__init__(shape=None, dtype=None, seed=seed)
        self.tools: list[dict[str, Any]] = [tool.as_openai() for tool in tools]
        """The tools in the OpenAI form; shared between copies of the space, not to be changed."""

    @property
    def is_np_flattenable(self) -> bool:
        return False

    def sample(
        self, mask: npt.NDArray[np.int8] | None = None, probability: npt.NDArray[np.float64] | None = None
    ) -> str:
        """One call of a tool drawn evenly, or by one of the two arrays of shape (number of tools,).

        Args:
            mask: 1 for each tool that may be drawn.
            probability: of each tool; sums to 1.

        Raises: SpecError when no arguments that fit the tool's schema can be found.
        """
        if mask is not None and probability is not None:
            raise ValueError("give `mask` or `probability`, not both")
        weights = probability if mask is None else mask / np.sum(mask)
        tool = self.tools[int(self.np_random.choice(len(self.tools), p=weights))]["function"]
        return render_call(ToolCall(tool["name"], sample_schema(tool["parameters"], self.np_random)))

    def contains(self, x: Any) -> bool:
        """Whether `x` is text: what a model writes is never out of bounds, a malformed call is answered."""
        return isinstance(x, str)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ToolCallSpace) and self.tools == other.tools

    def __repr__(self) -> str:
        return f"ToolCallSpace({[tool['function']['name'] for tool in self.tools]})"

    def __deepcopy__(self, memo: dict[int, Any]) -> ToolCallSpace:
        new = copy.copy(self)
        new._np_random = copy.deepcopy(self._np_random, memo)
        return new


class UnicodeText(gym.Space[str]):
    """Any text of at most `max_length` characters."""

    def __init__(self, max_length: int, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(shape=None, dtype=None, seed=seed)
        self.max_length = max_length

    @property
    def is_np_flattenable(self) -> bool:
        return False

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A few words. There is nothing to mask."""
        if mask is not None or probability is not None:
            raise ValueError("UnicodeText has no mask and no probabilities")
        count = int(self.np_random.integers(0, 8))
        return " ".join(_WORDS[i] for i in self.np_random.integers(len(_WORDS), size=count))[: self.max_length]

    def contains(self, x: Any) -> bool:
        return isinstance(x, str) and len(x) <= self.max_length

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnicodeText) and self.max_length == other.max_length

    def __repr__(self) -> str:
        return f"UnicodeText({self.max_length})"


# `AsyncVectorEnv` hands observations over in shared memory unless told otherwise: one slot a sub-env, 4 bytes of length
# and the UTF-8 text.


class SharedTexts(Sequence[str]):
    """The texts as they stand in shared memory now; a deep copy (which `AsyncVectorEnv` returns) is a plain tuple."""

    def __init__(self, space: UnicodeText, shared_memory: Any, n: int) -> None:
        self._slots = _slots(space, shared_memory)
        self._n = n

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            return tuple(self)[index]
        slot = self._slots[range(self._n)[index]]
        text: bytes = slot[4 : 4 + int.from_bytes(slot[:4].tobytes(), "little")].tobytes()
        return text.decode()

    def __deepcopy__(self, memo: dict[int, Any]) -> tuple[str, ...]:
        return tuple(self)


def _slots(space: UnicodeText, shared_memory: Any) -> npt.NDArray[np.uint8]:
    """The buffer as bytes, shape (number of sub-envs, 4 + 4 * max_length)."""
    return np.frombuffer(shared_memory.get_obj(), dtype=np.uint8).reshape(-1, 4 + 4 * space.max_length)


@create_shared_memory.register(UnicodeText)
def _create(space: UnicodeText, n: int = 1, ctx: Any = None) -> Any:
    return ctx.Array("B", n * (4 + 4 * space.max_length))


@read_from_shared_memory.register(UnicodeText)
def _read(space: UnicodeText, shared_memory: Any, n: int = 1) -> SharedTexts:
    return SharedTexts(space, shared_memory, n)


@write_to_shared_memory.register(UnicodeText)
def _write(space: UnicodeText, index: int, value: str, shared_memory: Any) -> None:
    text = value.encode()
    slot = _slots(space, shared_memory)[index]
    slot[:4] = np.frombuffer(len(text).to_bytes(4, "little"), dtype=np.uint8)
    slot[4 : 4 + len(text)] = np.frombuffer(text, dtype=np.uint8)
