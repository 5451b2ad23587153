"""What isolation this platform grants."""

from __future__ import annotations

import platform
import sys
from typing import Any

from astra_gym.sandbox.limits import Limits
from astra_gym.sandbox.worker.lockdown import LOCKS, REQUIRED
from astra_gym.sandbox.worker.pool import pool


def isolation_report() -> dict[str, Any]:
    """Which locks workers get here, found out by starting one.

    Keys: `platform`, `machine`, `locks` (name to whether it is in force), `missing_locks`, `required` (those without
    which `isolation="require-os"` refuses to start) and `require_os` (whether it would start).

    Raises: SandboxError when no worker can be started at all.
    """
    absent = pool().shared(Limits().memory_bytes).missing_locks
    return {
        "platform": sys.platform,
        "machine": platform.machine(),
        "locks": {lock: lock not in absent for lock in LOCKS},
        "missing_locks": list(absent),
        "required": list(REQUIRED),
        "require_os": not set(REQUIRED) & set(absent),
    }
