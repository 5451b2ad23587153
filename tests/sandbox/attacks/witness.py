"""What an attack must leave as it was: a record of the interpreter before it, and what is different after it."""

from __future__ import annotations

import builtins
import calendar
import collections
import copy
import copyreg
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import gc
import itertools
import json
import locale
import math
import operator
import os
import random
import re
import signal
import statistics
import string
import sys
import textwrap
import threading
import time
import types
import typing
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

WATCHED_MODULES: tuple[types.ModuleType, ...] = (
    *(builtins, calendar, collections, copy, copyreg, dataclasses, datetime, decimal, enum, fractions, functools),
    *(itertools, json, math, operator, random, re, statistics, string, sys, textwrap, time, types, typing),
)
WATCHED_CLASSES: tuple[type, ...] = (
    *(collections.Counter, collections.OrderedDict, collections.defaultdict, collections.deque, collections.UserDict),
    *(fractions.Fraction, decimal.Decimal, datetime.datetime, datetime.date, enum.Enum, enum.EnumMeta, random.Random),
    *(json.JSONDecodeError, statistics.StatisticsError, re.error, Exception, ValueError, dict, list, str, int),
)
HARMLESS_EVENTS = frozenset(
    [
        "compile",
        "exec",
        "builtins.id",
        "sys._getframe",
        "object.__getattr__",
        "object.__setattr__",
        "marshal.loads",
        "marshal.dumps",
        "time.sleep",
        "code.__new__",
        "function.__new__",
        "ctypes.PyObj_FromPtr",
    ]
)
"""Audit events of loading a source and of namedtuple, enum and dataclass."""
MEMORY_GROWTH = 640 << 20
"""Bytes by which an attack may make the process grow before the sandbox stops it, looked at from outside."""


def _members(holder: Any) -> dict[str, int]:
    return {name: id(value) for name, value in vars(holder).items() if name not in ("_", "last_exc", "last_value")}


FACTS: dict[str, Callable[[], Any]] = {
    "sys.modules": lambda: frozenset(sys.modules),
    "locale": lambda: locale.setlocale(locale.LC_ALL),
    "decimal context": lambda: repr(decimal.getcontext()),
    "decimal default context": lambda: repr((decimal.DefaultContext, decimal.BasicContext, decimal.ExtendedContext)),
    "random state": random.getstate,
    "signal handlers": lambda: tuple(signal.getsignal(number) for number in sorted(signal.valid_signals())),
    "timers": lambda: signal.getitimer(signal.ITIMER_REAL),
    "recursion limit": sys.getrecursionlimit,
    "integer digits limit": sys.get_int_max_str_digits,
    "switch interval": sys.getswitchinterval,
    "trace and profile functions": lambda: (sys.gettrace(), sys.getprofile()),
    "hooks": lambda: (sys.excepthook, sys.displayhook, sys.unraisablehook, sys.stdout, sys.stderr),
    "working directory": os.getcwd,
    "environment": lambda: dict(os.environ),
    "time zone": lambda: (time.tzname, time.timezone),
    "warning filters": lambda: len(warnings.filters),
    "garbage collection": lambda: (gc.isenabled(), gc.get_threshold()),
    "first weekday": calendar.firstweekday,
    "copy and pickle tables": lambda: (len(copyreg.dispatch_table), len(vars(copy)["_deepcopy_dispatch"])),
    "abstract classes": lambda: (isinstance("", fractions.Fraction), isinstance(1, collections.abc.Sized)),
    "threads": lambda: frozenset(
        thread.name for thread in threading.enumerate() if thread.name != "astra-gym-watchdog"
    ),
    **{f"module {module.__name__}": lambda module=module: _members(module) for module in WATCHED_MODULES},  # type: ignore[misc]
    **{f"class {kind.__name__}": lambda kind=kind: _members(kind) for kind in WATCHED_CLASSES},  # type: ignore[misc]
}


def record() -> dict[str, Any]:
    """The interpreter as it is."""
    return {name: fact() for name, fact in FACTS.items()}


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What is different, in words."""
    return [f"changed: {name}{_difference(before[name], after[name])}" for name in FACTS if before[name] != after[name]]


def _difference(before: Any, after: Any) -> str:
    if isinstance(before, dict) and isinstance(after, dict):
        names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        return f" ({', '.join(names[:8])})"
    if isinstance(before, frozenset) and isinstance(after, frozenset):
        return f" ({', '.join(sorted(before ^ after)[:8])})"
    return ""


class AuditLog:
    """What the interpreter reported while armed: files, processes, sockets, imports of the main thread."""

    def __init__(self) -> None:
        self.armed = False
        self.events: list[str] = []
        self._main = threading.get_ident()
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and arguments[0] == "<tool>":
            return  # the compiler looks for the line that a SyntaxError is about
        if self.armed and event not in HARMLESS_EVENTS and threading.get_ident() == self._main:
            self.events.append(f"{event} {str(arguments)[:120]}")


def peak_memory() -> int:
    """The largest resident size since `forget_peak`, in bytes; 0 where the platform does not tell."""
    return _status("VmHWM:")


def resident_memory() -> int:
    """The resident size, in bytes; 0 where the platform does not tell."""
    return _status("VmRSS:")


def _status(label: str) -> int:
    path = Path("/proc/self/status")
    if not path.exists():
        return 0
    found = [line for line in path.read_text().splitlines() if line.startswith(label)]
    return int(found[0].split()[1]) << 10 if found else 0


def forget_peak() -> None:
    """Begin a new measurement of `peak_memory`."""
    path = Path("/proc/self/clear_refs")
    if path.exists():
        path.write_text("5")


def open_files() -> int:
    """How many file descriptors the process holds, 0 where the platform does not tell."""
    path = Path("/proc/self/fd")
    return len(list(path.iterdir())) if path.exists() else 0
