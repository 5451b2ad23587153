"""A GGUF file (llama.cpp's format): its settings and its tensors, dequantized. Read only, little endian, version 3.

The reader of the package `gguf` walks the vocabulary element by element and takes ten seconds for it, and transformers
calls it four times; this one takes part of a second. How blocks are dequantized is left to `gguf`.
Source: github.com/ggml-org/ggml, docs/gguf.md.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from astra_gym.errors import AstraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

_MAGIC, _VERSION = b"GGUF", 3
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Type of a value -> its code in `struct`."""
_STRING, _ARRAY = 8, 9
_ALIGNMENT = 32


class GGUFError(AstraError, ValueError):
    """A file is no GGUF file that can be read, or is cut short."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    """As in numpy: rows first."""
    kind: int
    offset: int
    """In bytes, from where the tensors begin."""


@dataclass(frozen=True, slots=True)
class GGUFFile:
    """The head of a file; tensors are read when they are asked for."""

    path: Path
    settings: dict[str, Any]
    """Such as "llama.block_count"; arrays are lists."""
    tensors: tuple[_Tensor, ...]
    start: int
    """Where the tensors begin, in bytes."""

    def weights(self) -> Iterator[tuple[str, np.ndarray[Any, np.dtype[np.float32]]]]:
        """Name and float32 values of each tensor, in the order of the file. Raises: GGUFError when it is cut short."""
        import numpy as np
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
        from gguf.quants import dequantize

        data = np.memmap(self.path, mode="r", dtype=np.uint8)
        for tensor in self.tensors:
            kind = GGMLQuantizationType(tensor.kind)
            block_values, block_bytes = GGML_QUANT_SIZES[kind]
            row_bytes = tensor.shape[-1] // block_values * block_bytes
            rows = int(np.prod(tensor.shape[:-1]))
            begin = self.start + tensor.offset
            raw = np.array(data[begin : begin + rows * row_bytes])
            if raw.size != rows * row_bytes:
                raise GGUFError(f"{self.path}: cut short in the tensor {tensor.name}; install the package again")
            width = {GGMLQuantizationType.F32: np.float32, GGMLQuantizationType.F16: np.float16}.get(kind)
            blocks = raw.reshape(rows, row_bytes).view(width) if width else raw.reshape(rows, row_bytes)
            yield tensor.name, np.asarray(dequantize(blocks, kind), dtype=np.float32).reshape(tensor.shape)


def read_gguf(path: Path) -> GGUFFile:
    """Read the head of a file. Raises: GGUFError."""
    try:
        with path.open("rb") as file:
            return _read_head(path, file)
    except (struct.error, KeyError, UnicodeDecodeError, OverflowError, MemoryError) as error:
        raise GGUFError(f"{path}: no GGUF file, or cut short ({error!r}); install the package again") from error


def _read_head(path: Path, file: BinaryIO) -> GGUFFile:
    magic, (version, n_tensors, n_settings) = file.read(4), _unpack(file, "IQQ")
    if magic != _MAGIC or version != _VERSION:
        raise GGUFError(f"{path}: expected a GGUF file of version {_VERSION}, found {magic!r} of version {version}")
    settings = {_text(file): _value(file, *_unpack(file, "I")) for _ in range(n_settings)}
    tensors = tuple(_tensor(file) for _ in range(n_tensors))
    alignment = int(settings.get("general.alignment", _ALIGNMENT))
    return GGUFFile(path, settings, tensors, start=-(-file.tell() // alignment) * alignment)


def _tensor(file: BinaryIO) -> _Tensor:
    name = _text(file)
    (n_dimensions,) = _unpack(file, "I")
    shape = _unpack(file, f"{n_dimensions}Q")
    return _Tensor(name, tuple(reversed(shape)), *_unpack(file, "IQ"))


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _text(file)
    if kind == _ARRAY:
        of, length = _unpack(file, "IQ")
        if of in _SCALARS:
            return list(_unpack(file, f"{length}{_SCALARS[of]}"))
        return [_value(file, of) for _ in range(length)]
    return _unpack(file, _SCALARS[kind])[0]


def _text(file: BinaryIO) -> str:
    (length,) = _unpack(file, "Q")
    raw = file.read(length)
    if len(raw) != length:
        raise struct.error(f"{length} bytes of text expected, {len(raw)} found")
    return raw.decode()


def _unpack(file: BinaryIO, codes: str) -> tuple[Any, ...]:
    layout = struct.Struct(f"<{codes}")
    return layout.unpack(file.read(layout.size))
