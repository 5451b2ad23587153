"""Runs one piece of unrestricted Python under the sandbox's locks, in a process of its own.

Usage: python jailed.py, the code on standard input. Prints "locked" with the report, then what the code binds to
`answer`. This is a test's tool: nothing in the library executes source without the policy.
"""

from __future__ import annotations

import json
import mmap  # noqa: F401 - what the jailed code needs is imported before the locks close
import os
import resource  # noqa: F401
import socket
import subprocess  # noqa: F401
import sys
import threading  # noqa: F401
import time  # noqa: F401

from astra_gym.sandbox.worker.lockdown import lock_down


def main() -> None:
    code = sys.stdin.read()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        ours.close()
        report = lock_down(1 << 30, os.getppid(), theirs.fileno())
        theirs.send(json.dumps(report).encode())
        names: dict[str, object] = {"os": os, "sys": sys, "socket": socket}
        try:
            exec(compile(code, "<jailed>", "exec"), names)
            answer = repr(names.get("answer"))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the answer
            answer = f"{type(error).__name__}: {error}"
        theirs.send(answer.encode())
        os._exit(0)
    theirs.close()
    ours.settimeout(30)
    report = ours.recv(4096).decode()
    answer = ours.recv(4096).decode()
    _, status = os.waitpid(child, 0)
    killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    sys.stdout.write(json.dumps({"report": json.loads(report), "answer": answer, "killed_by": killed_by}))


if __name__ == "__main__":
    main()
