"""`enum`, `dataclasses`, `typing`, `collections.abc` and `abc`: class-building without its hooks."""

from __future__ import annotations

import dataclasses
import enum
from collections import deque
from collections.abc import Callable
from typing import Any

from astra_gym.sandbox.guards import classes, compare
from astra_gym.sandbox.guards.classes import Erased, NamedTupleBase, ToolEnum, ToolIntEnum, ToolMeta, ToolStrEnum
from astra_gym.sandbox.meter import out, spend
from astra_gym.sandbox.modules.frozen import frozen
from astra_gym.sandbox.modules.functions import COPY
from astra_gym.sandbox.words import words

ENUM = frozen(
    "enum",
    {"Enum": ToolEnum, "IntEnum": ToolIntEnum, "StrEnum": ToolStrEnum, "auto": enum.auto, "unique": enum.unique},
)

# dataclasses

DATACLASS_COST = 1024
_DATACLASS_OPTIONS = frozenset({"init", "repr", "eq", "order", "frozen", "unsafe_hash", "kw_only"})


def _dataclass(kind: Any = None, /, **options: Any) -> Any:
    options.pop("slots", None)
    if unknown := sorted(set(options) - _DATACLASS_OPTIONS):
        raise TypeError(f"dataclass() does not take {unknown} in a tool")

    def decorate(cls: Any) -> Any:
        if not isinstance(cls, ToolMeta):
            raise TypeError("dataclass() decorates a class of the tool's own")
        spend(DATACLASS_COST)
        return dataclasses.dataclass(cls, **options)

    return decorate if kind is None else decorate(kind)


def _field(**options: Any) -> Any:
    return dataclasses.field(**options)


def _as_dict(value: Any) -> dict[str, Any]:
    if isinstance(value, type) or not dataclasses.is_dataclass(value):
        raise TypeError("asdict() should be called on dataclass instances")
    return _unfolded(value, 0)  # type: ignore[no-any-return]


def _unfolded(value: Any, depth: int) -> Any:
    if depth > compare.MAX_DEPTH:
        out()
    spend(1)
    if not isinstance(value, type) and hasattr(type(value), "__dataclass_fields__"):
        return {name: _unfolded(getattr(value, name), depth + 1) for name in type(value).__dataclass_fields__}
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)([_unfolded(item, depth + 1) for item in value])
    if isinstance(value, dict):
        return {key: _unfolded(item, depth + 1) for key, item in value.items()}
    return COPY.deepcopy(value)


def _replaced(value: Any, /, **changes: Any) -> Any:
    if isinstance(value, type) or not dataclasses.is_dataclass(value):
        raise TypeError("replace() should be called on dataclass instances")
    return dataclasses.replace(value, **changes)  # type: ignore[type-var]


class FieldInfo:
    """One entry of `dataclasses.fields`."""

    __slots__ = ("default", "name")

    def __init__(self, name: str, default: Any) -> None:
        self.name = name
        self.default = default


def _fields(value: Any) -> tuple[FieldInfo, ...]:
    return tuple(FieldInfo(field.name, None) for field in dataclasses.fields(value))


DATACLASSES = frozen(
    "dataclasses",
    {
        "dataclass": _dataclass,
        "field": _field,
        "asdict": _as_dict,
        "replace": _replaced,
        "fields": _fields,
        "is_dataclass": lambda value: hasattr(value, "__dataclass_fields__"),
    },
)

# typing, collections.abc, abc


class _KindMeta(type):
    """Makes `isinstance(x, Mapping)` ask for the builtin types that tools can have."""

    kinds: tuple[type, ...] = ()

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, cls.kinds)

    def __getitem__(cls, _item: Any) -> type:
        return cls

    def __or__(cls, other: Any) -> Any:
        return (cls, other)

    def __ror__(cls, other: Any) -> Any:
        return (other, cls)


def _kind(name: str, *kinds: type) -> type:
    return _KindMeta(name, (Erased,), {"kinds": kinds})


_SEQUENCES = (list, tuple, str, bytes, range, deque)
_ABSTRACT = {
    "Mapping": _kind("Mapping", dict),
    "MutableMapping": _kind("MutableMapping", dict),
    "Sequence": _kind("Sequence", *_SEQUENCES),
    "MutableSequence": _kind("MutableSequence", list, deque),
    "Set": _kind("Set", set, frozenset),
    "MutableSet": _kind("MutableSet", set),
    "Collection": _kind("Collection", dict, set, frozenset, *_SEQUENCES),
    "Iterable": _kind("Iterable", dict, set, frozenset, *_SEQUENCES),
    **{
        name: _kind(name)
        for name in ("Hashable", "Sized", "Container", "Callable", "Iterator", "Generator", "Awaitable")
    },
}
_TYPING = (
    "Any Optional Union List Dict Tuple FrozenSet Type Literal TypedDict Final ClassVar Annotated Generic Protocol "
    "DefaultDict OrderedDict Counter Deque Text NoReturn Never Self Required NotRequired Concatenate ParamSpec"
)


def _type_variable(*_names: Any, **_options: Any) -> type:
    return Erased


def _new_type(_name: Any, _kind: Any) -> Callable[[Any], Any]:
    return lambda value: value


_TYPING_MEMBERS: dict[str, Any] = {
    **dict.fromkeys(words(_TYPING), Erased),
    **_ABSTRACT,
    "NamedTuple": NamedTupleBase,
    "TypeVar": _type_variable,
    "NewType": _new_type,
    "TypeAlias": Erased,
    "cast": lambda _kind, value: value,
    "overload": lambda function: function,
    "TYPE_CHECKING": False,
}
TYPING = frozen("typing", _TYPING_MEMBERS)
ABSTRACT = frozen("collections.abc", _ABSTRACT)
ABC = frozen("abc", {"ABC": classes.ToolObject, "abstractmethod": lambda function: function})
