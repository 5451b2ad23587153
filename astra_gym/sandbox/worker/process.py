"""The parent's side of worker processes: start, ask, wait no longer than allowed, kill."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

import orjson

from astra_gym.errors import SandboxError
from astra_gym.sandbox.worker.channel import HAS_PACKETS, MAX_REPLY, Channel, socket_pair
from astra_gym.sandbox.worker.lockdown import missing

START_S = 60.0
"""How long a process may take to come up (imports on a busy machine)."""
PATIENCE = 5
"""A call may take this many times its budget on the clock, when it got little of the processor."""
PACKAGE = Path(__file__).resolve().parents[2]
_BOOT = """
import json, sys, types
sys.path[:] = json.loads(sys.argv[1])
package, kind, handle, memory = sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])
for name in ("astra_gym", "astra_gym.sandbox"):  # the packages without what their __init__ would import
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = [package if name == "astra_gym" else package + "/sandbox"]
if kind == "zygote":
    from astra_gym.sandbox.worker.zygote import main
    main(int(handle))
else:
    from astra_gym.sandbox.worker.spawned import main
    main(handle, memory)
"""
_open_workers: WeakSet[WorkerProcess] = WeakSet()
_open_zygotes: WeakSet[Zygote] = WeakSet()


class WorkerTimeoutError(Exception):
    """A request took more than its budget; the worker was killed."""


class WorkerLostError(Exception):
    """The worker is gone."""


def environment(hash_seed: int, zone: str) -> dict[str, str]:
    """All that a worker sees of the environment."""
    keep = {name: os.environ[name] for name in ("SYSTEMROOT", "LD_LIBRARY_PATH") if name in os.environ}
    return {**keep, "PYTHONHASHSEED": str(hash_seed), "TZ": zone, "LC_ALL": "C.UTF-8"}


def command(kind: str, handle: str, memory_bytes: int = 0) -> list[str]:
    """The command line of a helper process. Raises: SandboxError when this interpreter cannot be started again."""
    if not sys.executable:
        raise SandboxError("no worker can be started: sys.executable is empty in this embedded interpreter")
    places = [str(PACKAGE.parent), *(place for place in sys.path if place and Path(place).is_absolute())]
    options = ["-s", "-S", "-P", "-c", _BOOT]
    return [sys.executable, *options, json.dumps(places), str(PACKAGE), kind, handle, str(memory_bytes)]


class WorkerProcess:
    """One worker: asks and waits for the answer. Safe for several threads; each waits for its turn."""

    def __init__(
        self, sock: socket.socket, pid: int, handle: int | None, process: subprocess.Popen[bytes] | None
    ) -> None:
        self.pid = pid
        self.dead = False
        self.lock = threading.RLock()
        self.closing: list[int] = []
        """Sessions that nobody needs any more; the worker is told with the next request."""
        self._handle = handle
        self._process = process
        self._channel = Channel(sock, MAX_REPLY)
        self._wait_s = START_S
        sock.settimeout(START_S)
        _open_workers.add(self)
        try:
            report = orjson.loads(self._channel.receive())
        except (EOFError, OSError, ValueError) as error:
            self.kill()
            raise SandboxError(f"a worker died while it locked itself down: {error!r}") from None
        self.missing_locks = missing(report)

    def ask(self, request: bytes, budget_s: float) -> Any:
        """The reply to a request.

        Raises: WorkerTimeoutError after `budget_s` of processor time; WorkerLostError when the worker is gone.
        """
        with self.lock:
            if self.dead:
                raise WorkerLostError
            if self._wait_s != budget_s / 2:
                self._wait_s = budget_s / 2
                self._channel.sock.settimeout(self._wait_s)
            try:
                self._channel.send(request)
                try:
                    reply = self._channel.receive()
                except TimeoutError:
                    reply = self._wait_longer(budget_s)
                return orjson.loads(reply)
            except TimeoutError:
                self.kill()
                raise WorkerTimeoutError from None
            except (EOFError, OSError, ValueError):
                self.kill()
                raise WorkerLostError from None
            except BaseException:  # Ctrl-C while waiting: the reply would be read as the next one's
                self.kill()
                raise

    def _wait_longer(self, budget_s: float) -> bytes | memoryview:
        """Half the budget has passed: go on while the worker has not used the other half of it on the processor."""
        start = self._seconds()
        end = time.monotonic() + budget_s * PATIENCE
        while time.monotonic() < end:
            try:
                self._channel.sock.settimeout(budget_s / 8)
                return self._channel.receive()
            except TimeoutError:
                if self._seconds() - start >= budget_s / 2:
                    break
            finally:
                self._channel.sock.settimeout(self._wait_s)
        raise TimeoutError

    def _seconds(self) -> float:
        """Processor time of the worker, or the clock where the platform does not tell."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, IndexError, ValueError):
            return time.monotonic()

    def kill(self) -> None:
        """End the worker at once; calling it again does nothing."""
        if self.dead:
            return
        self.dead = True
        with suppress(ProcessLookupError, PermissionError):
            if self._handle is not None:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            elif self._process is not None:
                self._process.kill()
            else:
                os.kill(self.pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        self.abandon()

    def abandon(self) -> None:
        """Close this process's ends without touching the worker."""
        self.dead = True
        self._channel.close()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class Zygote:
    """The process that workers are forked from; started when the first one is needed."""

    def __init__(self, hash_seed: int = 0, zone: str = "UTC") -> None:
        self._lock = threading.Lock()
        ours, theirs = socket_pair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    command("zygote", str(theirs.fileno())),
                    env=environment(hash_seed, zone),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                    cwd="/",
                )
            except OSError as error:
                ours.close()
                raise SandboxError(f"no worker can be started: {error}") from error
        self._control = ours
        self._control.settimeout(START_S)
        self._dead = False
        _open_zygotes.add(self)
        try:
            ready = self._control.recv(16)
        except OSError as error:
            ready = repr(error).encode()
        if ready != b"ready":
            self.close()
            raise SandboxError(
                f"no worker can be started: {sys.executable} did not come up ({ready.decode() or 'died'})"
            )

    @property
    def alive(self) -> bool:
        return not self._dead and self._process.poll() is None

    def spawn(self, memory_bytes: int) -> WorkerProcess:
        """A fresh, locked-down worker. Raises: SandboxError."""
        ours, theirs = socket_pair()
        with self._lock, theirs:
            try:
                socket.send_fds(self._control, [str(memory_bytes).encode()], [theirs.fileno()])
                answer, handles, _, _ = socket.recv_fds(self._control, 64, 1)
            except OSError as error:
                answer, handles = f"!{error}".encode(), []
        if not answer or answer.startswith(b"!"):
            ours.close()
            self.close()
            raise SandboxError(f"no worker can be started: {answer[1:].decode() or 'the zygote is gone'}")
        return WorkerProcess(ours, int(answer), handles[0] if handles else None, None)

    def close(self) -> None:
        """End the zygote and with it its workers; calling it again does nothing."""
        if self._dead:
            return
        self._dead = True
        self._control.close()
        self._process.kill()
        self._process.wait()

    def abandon(self) -> None:
        """In a forked child: forget the parent's zygote without touching it."""
        self._dead = True
        self._control.close()
        self._process.returncode = 0  # not ours to wait for


