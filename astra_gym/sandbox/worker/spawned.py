"""A worker that is an interpreter of its own, for platforms that cannot fork one from a zygote."""

from __future__ import annotations

import os
import signal
import socket
import sys

from astra_gym.sandbox.worker.serve import serve


def main(handle: str, memory_bytes: int) -> None:
    """Serve on the socket that `handle` names: a file descriptor, or "stdin" when it arrives there. Does not return."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "win32":
        sock = socket.fromshare(sys.stdin.buffer.read())
    else:
        sock = socket.socket(fileno=int(handle))
    serve(sock, memory_bytes, os.getppid() if hasattr(os, "getppid") else 0)
