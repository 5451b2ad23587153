"""One episode of one program: its namespaces, and what comes of a call. The same code runs in process and in workers.

A call gives `(True, output)` or `(False, (code, message))`, plain data both, so that nothing else of the library has to
be loaded where the tools run.
"""

from __future__ import annotations

import decimal
import marshal
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from types import FunctionType
from typing import Any, TypeAlias

import orjson

from astra_gym.sandbox.guards.text import exception_text, repr_of
from astra_gym.sandbox.limits import LIMIT_TEXT, MAX_ERROR_TEXT, LimitExceeded, Limits, WatchdogTrip
from astra_gym.sandbox.meter import Episode, Meter, current_meter, fuel_left
from astra_gym.sandbox.modules.numbers import CONTEXT
from astra_gym.sandbox.namespace import TOOL_BUILTINS, new_namespace
from astra_gym.sandbox.policy.compiler import CompiledSource, compile_source
from astra_gym.sandbox.results import plain
from astra_gym.sandbox.watchdog import settle, wake

Outcome: TypeAlias = tuple[bool, Any]
"""(True, output) or (False, (error code, message))."""
ATOMS = frozenset({int, float, str, bool, type(None)})
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


@dataclass(frozen=True, slots=True)
class ProgramParts:
    """A program as plain data: what travels to a worker."""

    name: str
    tools: tuple[tuple[str, str], ...]
    """(name, source) of each tool."""
    library: str
    data: bytes
    """The tables as one JSON object whose keys are valid global names."""
    clock: str
    limits: Limits

    def to_wire(self) -> tuple[Any, ...]:
        """Only what `marshal` knows."""
        limits = self.limits
        numbers = (limits.fuel, limits.load_fuel, limits.wall_s, limits.memory_bytes, limits.growth_bytes)
        return (self.name, self.tools, self.library, self.data, self.clock, numbers)

    @staticmethod
    def from_wire(wire: tuple[Any, ...]) -> ProgramParts:
        name, tools, library, data, clock, numbers = wire
        return ProgramParts(name, tools, library, data, clock, Limits(*numbers))


class Loader:
    """The compiled sources of a program; made once, shared by its sessions."""

    __slots__ = ("library", "parts", "stateless", "tools", "uses_decimal")

    def __init__(self, parts: ProgramParts) -> None:
        self.parts = parts
        self.library = compile_source(parts.library, f"{parts.name} (library)") if parts.library else None
        outside = self.library.facts.bound & TOOL_BUILTINS.keys() if self.library else frozenset()
        self.tools = {name: compile_source(source, name, frozenset(outside)) for name, source in parts.tools}
        sources: list[CompiledSource] = [*self.tools.values(), *([self.library] if self.library else [])]
        self.stateless = all(source.facts.stateless for source in sources)
        self.uses_decimal = any("decimal" in source.facts.modules for source in sources)


@lru_cache(maxsize=512)
def load_program(parts: ProgramParts) -> Loader:
    """The loader of a program, compiled once a process. Raises: PolicyViolationError."""
    return Loader(parts)


