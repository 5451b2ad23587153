"""verl's process and all that it starts: run it to its end, or end all of it.

The child writes straight into the log, so that it does not depend on us; should we be killed, the kernel asks it to end
(on Linux), and until it has, it holds the run folder's lock.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

_POLL_S = 0.3
_LOOK_S = 10.0
"""Seconds between two looks at which processes there are."""
_END_S = 30.0
"""Seconds that a process has to end by itself after SIGTERM."""
_LAST_S = 5.0
"""Seconds that what it started has after it."""
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the child ended."""

    exit_code: int
    stopped_by: signal.Signals | None
    """The signal that we were stopped by, None when the child ended by itself."""


def run_child(
    argv: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    poll: Callable[[], None],
    lock: int | None = None,
    end_s: float = _END_S,
) -> Outcome:
    """Run a command to its end; on SIGINT or SIGTERM end it and everything that it started.

    Args:
        environment: added to ours.
        poll: called a few times a second while it runs, and once after.
        lock: a file descriptor that the child is to hold open.
        end_s: how long it has to end by itself before it is killed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output, _caught_signals() as caught:
        child = subprocess.Popen(
            list(argv),
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=() if lock is None else (lock,),
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
        family = _Family(child.pid)
        while child.poll() is None and not caught:
            time.sleep(_POLL_S)
            family.look()
            poll()
        if caught:
            family.look(now=True)
            _end(child, end_s)
        family.end()
        poll()
    return Outcome(child.returncode, caught[0] if caught else None)


def _end(child: subprocess.Popen[bytes], wait_s: float) -> None:
    """Ask a child to end, which lets it end the others in order; kill it when it has not after `wait_s`."""
    child.terminate()
    try:
        child.wait(wait_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


class _Family:
    """The descendants of a process, remembered while they can be found: once it has ended they cannot."""

    def __init__(self, pid: int) -> None:
        import psutil

        self._root = psutil.Process(pid)
        self._members: dict[int, psutil.Process] = {}
        self._looked = 0.0

    def look(self, *, now: bool = False) -> None:
        import psutil

        if not now and time.monotonic() - self._looked < _LOOK_S:
            return
        self._looked = time.monotonic()
        with contextlib.suppress(psutil.Error):
            self._members |= {member.pid: member for member in self._root.children(recursive=True)}

    def end(self, wait_s: float = _LAST_S) -> None:
        """Wait for them to follow the first process; kill what is left."""
        import psutil

        _, alive = psutil.wait_procs(list(self._members.values()), timeout=wait_s)
        for member in alive:
            with contextlib.suppress(psutil.Error):
                member.kill()
        psutil.wait_procs(alive, timeout=5.0)


def _end_with_parent() -> None:
    """In the child, before it becomes the command: SIGTERM when we die."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextlib.contextmanager
def _caught_signals() -> Iterator[list[signal.Signals]]:
    """SIGINT and SIGTERM noted down instead of raised."""
    caught: list[signal.Signals] = []

    def note(number: int, _frame: FrameType | None) -> None:
        caught.append(signal.Signals(number))

    before: dict[int, Any] = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError):  # not in the main thread: the caller's handlers stay
            before[number] = signal.signal(number, note)
    try:
        yield caught
    finally:
        for caught_signal, handler in before.items():
            signal.signal(caught_signal, handler)
