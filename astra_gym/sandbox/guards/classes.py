"""Classes that tools define: which bases they may have, and who may write attributes."""

from __future__ import annotations

import enum
import types
from collections import namedtuple
from collections.abc import Callable, Mapping
from typing import Any

from astra_gym.sandbox.guards import builtins as guarded
from astra_gym.sandbox.guards import constructors
from astra_gym.sandbox.guards.compare import ATOMS, tree_size
from astra_gym.sandbox.guards.methods import GUARDED_METHODS, bound
from astra_gym.sandbox.meter import spend

CLASS_COST = 64
"""Fuel that defining one class costs (it takes about as long as so many loop steps)."""
NAMED_TUPLE_COST = 512
MAX_FIELDS = 256


class ToolMeta(type):
    """Type of the classes that tools define: the mark by which their attributes may be written."""


class ToolObject(metaclass=ToolMeta):
    """What `object` means in a tool."""


class NamedTupleBase:
    """What `typing.NamedTuple` means in a tool; `class P(NamedTuple)` becomes a named tuple."""


class Erased:
    """A typing construct: it may be subscripted and inherited from, and means nothing at run time."""

    def __class_getitem__(cls, _item: Any) -> type:
        return cls

    def __or__(self, _other: Any) -> Any:
        return self


class _ToolEnumMeta(enum.EnumMeta):
    """Enums by the class statement only: the functional form could define any method."""

    def __call__(cls, value: Any, *args: Any, **options: Any) -> Any:
        if args or options:
            raise TypeError("the functional Enum API is not available; use a class statement")
        if type(value) not in ATOMS and tree_size(value, 100) > 100:
            raise ValueError(f"not a valid {cls.__name__}")
        return super().__call__(value)


class ToolEnum(enum.Enum, metaclass=_ToolEnumMeta):
    pass


class ToolIntEnum(enum.IntEnum, metaclass=_ToolEnumMeta):
    pass


class ToolStrEnum(enum.StrEnum, metaclass=_ToolEnumMeta):
    pass


ENUMS = (ToolEnum, ToolIntEnum, ToolStrEnum)


def is_tool_class(kind: Any) -> bool:
    """Whether tool code defined this class."""
    return type(kind) is ToolMeta or (type(kind) is _ToolEnumMeta and kind not in ENUMS)


guarded.is_tool_class = is_tool_class


class _MetaclassForTools:
    """Stands as the metaclass of every class statement in a tool and picks the real one."""

    @staticmethod
    def __prepare__(name: str, bases: tuple[Any, ...], **_options: Any) -> Mapping[str, object]:
        spend(CLASS_COST)
        real = _real_bases(name, bases)
        return _ToolEnumMeta.__prepare__(name, real) if any(_is_enum(base) for base in real) else {}

    def __call__(self, name: str, bases: tuple[Any, ...], namespace: dict[str, Any], **_options: Any) -> Any:
        real = _real_bases(name, bases)
        namespace.pop("__orig_bases__", None)
        if NamedTupleBase in real:
            return _named_tuple_class(name, namespace)
        if any(_is_enum(base) for base in real):
            for value in namespace.values():
                if tree_size(value, 1000) > 1000:
                    raise ValueError(f"a value of enum {name} is too large")
            return _ToolEnumMeta(name, real, namespace)  # type: ignore[arg-type]
        if issubclass(real[0], Exception):
            return type(real[0])(name, real, namespace)
        return ToolMeta(name, real, namespace)


METACLASS = _MetaclassForTools()


def _is_enum(base: Any) -> bool:
    return type(base) is _ToolEnumMeta


def _real_bases(name: str, bases: tuple[Any, ...]) -> tuple[Any, ...]:
    """The classes that a tool's class is made from. Raises: TypeError for a base that is not allowed."""
    real = tuple(constructors.real_type(base) for base in bases if not _is_erased(base))
    if not real:
        return (ToolObject,)
    has_enum = any(_is_enum(base) for base in real)
    for base in real:
        allowed = (
            is_tool_class(base)
            or base is ToolObject
            or base is NamedTupleBase
            or base in ENUMS
            or (has_enum and base in (int, str, float))
            or (isinstance(base, type) and issubclass(base, Exception))
            or (isinstance(base, type) and issubclass(base, tuple) and hasattr(base, "_fields"))
        )
        if not allowed:
            raise TypeError(f"class {name} cannot inherit from {getattr(base, '__name__', base)!r} in a tool")
    return real


def _is_erased(base: Any) -> bool:
    return isinstance(base, type) and issubclass(base, Erased)


def _named_tuple_class(name: str, namespace: dict[str, Any]) -> Any:
    """The class that `class name(NamedTuple): ...` makes."""
    fields = list(namespace.get("__annotations__", ()))
    defaults = [namespace[field] for field in fields if field in namespace]
    result: Any = make_named_tuple(name, fields, defaults=defaults)
    for key, value in namespace.items():
        if key not in fields and not key.startswith("__"):
            setattr(result, key, value)
    return result


