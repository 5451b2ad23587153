"""Locks that a worker process puts on itself before it runs a tool: what it cannot do any more, for good.

rlimits, no_new_privs, an empty Landlock rule set, a seccomp filter that kills on any system call which running Python
does not need, new network and IPC namespaces. Each is tried; those that the platform refuses are reported by name,
never passed over (`isolation="require-os"` then refuses to start). All goes through libc: no system library is needed.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys
from collections.abc import Callable

LOCKS = ("rlimits", "no_new_privs", "network_namespace", "landlock", "seccomp")
REQUIRED = ("rlimits", "no_new_privs", "landlock", "seccomp")
"""Without these a worker is no boundary; a network namespace adds nothing once seccomp forbids sockets."""

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 1, 4, 38, 22
SIGKILL = 9
CLONE_NEWNET, CLONE_NEWIPC = 0x40000000, 0x08000000
LANDLOCK_CREATE_RULESET, LANDLOCK_RESTRICT_SELF = 444, 446
LANDLOCK_CREATE_RULESET_VERSION = 1
_FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many file rights each Landlock ABI knows; 16 from ABI 5 on."""
_NET_RIGHTS = 0b11
_SCOPES = 0b11

SECCOMP_MODE_FILTER = 2
SECCOMP_KILL, SECCOMP_ALLOW = 0x80000000, 0x7FFF0000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_OFFSET_NUMBER, _OFFSET_ARCHITECTURE = 0, 4
_X32 = 0x40000000

ALLOWED_CALLS = {
    "x86_64": (
        0xC000003E,
        # read write close fstat poll lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn
        (
            *(0, 1, 3, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15),
            # readv writev select sched_yield mremap madvise nanosleep getpid sendto recvfrom sendmsg recvmsg exit
            *(19, 20, 23, 24, 25, 28, 35, 39, 44, 45, 46, 47, 60),
            # gettimeofday sigaltstack gettid futex restart_syscall clock_gettime clock_nanosleep exit_group
            *(96, 131, 186, 202, 219, 228, 230, 231),
            # pselect6 ppoll set_robust_list getrandom rseq
            *(270, 271, 273, 318, 334),
        ),
    ),
    "aarch64": (
        0xC00000B7,
        # lseek read write readv writev pselect6 ppoll close fstat exit exit_group set_robust_list futex nanosleep
        (
            *(62, 63, 64, 65, 66, 72, 73, 57, 80, 93, 94, 99, 98, 101),
            # clock_gettime clock_nanosleep restart_syscall sched_yield sigaltstack rt_sigaction -procmask -return
            *(113, 115, 128, 124, 132, 134, 135, 139),
            # gettimeofday getpid gettid sendto recvfrom sendmsg recvmsg brk munmap mremap mmap mprotect madvise
            *(169, 172, 178, 206, 207, 211, 212, 214, 215, 216, 222, 226, 233),
            # getrandom rseq
            *(278, 293),
        ),
    ),
}
"""By machine: the kernel's name for the architecture, and the system calls left; any other ends the process."""


def lock_down(memory_bytes: int) -> tuple[str, ...]:
    """Lock this process for good; returns the names of the locks (of `LOCKS`) that could not be put on.

    Everything that is to be imported or opened must have been before.
    """
    attempts: dict[str, Callable[[], None]] = {
        "network_namespace": _leave_namespaces,
        "rlimits": lambda: _limit(memory_bytes),
        "no_new_privs": lambda: _prctl(PR_SET_NO_NEW_PRIVS, 1),
        "landlock": _close_file_system,
        "seccomp": _filter_system_calls,
    }
    if sys.platform == "linux":
        _prctl(PR_SET_PDEATHSIG, SIGKILL)
        _prctl(PR_SET_DUMPABLE, 0)
    missing = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except (OSError, ValueError, AttributeError):
            missing.append(name)
    return tuple(name for name in LOCKS if name in missing)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(returned: int) -> int:
    if returned < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return returned


def _linux_only() -> None:
    if sys.platform != "linux":
        raise OSError("only on Linux")


def _prctl(option: int, argument: int) -> None:
    _linux_only()
    _check(_libc().prctl(option, ctypes.c_ulong(argument), 0, 0, 0))


def _leave_namespaces() -> None:
    _linux_only()
    _check(_libc().unshare(CLONE_NEWNET | CLONE_NEWIPC))


def _limit(memory_bytes: int) -> None:
    """Address space, no files written, few descriptors, no core dumps, no further processes."""
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: 32,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
    }
    for limit, value in limits.items():
        _, hard = resource.getrlimit(limit)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (bound, bound))


def _close_file_system() -> None:
    """A Landlock rule set that handles every right this kernel knows and allows none."""
    _linux_only()
    syscall = _libc().syscall
    abi = _check(
        syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(LANDLOCK_CREATE_RULESET_VERSION))
    )
    fields = [(1 << _FS_RIGHTS.get(abi, 16)) - 1]
    if abi >= 4:
        fields.append(_NET_RIGHTS)
    if abi >= 6:
        fields.append(_SCOPES)
    attributes = struct.pack(f"<{len(fields)}Q", *fields)
    rules = _check(syscall(LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0)))
    try:
        _check(syscall(LANDLOCK_RESTRICT_SELF, ctypes.c_int(rules), ctypes.c_uint(0)))
    finally:
        os.close(rules)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def seccomp_program(machine: str) -> bytes:
    """The BPF program: kill unless the architecture is ours and the call is among those left."""
    architecture, allowed = ALLOWED_CALLS[machine]
    calls = sorted(allowed)
    jump_to_allow = range(len(calls), 0, -1)
    lines = [
        (_LOAD, 0, 0, _OFFSET_ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, SECCOMP_KILL),
        (_LOAD, 0, 0, _OFFSET_NUMBER),
        (_AT_LEAST, len(calls), 0, _X32),
        *((_EQUAL, distance, 0, number) for distance, number in zip(jump_to_allow, calls, strict=True)),
        (_RETURN, 0, 0, SECCOMP_KILL),
        (_RETURN, 0, 0, SECCOMP_ALLOW),
    ]
    return b"".join(struct.pack("<HBBI", *line) for line in lines)


def _filter_system_calls() -> None:
    _linux_only()
    if platform.machine() not in ALLOWED_CALLS:
        raise OSError(f"no list of system calls for {platform.machine()}")
    code = seccomp_program(platform.machine())
    program = _Program(len(code) // 8, code)
    _check(_libc().prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.byref(program), 0, 0))
