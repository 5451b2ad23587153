"""Landlock: no file may be opened, made or removed, and no TCP port used, whatever the process's user may do."""

from __future__ import annotations

import ctypes
import os
import struct

CREATE_RULESET, RESTRICT_SELF = 444, 446
VERSION_FLAG = 1
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""ABI version to the number of file rights that it knows; from 5 on there are 16."""


def install(libc: ctypes.CDLL) -> bool:
    """Deny every right that this kernel knows. Returns whether it agreed."""
    version = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(VERSION_FLAG))
    if version < 1:
        return False
    parts = [(1 << _FILE_RIGHTS.get(version, 16)) - 1]
    if version >= 4:
        parts.append(0b11)  # binding and connecting TCP ports
    if version >= 6:
        parts.append(0b11)  # abstract sockets and signals to the outside
    attributes = struct.pack(f"<{len(parts)}Q", *parts)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    rules = libc.syscall(CREATE_RULESET, buffer, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0))
    if rules < 0:
        return False
    try:
        return bool(libc.syscall(RESTRICT_SELF, ctypes.c_int(rules), ctypes.c_uint(0)) == 0)
    finally:
        os.close(rules)
