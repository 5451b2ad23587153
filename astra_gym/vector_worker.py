"""A shard of a vector env in a process of its own: one message there and one back for each step.

The process is started by command line rather than by `multiprocessing`, so a script that makes a vector env needs no
`if __name__ == "__main__"` and nothing is forked. It holds no lock on what tools may do: that is the sandbox's part.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from typing import Any

from gymnasium.vector import AutoresetMode

from astra_gym.errors import SandboxError
from astra_gym.types import ToolEnvSpec
from astra_gym.vector_shard import Shard

CLOSE_TIMEOUT_S = 5.0
_GONE = (EOFError, OSError)


def request(what: str, *args: Any, **kwargs: Any) -> bytes:
    """A call of a method of `Shard`, as a message."""
    return pickle.dumps((what, args, kwargs), protocol=5)


class WorkerGoneError(SandboxError):
    """The process died; its episodes are lost."""


class ShardWorker:
    """The `Shard` of another process. `send` and `answer` apart let several work at a time."""

    def __init__(
        self, spec: ToolEnvSpec, count: int, options: Mapping[str, Any], info_keys: Sequence[str], mode: AutoresetMode
    ) -> None:
        """Start the process; the first `answer` is None when the envs are made, or what making them raised."""
        self._connection, theirs = Pipe()
        command = f"from astra_gym.vector_worker import serve; serve({theirs.fileno()})"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", command],
            pass_fds=[theirs.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self.send(request("start", spec, count, dict(options), tuple(info_keys), mode))

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, asked: bytes) -> None:
        """Ask for what a `request` says; `answer` gives what came of it."""
        with suppress(*_GONE):  # then there is no answer either, and `answer` says so
            self._connection.send_bytes(asked)

    def answer(self) -> Any:
        """What the oldest method asked for returned, or raised (the exception is returned, not raised).

        A `WorkerGoneError` is returned when the process is gone.
        """
        try:
            return pickle.loads(self._connection.recv_bytes())
        except _GONE:
            return WorkerGoneError(self._obituary())

    def _obituary(self) -> str:
        try:
            code = self._process.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return f"worker process {self._process.pid} of the vector env stopped answering"
        return f"worker process {self._process.pid} of the vector env died with status {code}"

    def kill(self) -> None:
        """End the process now, with whatever it had to say."""
        self._process.kill()
        self._connection.close()

    def close(self) -> None:
        """Let the process end: it does when nobody listens any more. May be called again."""
        self._connection.close()
        try:
            self._process.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def serve(descriptor: int) -> None:
    """The other side: answer until nobody listens."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it closes the connection
    connection = Connection(descriptor)
    shard: Shard | None = None
    try:
        while True:
            what, args, kwargs = pickle.loads(connection.recv_bytes())
            try:
                if what == "start":
                    shard, answer = Shard(*args), None
                else:
                    answer = getattr(shard, what)(*args, **kwargs)
                reply = pickle.dumps(answer, protocol=5)
            except Exception as error:  # noqa: BLE001 - it is raised in the process that asked
                reply = _failure(error)
            connection.send_bytes(reply)
    except _GONE:
        pass
    finally:
        if shard is not None:
            shard.close()


def _failure(error: Exception) -> bytes:
    """The error as a message: itself, or the nearest of its base classes that can be copied, with the same words."""
    for kind in (None, *type(error).__mro__[1:-1]):
        try:
            reply = pickle.dumps(error if kind is None else kind(str(error)), protocol=5)
            pickle.loads(reply)
        except Exception:  # noqa: BLE001 - any class may fail in its own way to be copied
            continue
        return reply
    raise error
