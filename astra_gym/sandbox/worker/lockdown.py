"""Close a process: limits, no way to gain privileges, no files, no network, no other system calls.

Runs once in a fresh worker, after everything it needs is imported. Each lock is tried; which ones the platform granted
is the report that the parent gets and users see as `missing_locks`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress

from astra_gym.sandbox.worker import landlock, seccomp

LOCKS = ("rlimits", "no-new-privs", "landlock", "seccomp", "network-namespace", "dies-with-parent")
REQUIRED = ("rlimits", "no-new-privs", "landlock", "seccomp")
"""Locks without which `isolation="require-os"` does not start. The others are second walls behind these."""
PR_SET_PDEATHSIG = 1
NEW_USER, NEW_IPC, NEW_NET = 0x10000000, 0x08000000, 0x40000000
NOBODY = 65534


def lock_down(memory_bytes: int, parent: int, keep: int) -> dict[str, bool]:
    """Lock this process, keeping the file descriptor `keep`.

    `parent` is the process with which this one must die. Returns: for each of LOCKS whether it is in force.
    """
    _close_files(keep)
    report = dict.fromkeys(LOCKS, False)
    report["rlimits"] = _limit_resources(memory_bytes)
    if not sys.platform.startswith("linux"):
        return report
    libc = ctypes.CDLL(None, use_errno=True)
    report["network-namespace"] = _leave_network(libc)
    _become_nobody()
    report["dies-with-parent"] = _die_with(libc, parent)
    report["no-new-privs"] = seccomp.no_new_privileges(libc)
    if report["no-new-privs"]:
        report["landlock"] = landlock.install(libc)
        report["seccomp"] = seccomp.install(libc)
    return report


def missing(report: dict[str, bool]) -> tuple[str, ...]:
    """The locks that are not in force."""
    return tuple(lock for lock in LOCKS if not report.get(lock))


def _close_files(keep: int) -> None:
    if os.name == "posix":
        os.closerange(3, keep)
        os.closerange(keep + 1, 4096)
        os.chdir("/")
    os.environ.clear()


def _limit_resources(memory_bytes: int) -> bool:
    try:
        import resource
    except ImportError:
        return False
    wanted = {"RLIMIT_AS": memory_bytes, "RLIMIT_FSIZE": 0, "RLIMIT_NOFILE": 16, "RLIMIT_CORE": 0, "RLIMIT_NPROC": 0}
    wanted |= {"RLIMIT_MEMLOCK": 0, "RLIMIT_MSGQUEUE": 0}
    granted = True
    for name, value in wanted.items():
        if hasattr(resource, name):
            try:
                resource.setrlimit(getattr(resource, name), (value, value))
            except (OSError, ValueError):
                granted = granted and name not in ("RLIMIT_AS", "RLIMIT_FSIZE")
    return granted


def _leave_network(libc: ctypes.CDLL) -> bool:
    """Move into a network of this process's own, as root directly, else through a user namespace."""
    if libc.unshare(NEW_NET | NEW_IPC) == 0:
        return True
    return bool(libc.unshare(NEW_USER | NEW_NET | NEW_IPC) == 0)


def _become_nobody() -> None:
    """Where this is root: give that up."""
    if os.geteuid() == 0:
        with suppress(OSError):
            os.setgroups([])
        with suppress(OSError):
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)


def _die_with(libc: ctypes.CDLL, parent: int) -> bool:
    armed = bool(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0)
    if os.getppid() != parent:
        os._exit(0)
    return armed
