"""A seccomp filter, written as BPF by hand: the system calls that a worker needs to answer calls, and no others.

Anything else kills the process. Memory may not be made executable. x86-64 and aarch64; no system library is needed.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
KILL, ALLOW = 0x80000000, 0x7FFF0000
LOAD, JUMP_EQUAL, JUMP_GREATER_EQUAL, JUMP_SET, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, THIRD_ARGUMENT = 0, 4, 32
"""Offsets in `struct seccomp_data`; of the third argument the low half (both machines are little-endian)."""
PROT_EXEC = 4
X32_BIT = 0x40000000

_X86_64 = {
    "close": 3,
    "mmap": 9,
    "mprotect": 10,
    "munmap": 11,
    "brk": 12,
    "rt_sigaction": 13,
    "rt_sigprocmask": 14,
    "rt_sigreturn": 15,
    "mremap": 25,
    "sched_yield": 24,
    "madvise": 28,
    "sendto": 44,
    "recvfrom": 45,
    "exit": 60,
    "gettimeofday": 96,
    "sigaltstack": 131,
    "futex": 202,
    "restart_syscall": 219,
    "clock_gettime": 228,
    "exit_group": 231,
    "getrandom": 318,
    "rseq": 334,
}
_AARCH64 = {
    "close": 57,
    "mmap": 222,
    "mprotect": 226,
    "munmap": 215,
    "brk": 214,
    "rt_sigaction": 134,
    "rt_sigprocmask": 135,
    "rt_sigreturn": 139,
    "mremap": 216,
    "sched_yield": 124,
    "madvise": 233,
    "sendto": 206,
    "recvfrom": 207,
    "exit": 93,
    "gettimeofday": 169,
    "sigaltstack": 132,
    "futex": 98,
    "restart_syscall": 128,
    "clock_gettime": 113,
    "exit_group": 94,
    "getrandom": 278,
    "rseq": 293,
}
MACHINES: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (0xC000003E, _X86_64),
    "aarch64": (0xC00000B7, _AARCH64),
}
"""Machine name to its audit architecture and the numbers of the allowed system calls."""
CHECKED = ("mmap", "mprotect")
"""Calls that are allowed unless they ask for executable memory."""


def build_filter(machine: str) -> bytes | None:
    """The filter program for a machine, or None for one that is not known."""
    known = MACHINES.get(machine)
    if known is None:
        return None
    architecture, numbers = known
    lines = [
        (LOAD, 0, 0, ARCHITECTURE),
        (JUMP_EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
        (JUMP_GREATER_EQUAL, 0, 1, X32_BIT),
        (RETURN, 0, 0, KILL),
    ]
    for name in CHECKED:
        lines += [
            (JUMP_EQUAL, 0, 4, numbers[name]),
            (LOAD, 0, 0, THIRD_ARGUMENT),
            (JUMP_SET, 0, 1, PROT_EXEC),
            (RETURN, 0, 0, KILL),
            (RETURN, 0, 0, ALLOW),
        ]
    for name, number in numbers.items():
        if name not in CHECKED:
            lines += [(JUMP_EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    lines.append((RETURN, 0, 0, KILL))
    return b"".join(struct.pack("<HBBI", *line) for line in lines)


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def no_new_privileges(libc: ctypes.CDLL) -> bool:
    """Give up gaining privileges through exec, for good. Returns whether the kernel agreed."""
    return bool(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)


def install(libc: ctypes.CDLL) -> bool:
    """Put the filter in force for this process, for good. Returns whether the kernel agreed."""
    code = build_filter(platform.machine()) if os.name == "posix" else None
    if code is None:
        return False
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    return bool(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0)
