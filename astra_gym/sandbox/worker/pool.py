"""The workers of this process: few, shared by many sessions, replaced when they die.

Sessions of different programs may share a worker: the policy keeps them apart, not the kernel. `dedicated` gives one a
process of its own; it costs about 5 ms to start and 10 MB. Each thread keeps to one of a handful of shared workers, so
that threads do not wait for each other.
"""

from __future__ import annotations

import atexit
import itertools
import marshal
import os
import threading

from astra_gym.sandbox.worker.process import WorkerProcess, Zygote, can_fork, start_alone

SHARED_WORKERS = max(1, min(4, os.cpu_count() or 1))


class Pool:
    """The zygote and the shared workers of one process."""

    def __init__(self, hash_seed: int = 0, zone: str = "UTC") -> None:
        self._hash_seed = hash_seed
        self._zone = zone
        self._lock = threading.RLock()
        self._zygote: Zygote | None = None
        self._shared: dict[tuple[int, int], WorkerProcess] = {}
        self._alone: list[WorkerProcess] = []
        self._turn = itertools.count()
        self._threads = threading.local()

    def shared(self, memory_bytes: int) -> WorkerProcess:
        """The worker of the calling thread. Raises: SandboxError."""
        slot = getattr(self._threads, "slot", None)
        if slot is None:
            slot = self._threads.slot = next(self._turn) % SHARED_WORKERS
        worker = self._shared.get((slot, memory_bytes))
        if worker is None or worker.dead:
            with self._lock:
                worker = self._shared.get((slot, memory_bytes))
                if worker is None or worker.dead:
                    worker = self._shared[slot, memory_bytes] = self.start(memory_bytes)
        return worker

    def start(self, memory_bytes: int) -> WorkerProcess:
        """A worker of the caller's own. Raises: SandboxError."""
        if not can_fork():
            worker = start_alone(memory_bytes, self._hash_seed, self._zone)
            self._alone = [*(one for one in self._alone if not one.dead), worker]
            return worker
        with self._lock:
            if self._zygote is None or not self._zygote.alive:
                if self._zygote is not None:
                    self._zygote.close()
                self._zygote = Zygote(self._hash_seed, self._zone)
            return self._zygote.spawn(memory_bytes)

    def close(self) -> None:
        """End all processes."""
        for worker in (*self._shared.values(), *self._alone):
            worker.kill()
        if self._zygote is not None:
            self._zygote.close()


_pools: dict[tuple[int, str], Pool] = {}
_pools_lock = threading.Lock()


def pool(hash_seed: int = 0, zone: str = "UTC") -> Pool:
    """This process's pool for a hash seed and time zone."""
    with _pools_lock:
        key = (hash_seed, zone)
        if key not in _pools:
            _pools[key] = Pool(hash_seed, zone)
        return _pools[key]


def close_pools() -> None:
    """End every worker of this process; executors start new ones when they need them."""
    with _pools_lock:
        found = list(_pools.values())
        _pools.clear()
    for one in found:
        one.close()


def _after_fork() -> None:
    global _pools_lock
    _pools_lock = threading.Lock()
    _pools.clear()


atexit.register(close_pools)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def close_request(numbers: list[int]) -> bytes:
    """The request that drops sessions."""
    return marshal.dumps(("close", numbers))
