"""The clock behind calls in process: a thread that stops a call which takes too long or grows the process too much.

Counting (`meter.py`) ends almost every call long before. What is left are many operations that are each bounded but
slow. The thread empties the call's fuel and raises `WatchdogTrip` inside it; a single operation in C cannot be stopped
this way, which is why none that is unbounded may be reachable.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

from astra_gym.sandbox.limits import WatchdogTrip
from astra_gym.sandbox.meter import Meter

FAST_S, SLOW_S = 0.02, 0.25
"""Time between two looks: while some call is seen to run, and else."""
PATIENCE = 40
"""Looks without any new call after which the thread goes to sleep until the next one."""
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_STATM = Path("/proc/self/statm")


def resident_bytes() -> int:
    """Memory that the process occupies, 0 where the platform does not tell."""
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE
    except OSError:
        return 0


def thread_seconds(thread_id: int) -> float:
    """Processor time of a thread, or wall-clock time where the platform does not tell."""
    try:
        return time.clock_gettime(time.pthread_getcpuclockid(thread_id))
    except (AttributeError, OSError):
        return time.monotonic()


class _Watch:
    """What was seen of one call when it was first found running."""

    __slots__ = ("memory", "seconds", "sequence")

    def __init__(self, sequence: int, seconds: float, memory: int) -> None:
        self.sequence = sequence
        self.seconds = seconds
        self.memory = memory


class Watchdog:
    """The watching thread of this process, started by the first call and asleep when there are none."""

    def __init__(self) -> None:
        self._meters: WeakSet[Meter] = WeakSet()
        self._watches: dict[int, _Watch] = {}
        self._lock = threading.Lock()
        self._awake = threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self, meter: Meter) -> None:
        """Watch `meter` from now on."""
        with self._lock:
            meter.idle = False
            self._meters.add(meter)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="astra-gym-watchdog", daemon=True)
                self._thread.start()
            self._awake.set()

    def _run(self) -> None:
        quiet = 0
        seen: dict[int, int] = {}
        while True:
            time.sleep(FAST_S if self._watches else SLOW_S)
            with self._lock:
                meters = list(self._meters)
            now = {id(meter): meter.sequence for meter in meters}
            quiet = quiet + 1 if now == seen and not self._watches else 0
            seen = now
            self._look(meters)
            if quiet > PATIENCE:
                with self._lock:
                    for meter in meters:
                        meter.idle = True
                    self._awake.clear()
                    quiet = 0
                self._awake.wait()

    def _look(self, meters: list[Meter]) -> None:
        if self._watches:
            alive = {id(meter) for meter in meters}
            self._watches = {key: watch for key, watch in self._watches.items() if key in alive}
        for meter in meters:
            sequence = meter.sequence
            if not sequence & 1:
                self._watches.pop(id(meter), None)
                continue
            watch = self._watches.get(id(meter))
            if watch is None or watch.sequence != sequence:
                self._watches[id(meter)] = _Watch(sequence, thread_seconds(meter.thread_id), resident_bytes())
                continue
            spent = thread_seconds(meter.thread_id) - watch.seconds
            grown = resident_bytes() - watch.memory
            episode = meter.episode
            if (spent > episode.wall_s / 2 or grown > episode.growth_bytes) and meter.tripped_at != sequence:
                trip(meter, sequence)


def trip(meter: Meter, sequence: int) -> None:
    """Stop the call `sequence` on this meter, if it still runs."""
    meter.posted = False
    meter.tripped_at = sequence
    if meter.sequence == sequence:
        deque(meter.fuel, 0)
        _raise_in(meter.thread_id)
    meter.posted = True


def _raise_in(thread_id: int) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), ctypes.py_object(WatchdogTrip))


def settle(meter: Meter) -> None:
    """After a tripped call: let the exception arrive here, if it has not yet, and nowhere else."""
    with suppress(WatchdogTrip):
        while not meter.posted:
            time.sleep(0.001)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(meter.thread_id), None)


_watchdog = Watchdog()


def wake(meter: Meter) -> None:
    """Make sure that the thread watches `meter`."""
    _watchdog.wake(meter)


def _after_fork() -> None:
    """Threads do not survive a fork: the child starts its own when it needs one."""
    global _watchdog
    for meter in list(_watchdog._meters):
        meter.idle = True
        meter.thread_id = threading.get_ident()
    _watchdog = Watchdog()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
