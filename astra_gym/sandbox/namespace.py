"""Everything that tool source can name: one `__builtins__` dict, shared by all tools and never changed.

Names with a leading underscore are the guards that `policy/` writes into the source; tools cannot spell them.
"""

from __future__ import annotations

import _strptime  # type: ignore[import-not-found] # noqa: F401 - C code imports it through a tool's frame
import builtins
import sys
from types import FunctionType
from typing import Any

from astra_gym.sandbox import meter
from astra_gym.sandbox.guards import builtins as guarded
from astra_gym.sandbox.guards import classes, compare, constructors, iteration, methods, operators, text
from astra_gym.sandbox.limits import MAX_LENGTH
from astra_gym.sandbox.modules import iteration as iteration_modules
from astra_gym.sandbox.modules.registry import MODULES
from astra_gym.sandbox.policy.definitions import module_guard
from astra_gym.sandbox.policy.names import DENIED_ATTRIBUTES

classes.DENIED_ATTRIBUTES = DENIED_ATTRIBUTES
iteration_modules.GET_ATTRIBUTE = classes.get_attribute
TOOL_MODULE = "tool"


def _import(name: str, *_args: Any, **_options: Any) -> Any:
    """What C code finds when it imports through a tool's frame; import statements never get here."""
    if name in ("_strptime", "time"):
        return sys.modules[name]
    raise ImportError("import is not available here")


def _slice(value: Any, lower: Any, upper: Any, step: Any) -> Any:
    result = value[lower:upper:step]
    if hasattr(result, "__len__"):
        operators.check_size(result)
    return result


class _SliceStore:
    """The left side of `x[a:b] = values`."""

    __slots__ = ("_target",)

    def __init__(self, target: Any) -> None:
        if type(target) is not list:
            raise TypeError(f"{type(target).__name__!r} object does not support slice assignment")
        self._target = target

    def __setitem__(self, where: slice, values: Any) -> None:
        items = iteration.collect(values)
        if len(items) + len(self._target) > MAX_LENGTH:
            meter.out()
        meter.charge(len(self._target))
        self._target[where] = items


def _measured(value: Any) -> Any:
    """A container whose elements are about to be hashed."""
    return compare.bounded(value if hasattr(value, "__len__") else iteration.collect(value))


def _display(size: int, value: Any) -> Any:
    meter.spend(1 + size // 32)
    return value


GUARDS: dict[str, Any] = {
    "_spend_": meter.spend,
    "_no_fuel_": meter.no_fuel,
    "_enter_": meter.enter,
    "_leave_": meter.leave,
    "_zip_": zip,
    "_next_": next,
    "_type_": type,
    "_atoms_": compare.ATOMS,
    "_key_": compare.key,
    "_bounded_": compare.bounded,
    "_measured_": _measured,
    "_eq_": compare.eq,
    "_ne_": compare.ne,
    "_lt_": compare.lt,
    "_le_": compare.le,
    "_gt_": compare.gt,
    "_ge_": compare.ge,
    "_in_": compare.contains,
    "_unlimited_": compare.unlimited,
    "_iter_": iteration.iterable,
    "_unpackable_": iteration.unpackable,
    "_sequence_": iteration.sequence,
    "_star_": iteration.star,
    "_double_star_": iteration.double_star,
    "_yield_from_": iteration.yield_from,
    "_slice_": _slice,
    "_slice_store_": _SliceStore,
    "_display_": _display,
    "_write_": classes.writable,
    "_super_": classes.super_of,
    "_metaclass_": classes.METACLASS,
    "_type_name_": classes.type_name,
    "_class_name_": classes.class_name,
    "_bound_": methods.bound,
    "_big_": methods.big,
    "_call_method_": methods.call_method,
    "_in_place_": operators.in_place,
    "_int_": constructors.make_int,
    "_field_": text.field,
    "_converted_": text.format_converted,
    **{f"_native_{name}_": getattr(builtins, name) for name in ("any", "all", "sum")},
    "_op_USub_": operators.negative,
    "_op_UAdd_": operators.positive,
    **{f"_op_{name}_": function for name, function in operators.BINARY.items()},
    **{f"_m_{name}_": function for name, function in methods.REPLACED.items()},
    **{f"_real_{kind.__name__}_": kind for kind in (str, list, tuple, set, frozenset, dict, bytes, int, float, bool)},
    **{module_guard(name): module for name, module in MODULES.items()},
}
"""The functions that rewritten source calls."""
TOOL_BUILTINS: dict[str, Any] = {
    **guarded.FUNCTIONS,
    **classes.CLASS_FUNCTIONS,
    **GUARDS,
    "__build_class__": builtins.__build_class__,
    "__import__": _import,
    "__name__": TOOL_MODULE,
    "__debug__": True,
}


for _name, _function in {**guarded.FUNCTIONS, **classes.CLASS_FUNCTIONS}.items():
    if isinstance(_function, FunctionType):
        _function.__name__ = _function.__qualname__ = _name  # what Python's own error messages show


def new_namespace() -> dict[str, Any]:
    """Fresh globals for one source."""
    return {"__builtins__": TOOL_BUILTINS, "__name__": TOOL_MODULE, "_fuel_": None}