class Session:
    """The tools of a program in one episode. Namespaces are made when first needed and dropped by `reset`."""

    __slots__ = ("_dirty", "_functions", "_library", "_tables", "episode", "fuel_used", "loader")

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        self.episode = Episode(loader.parts.clock, "", loader.parts.limits)
        self._functions: dict[str, tuple[Any, dict[str, Any]]] = {}
        self._library: dict[str, Any] | None = None
        self._tables: dict[str, Any] = {}
        self._dirty = False
        self.fuel_used = 0
        """Fuel of the last call."""

    def reset(self, seed: int) -> None:
        """Begin an episode: state as after loading, random numbers by `seed`."""
        parts = self.loader.parts
        self.episode = Episode(parts.clock, f"{parts.name}|{seed}", parts.limits)
        if self._dirty:
            self._functions = {}
            self._library = None
            self._dirty = False

    def unchanged(self) -> bool:
        """Whether the tables and globals read as they did after loading (what they cannot show is not seen)."""
        fresh = Session(self.loader)
        fresh.episode = self.episode
        try:
            for name in self._functions:
                fresh._load(name, current_meter())
            return fresh._visible_state() == self._visible_state()
        except (LimitExceeded, Exception):  # noqa: BLE001 - tool code is contained here
            return False

    def _visible_state(self) -> list[tuple[str, str, str]]:
        """(source, name, text) of every global that tool code defined or was given."""
        meter = current_meter()
        places = {"library": self._library or {}}
        places.update({f"tool {name}": namespace for name, (_, namespace) in self._functions.items()})
        found = []
        for place, namespace in sorted(places.items()):
            for name, value in sorted(namespace.items()):
                if not name.startswith("_"):
                    meter.fuel = repeat(True, self.loader.parts.limits.load_fuel)
                    shown = (value, value.__defaults__, value.__kwdefaults__) if type(value) is FunctionType else value
                    found.append((place, name, repr_of(shown)))
        return found

    def call(self, name: str, arguments: dict[str, Any]) -> Outcome:
        """What the tool `name` gives for `arguments`, which it may not change. Never raises for what tool code does."""
        for value in arguments.values():
            if type(value) not in ATOMS:
                try:
                    arguments = marshal.loads(marshal.dumps(arguments))
                except ValueError:
                    return False, ("invalid_arguments", "the arguments are nested too deeply or not JSON")
                break
        meter = current_meter()
        meter.episode = self.episode
        meter.depth = 0
        host_context = decimal.getcontext() if self.loader.uses_decimal else None
        if meter.idle:
            wake(meter)
        meter.sequence = sequence = meter.sequence + 1
        try:
            try:
                if host_context is not None:
                    decimal.setcontext(CONTEXT.copy())
                outcome = self._run(name, arguments, meter)
            finally:
                meter.sequence = sequence + 1
                if host_context is not None:
                    decimal.setcontext(host_context)
                if meter.tripped_at == sequence:
                    settle(meter)
        except WatchdogTrip:  # it arrived while the call was ending
            meter.sequence = sequence + 1
            if host_context is not None:
                decimal.setcontext(host_context)
            settle(meter)
            outcome = (False, ("tool_timeout", LIMIT_TEXT["time_or_memory"]))
        return outcome

    def _run(self, name: str, arguments: dict[str, Any], meter: Meter) -> Outcome:
        try:
            found = self._functions.get(name) or self._load(name, meter)
            meter.fuel = fuel = found[1]["_fuel_"] = repeat(True, self.loader.parts.limits.fuel)
            if self._library is not None:
                self._library["_fuel_"] = fuel
            self._dirty = not self.loader.stateless
            output = plain(found[0](**arguments))
            if not fuel_left(fuel):
                raise LimitExceeded("fuel")
        except BaseException as error:  # noqa: BLE001 - tool code is contained here
            return self._failure(error, meter)
        return True, output

    def call_profiled(self, name: str, arguments: dict[str, Any]) -> Outcome:
        """As `call`, and `fuel_used` says what it cost."""
        outcome = self.call(name, arguments)
        self.fuel_used = self.loader.parts.limits.fuel - fuel_left(current_meter().fuel)
        return outcome

    def _load(self, name: str, meter: Meter) -> tuple[Any, dict[str, Any]]:
        """The function `name` in its namespace, loaded together with the library when that has not run yet."""
        parts = self.loader.parts
        self._dirty = not self.loader.stateless
        meter.fuel = fuel = repeat(True, parts.limits.load_fuel)
        if self._library is None:
            self._tables = orjson.loads(parts.data)
            library = new_namespace()
            library.update(self._tables)
            library["_fuel_"] = fuel
            if self.loader.library is not None:
                exec(self.loader.library.code, library)
            self._library = library
        namespace = new_namespace()
        namespace.update({key: value for key, value in self._library.items() if not key.startswith("_")})
        namespace["_fuel_"] = self._library["_fuel_"] = fuel
        exec(self.loader.tools[name].code, namespace)
        if not fuel_left(fuel):
            raise LimitExceeded("fuel")
        found = self._functions[name] = (namespace[name], namespace)
        return found

    def _failure(self, error: BaseException, meter: Meter) -> Outcome:
        """What the model is told of an exception. Raises what is not the tool's (a real Ctrl-C)."""
        if isinstance(error, WatchdogTrip) or meter.tripped_at == meter.sequence:
            return False, ("tool_timeout", LIMIT_TEXT["time_or_memory"])
        if isinstance(error, LimitExceeded):
            return limit_outcome(error.code)
        if not fuel_left(meter.fuel):
            return limit_outcome("fuel")
        if isinstance(error, RecursionError):
            return limit_outcome("recursion")
        if isinstance(error, MemoryError):
            return limit_outcome("memory")
        if not isinstance(error, Exception):
            raise error
        return False, ("tool_error", error_text(error))


def limit_outcome(code: str) -> Outcome:
    """The outcome of a call that went over a limit."""
    return False, ("limit_exceeded", f"{code}: {LIMIT_TEXT.get(code, 'a limit of the sandbox was reached')}")


def error_text(error: Exception) -> str:
    """Message of an exception for the model: bounded, without addresses; of a ValueError the text alone."""
    try:
        message = exception_text(error)
    except LimitExceeded:
        message = "(a message too large to show)"
    except Exception:  # noqa: BLE001 - the tool's own __str__
        message = "(a message that cannot be shown)"
    message = _ADDRESS.sub("", message[: 2 * MAX_ERROR_TEXT])
    if type(error) is not ValueError or not message:
        message = f"{type(error).__name__}: {message}" if message else type(error).__name__
    message = message.encode("utf-8", "replace").decode()
    return message if len(message) <= MAX_ERROR_TEXT else message[: MAX_ERROR_TEXT - 1] + "…"
