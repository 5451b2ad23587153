"""The process that workers are forked from: it imports everything once, and runs no tool code itself."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys

from astra_gym.sandbox.worker.serve import serve

READY = b"ready"


def main(control_fd: int) -> None:
    """Fork a worker for each request on the control socket, until the other end is gone. Does not return.

    A request is the memory limit in bytes with the worker's socket beside it; the answer is the worker's process id,
    with a handle for it where the platform has one, or the reason why there is none.
    """
    control = socket.socket(fileno=control_fd)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    me = os.getpid()
    control.send(READY)
    while True:
        message, files, _, _ = socket.recv_fds(control, 64, 1)
        if not message:
            os._exit(0)
        try:
            worker = os.fork()
        except OSError as error:
            os.close(files[0])
            control.send(f"!{error.strerror}".encode())
            continue
        if worker == 0:
            control.close()
            serve(socket.socket(fileno=files[0]), int(message), me)
        os.close(files[0])
        _tell(control, worker)


def _tell(control: socket.socket, worker: int) -> None:
    """Send the process id of a worker, and a handle that stays valid when the number is used again."""
    try:
        handle = os.pidfd_open(worker) if sys.platform.startswith("linux") else -1
    except OSError:
        handle = -1
    if handle < 0:
        control.send(str(worker).encode())
        return
    socket.send_fds(control, [str(worker).encode()], [handle])
    os.close(handle)