def can_fork() -> bool:
    """Whether this platform has zygotes."""
    return HAS_PACKETS and hasattr(os, "fork")


def start_alone(memory_bytes: int, hash_seed: int = 0, zone: str = "UTC") -> WorkerProcess:
    """A worker started as a fresh interpreter, where the platform cannot fork one. Raises: SandboxError."""
    ours, theirs = socket.socketpair()
    windows = sys.platform == "win32"
    handle = "stdin" if windows else str(theirs.fileno())
    with theirs:
        try:
            process = subprocess.Popen(
                command("spawned", handle, memory_bytes),
                env=environment(hash_seed, zone),
                pass_fds=() if windows else [theirs.fileno()],
                stdin=subprocess.PIPE if windows else subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=not windows,
            )
        except OSError as error:
            ours.close()
            raise SandboxError(f"no worker can be started: {error}") from error
        if sys.platform == "win32":
            assert process.stdin is not None
            process.stdin.write(theirs.share(process.pid))
            process.stdin.close()
    return WorkerProcess(ours, process.pid, None, process)


def _after_fork() -> None:
    """A forked child must not talk on its parent's sockets: it closes its copies and starts its own workers."""
    for worker in list(_open_workers):
        worker.lock = threading.RLock()
        worker._process = None
        worker.abandon()
    for zygote in list(_open_zygotes):
        zygote.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
