"""The meter of the call in progress on this thread: fuel, depth, clock and random numbers.

Fuel is one shared `itertools.repeat`: every loop and function of a tool draws from it at C speed, and once it is empty
it stays empty, so that code which swallows an exception still cannot go on.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from itertools import islice, repeat
from random import Random

from astra_gym.sandbox.limits import FREE_SIZE, MAX_FRAMES, SIZE_PER_FUEL, LimitExceeded, Limits

SHIFT = SIZE_PER_FUEL.bit_length() - 1
DEFAULT_LIMITS = Limits()


class Episode:
    """What a tool can see of the world in one episode: the frozen instant and the seeded random numbers."""

    __slots__ = ("clock", "growth_bytes", "patterns", "rng", "seed_text", "wall_s")

    def __init__(self, clock: str, seed_text: str, limits: Limits = DEFAULT_LIMITS) -> None:
        self.clock = clock
        self.seed_text = seed_text
        self.wall_s = limits.wall_s
        self.growth_bytes = limits.growth_bytes
        self.rng: Random | None = None
        self.patterns: set[tuple[str, int]] = set()
        """Regular expressions that the episode has paid for."""

    def random(self) -> Random:
        """The episode's generator, made on first use."""
        if self.rng is None:
            self.rng = Random(self.seed_text)
        return self.rng


class Meter:
    """One thread's slot; the watchdog reads it from its own thread."""

    __slots__ = ("__weakref__", "depth", "episode", "fuel", "idle", "posted", "sequence", "thread_id", "tripped_at")

    def __init__(self) -> None:
        self.fuel: repeat[bool] = repeat(True, 0)
        self.depth = 0
        self.sequence = 0
        """Odd while a call runs."""
        self.episode = Episode("1970-01-01T00:00:00+00:00", "")
        self.thread_id = threading.get_ident()
        self.idle = True
        """Whether the watchdog does not look at this meter."""
        self.tripped_at = 0
        """The call (by its `sequence`) that the watchdog stopped last."""
        self.posted = False
        """Whether the watchdog is done with stopping it."""


class _Meters(threading.local):
    """One meter a thread."""

    def __init__(self) -> None:
        self.meter = Meter()


_meters = _Meters()


def current_meter() -> Meter:
    """The calling thread's meter."""
    return _meters.meter


def fuel_left(fuel: Iterator[bool]) -> int:
    """How much an iterator of fuel still holds."""
    return fuel.__length_hint__()  # type: ignore[attr-defined, no-any-return]


def out(code: str = "too_large") -> None:
    """Stop the tool."""
    raise LimitExceeded(code)


def spend(units: int) -> bool:
    """Take `units` of fuel. Returns True; raises LimitExceeded when too little is left."""
    fuel = _meters.meter.fuel
    deque(islice(fuel, units), 0)
    if not fuel_left(fuel):
        raise LimitExceeded("fuel")
    return True


def charge(size: int) -> None:
    """Pay for an operation over `size` elements or characters that runs in C."""
    if size > FREE_SIZE:
        spend(size >> SHIFT)


def no_fuel() -> None:
    """Called by compiled tools when a loop or a function finds no fuel."""
    raise LimitExceeded("fuel")


def enter() -> None:
    """Count one more frame of a recursive tool function."""
    meter = _meters.meter
    meter.depth += 1
    if meter.depth > MAX_FRAMES:
        raise LimitExceeded("recursion")


def leave() -> None:
    """Count one frame less."""
    _meters.meter.depth -= 1
