"""A small server on the loopback address that speaks the OpenAI chat protocol with authored replies and faults."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar


@dataclass(frozen=True)
class Reply:
    """One HTTP response."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    sent_bytes: int | None = None
    """How much of the body is sent before the connection is closed; None for all of it."""


def completion(content: str | None = None, calls: Sequence[tuple[str, Any]] = (), **choice: Any) -> Reply:
    """A chat completion with one choice: text, native tool calls (name and arguments, text as it is), or both."""
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = [
            {
                "id": f"chatcmpl-tool-{i}",
                "type": "function",
                "function": {"name": name, "arguments": args if isinstance(args, str) else json.dumps(args)},
            }
            for i, (name, args) in enumerate(calls)
        ]
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "authored",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop", **choice}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
    return Reply(json.dumps(body).encode())


def failure(status: int, message: str, **headers: str) -> Reply:
    """An error in the form of the protocol. The client is told not to wait between its attempts."""
    body = {"error": {"message": message, "type": "authored", "param": None, "code": None}}
    return Reply(json.dumps(body).encode(), status, headers={"retry-after-ms": "1", **headers})


class ChatServer(ThreadingHTTPServer):
    """Gives the replies in order, the last one for ever, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self, replies: Sequence[Reply]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies = list(replies)
        self.requests: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self.authorizations: list[str | None] = []

    def reply_to(self, request: dict[str, Any]) -> Reply:  # noqa: ARG002 - others look at it
        """The reply to a request, which is not yet among `requests`."""
        return self.replies[min(len(self.requests), len(self.replies) - 1)]

    def before_reply(self) -> None:
        """Nothing here."""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            return self._send(failure(404, f"no route {self.path}"))
        server.before_reply()
        with server.lock:
            reply = server.reply_to(body)
            server.requests.append(body)
        server.authorizations.append(self.headers["Authorization"])
        time.sleep(reply.delay_s)
        return self._send(reply)

    def _send(self, reply: Reply) -> None:
        try:
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.body)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body[: reply.sent_bytes])
            self.close_connection = reply.sent_bytes is not None
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client had enough

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(*replies: Reply) -> Iterator[ChatServer]:
    """A server that runs for the length of the block."""
    with running(ChatServer(replies)) as server:
        yield server


S = TypeVar("S", bound=ChatServer)


@contextmanager
def running(server: S) -> Iterator[S]:
    """`server`, running for the length of the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
