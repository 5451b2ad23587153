"""What a worker does all day: read a request, run it, write the outcome. Everything it needs is imported beforehand."""

from __future__ import annotations

import marshal
import os
import socket
import sys
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from astra_gym.sandbox.meter import current_meter
from astra_gym.sandbox.policy.violations import PolicyViolationError
from astra_gym.sandbox.session import Outcome, ProgramParts, Session, load_program
from astra_gym.sandbox.worker.channel import MAX_REQUEST, Channel
from astra_gym.sandbox.worker.lockdown import lock_down

RECURSION_LIMIT = 1_200
MAX_SESSIONS = 4_096
MAX_TABLE_BYTES = 32 << 20
"""JSON bytes of the tables of all open sessions; beyond it the one used least recently is dropped."""
LOST = b'"lost"'
"""The reply for a session that this worker does not have (any more)."""


class Server:
    """The sessions of one worker."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[int, Session] = OrderedDict()
        self._stateless: dict[str, Session] = {}
        """Sessions that cannot change, by the program's name: all executors of such a program share one."""
        self._table_bytes = 0
        self._last: tuple[Any, ...] | None = None
        self._operations: dict[str, Callable[..., bytes]] = {
            "call": self.call,
            "batch": self.batch,
            "open": self.open,
            "close": self.close,
            "run": self.run,
        }

    def answer(self, request: bytes | memoryview) -> bytes:
        operation, *arguments = marshal.loads(request)
        return self._operations[operation](*arguments)

    def call(self, number: int, seed: int | None, name: str, arguments: dict[str, Any]) -> bytes:
        session = self._find(number, seed)
        return LOST if session is None else orjson.dumps(session.call(name, arguments))

    def batch(self, number: int, seed: int | None, calls: list[tuple[str, dict[str, Any]]]) -> bytes:
        session = self._find(number, seed)
        return LOST if session is None else orjson.dumps([session.call(*call) for call in calls])

    def _find(self, number: int, seed: int | None) -> Session | None:
        session = self._sessions.get(number)
        if session is not None:
            self._sessions.move_to_end(number)
            if seed is not None:
                session.reset(seed)
        return session

    def open(self, number: int, wire: tuple[Any, ...]) -> bytes:
        """Begin a session. Replies whether its program is stateless, or why the policy refuses it."""
        try:
            loader = load_program(ProgramParts.from_wire(wire))
        except PolicyViolationError as error:
            return orjson.dumps([False, error.source_name, [list(_fields(one)) for one in error.violations]])
        self._drop(number)
        session = self._stateless.get(loader.parts.name)
        if session is None or session.loader is not loader:
            session = Session(loader)
            self._table_bytes += len(loader.parts.data)
            if loader.stateless:
                self._stateless[loader.parts.name] = session
        self._sessions[number] = session
        while len(self._sessions) > 1 and (len(self._sessions) > MAX_SESSIONS or self._table_bytes > MAX_TABLE_BYTES):
            self._drop(next(iter(self._sessions)))
        return orjson.dumps([True, loader.stateless])

    def close(self, numbers: list[int]) -> bytes:
        for number in numbers:
            self._drop(number)
        return b"true"

    def _drop(self, number: int) -> None:
        session = self._sessions.pop(number, None)
        if session is None or any(session is other for other in self._shared(session)):
            return
        self._table_bytes -= len(session.loader.parts.data)
        self._stateless.pop(session.loader.parts.name, None)

    def _shared(self, session: Session) -> Iterable[Session]:
        """The sessions among which others may be this one."""
        return self._sessions.values() if session.loader.stateless else ()

    def run(
        self, wire: tuple[Any, ...] | None, seed: int, calls: list[tuple[str, dict[str, Any]]], compare: bool
    ) -> bytes:
        """Run calls in fresh state. Replies the outcomes, the fuel of each, and (when asked to `compare`, which takes
        longer) whether the state stayed the same."""
        self._last = wire = wire or self._last
        if wire is None:
            return LOST
        try:
            loader = load_program(ProgramParts.from_wire(wire))
        except PolicyViolationError as error:
            return orjson.dumps([False, error.source_name, [list(_fields(one)) for one in error.violations]])
        session = Session(loader)
        session.reset(seed)
        outcomes: list[Outcome] = []
        fuel: list[int] = []
        for name, arguments in calls:
            outcomes.append(session.call_profiled(name, arguments))
            fuel.append(session.fuel_used)
        return orjson.dumps([True, outcomes, fuel, loader.stateless or (compare and session.unchanged())])


def _fields(violation: Any) -> tuple[Any, ...]:
    return (violation.line, violation.column, violation.rule, violation.message, violation.hint)


def serve(sock: socket.socket, memory_bytes: int, parent: int, *, lock: bool = True) -> None:
    """Lock this process and answer requests on `sock` until the other end is gone. Does not return."""
    sys.unraisablehook = lambda _error: None
    sys.excepthook = lambda *_error: None
    sys.setrecursionlimit(RECURSION_LIMIT)
    unicodedata.normalize("NFKC", "x")  # the parser loads it for names that are not ASCII
    current_meter().idle = False  # the parent holds the clock; no thread may start here
    channel = Channel(sock, MAX_REQUEST)
    report = lock_down(memory_bytes, parent, sock.fileno()) if lock else {}
    channel.send(orjson.dumps(report))
    server = Server()
    while True:
        try:
            request = channel.receive()
        except (EOFError, OSError):
            os._exit(0)
        try:
            reply = server.answer(request)
        except MemoryError:
            os._exit(1)
        try:
            channel.send(reply)
        except OSError:
            os._exit(0)