def make_named_tuple(typename: Any, field_names: Any, *, rename: bool = False, defaults: Any = None) -> Any:
    """`collections.namedtuple`."""
    spend(NAMED_TUPLE_COST)
    names = field_names.replace(",", " ").split() if type(field_names) is str else constructors.make_list(field_names)
    if len(names) > MAX_FIELDS or type(typename) is not str or not all(type(name) is str for name in names):
        raise TypeError("namedtuple() takes a name and up to 256 field names")
    values = None if defaults is None else constructors.make_list(defaults)
    return namedtuple(typename, names, rename=rename, defaults=values, module="tool")


def writable(target: Any) -> Any:
    """`target` itself when a tool may set its attributes: instances of its classes, and the classes themselves."""
    kind = type(target)
    if (type(kind) is ToolMeta or kind is ToolMeta) and target is not ToolObject:
        return target
    writer = WRITERS.get(kind)
    if writer is not None:
        return writer(target)
    if isinstance(target, Exception) and kind.__module__ == "tool":
        return target
    raise TypeError(f"cannot set attributes on {kind.__name__} objects")


WRITERS: dict[type, Callable[[Any], Any]] = {}
"""Library types of which some attributes may be set, to a proxy that checks them."""


def refused_attribute(name: Any) -> bool:
    """Whether `getattr` with this name is refused whatever the object."""
    return type(name) is not str or (name.startswith("_") and name not in NAMED_TUPLE_API) or name in DENIED_ATTRIBUTES


NAMED_TUPLE_API = frozenset({"_asdict", "_replace", "_fields", "_make"})
DENIED_ATTRIBUTES: frozenset[str] = frozenset()
"""Set by `policy/names.py`: the attribute names that the policy refuses."""


def get_attribute(value: Any, name: Any, *default: Any) -> Any:
    """`getattr`."""
    if type(name) is not str:
        raise TypeError("attribute name must be string")
    if refused_attribute(name):
        raise AttributeError(f"attribute {name!r} is not available in a tool")
    if name in GUARDED_METHODS and (
        type(type(value)) is not ToolMeta or type(getattr(value, name, None)) is types.BuiltinMethodType
    ):
        if default and not hasattr(value, name):
            return default[0]
        return bound(value, name)
    return getattr(value, name, *default)


def has_attribute(value: Any, name: Any) -> bool:
    """`hasattr`."""
    if type(name) is not str:
        raise TypeError("attribute name must be string")
    return not refused_attribute(name) and hasattr(value, name)


def set_attribute(target: Any, name: Any, value: Any) -> None:
    """`setattr`."""
    if refused_attribute(name):
        raise AttributeError(f"attribute {name!r} cannot be set in a tool")
    setattr(writable(target), name, value)


def delete_attribute(target: Any, name: Any) -> None:
    """`delattr`."""
    if refused_attribute(name):
        raise AttributeError(f"attribute {name!r} cannot be deleted in a tool")
    delattr(writable(target), name)


def type_name(value: Any) -> str:
    """`type(value).__name__`."""
    return type(value).__name__


def class_name(kind: Any) -> str:
    """`kind.__name__` for a class or function."""
    stands_for = constructors.REAL_TYPES.get(kind) if isinstance(kind, types.FunctionType) else None
    if stands_for is not None:
        return stands_for.__name__
    if isinstance(kind, (type, types.FunctionType)):
        return kind.__name__
    raise AttributeError(f"{type(kind).__name__!r} object has no attribute '__name__'")


def _function(value: Any) -> Any:
    if value is not None and not isinstance(value, types.FunctionType):
        raise TypeError(f"expected a function, found {type(value).__name__}")
    return value


class ToolProperty(property):
    """`property` over functions only, so that properties cannot be chained without end."""

    def __init__(self, fget: Any = None, fset: Any = None, fdel: Any = None, doc: Any = None) -> None:
        super().__init__(_function(fget), _function(fset), _function(fdel), doc)


def static_method(function: Any) -> Any:
    return staticmethod(_function(function))


def class_method(function: Any) -> Any:
    return classmethod(_function(function))


def super_of(kind: Any, *target: Any) -> Any:
    """`super` with arguments: of a class that the tool defined."""
    if not is_tool_class(kind):
        raise TypeError("super() takes a class of the tool's own")
    return super(kind, *target)


CLASS_FUNCTIONS: dict[str, Any] = {
    "object": ToolObject,
    "property": ToolProperty,
    "staticmethod": static_method,
    "classmethod": class_method,
    "super": super,
    "getattr": get_attribute,
    "hasattr": has_attribute,
    "setattr": set_attribute,
    "delattr": delete_attribute,
}
