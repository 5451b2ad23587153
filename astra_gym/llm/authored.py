"""A server that speaks the OpenAI chat protocol and answers with authored replies: no model, no network.

Tests, examples and a first look at `astra synthesize envs` run against it instead of a model. A reply is found by the
stage (the first line of the system message, `# Stage: <stage>`), by strings that must all stand in the first user
message, by the attempt (how many assistant messages the request holds) and, where it is said, by the seed. What no
reply fits is refused, never invented. What can be authored stands in `authored_topics.py`.

    python -m astra_gym.llm.authored examples/authored --port 8000
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from astra_gym.llm.authored_topics import ANY_STAGE, AuthoredReply, AuthoredTopic, read_topics
from astra_gym.records import JSON

HEADING = "# Stage: "
_CHARS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as the server saw it."""

    stage: str | None
    attempt: int
    seed: int | None
    opening: str
    """The first user message."""
    prompt_tokens: int
    completion_tokens: int
    """0 when no reply fitted."""
    fitted: bool


class AuthoredServer:
    """Serves authored replies on the loopback address for as long as the block runs.

    with AuthoredServer(replies) as server:
        client = openai.OpenAI(base_url=server.base_url, api_key="none")
    """

    def __init__(self, replies: Iterable[AuthoredReply], port: int = 0) -> None:
        self._replies = tuple(replies)
        self._given = [0] * len(self._replies)
        self._lock = threading.Lock()
        self._asked: list[Asked] = []
        self._http = _Http(("127.0.0.1", port), _Handler)
        self._http.authored = self
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @classmethod
    def of(cls, topics: Iterable[AuthoredTopic], port: int = 0) -> Self:
        """A server of everything that `topics` hold."""
        return cls((reply for topic in topics for reply in topic.replies), port)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    @property
    def asked(self) -> tuple[Asked, ...]:
        """Every chat request so far, in the order of their answers."""
        with self._lock:
            return tuple(self._asked)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def wait(self) -> None:
        """Block until the server ends (it ends with the block, or by ctrl-C)."""
        self._thread.join()

    def answer(self, request: dict[str, Any]) -> tuple[AuthoredReply | None, Asked]:
        """The reply that fits a chat request, and what was asked. Raises KeyError and the like for no chat request."""
        stage, opening, attempt, seed = _key(request)
        with self._lock:
            found = self._find(stage, opening, attempt, seed)
            if found is not None:
                self._given[found] += 1
            reply = None if found is None else self._replies[found]
            prompt = sum(len(_text(message)) for message in request["messages"])
            completion = len((reply.content or reply.refusal or "") if reply else "")
            tokens = (-(-prompt // _CHARS_PER_TOKEN), -(-completion // _CHARS_PER_TOKEN))
            asked = Asked(stage, attempt, seed, opening, *tokens, fitted=reply is not None)
            self._asked.append(asked)
        return reply, asked

    def _find(self, stage: str | None, opening: str, attempt: int, seed: int | None) -> int | None:
        for i in range(len(self._replies) - 1, -1, -1):
            reply = self._replies[i]
            if (
                reply.stage in (stage, ANY_STAGE)
                and reply.attempt in (None, attempt)
                and reply.seed in (None, seed)
                and (reply.times is None or self._given[i] < reply.times)
                and all(text in opening for text in reply.match)
            ):
                return i
        return None


def _key(request: dict[str, Any]) -> tuple[str | None, str, int, int | None]:
    """(stage, first user message, assistant messages, seed) of a chat request."""
    messages = request["messages"]
    first = {message["role"]: _text(message) for message in reversed(messages)}
    heading = first.get("system", "").partition("\n")[0].strip()
    stage = heading.removeprefix(HEADING).strip() if heading.startswith(HEADING) else None
    attempt = sum(message["role"] == "assistant" for message in messages)
    return stage, first.get("user", ""), attempt, request.get("seed")


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(str(part.get("text", "")) for part in content)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    authored: AuthoredServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of the server's."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.rstrip("/").endswith("/models"):
            models = [{"id": "authored", "object": "model", "created": 0, "owned_by": "astra-gym"}]
            return self._send(200, json.dumps({"object": "list", "data": models}).encode())
        return self._fail(404, f"no route {self.path}")

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.path.rstrip("/").endswith("/chat/completions"):
            return self._fail(404, f"no route {self.path}; this server has /v1/chat/completions")
        try:
            request = json.loads(content)
            reply, asked = self.server.authored.answer(request)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return self._fail(400, f"no chat request: {type(error).__name__}: {error}")
        if reply is None:
            return self._fail(404, _unfitted(asked))
        time.sleep(reply.delay_s)
        if reply.body is not None:
            kind = "text/html" if reply.body.lstrip().startswith("<") else "application/json"
            return self._send(reply.status, reply.body.encode(), reply, kind)
        completion = _completion(reply, asked, str(request.get("model", "authored")))
        return self._send(reply.status, json.dumps(completion).encode(), reply)

    def _fail(self, status: int, message: str) -> None:
        error = {"message": message, "type": "authored", "param": None, "code": None}
        self._send(status, json.dumps({"error": error}).encode())

    def _send(
        self, status: int, body: bytes, reply: AuthoredReply | None = None, content_type: str = "application/json"
    ) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            for name, value in (reply.headers if reply else {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.close_connection = reply is not None and reply.drop
            self.wfile.write(body[: len(body) // 2] if self.close_connection else body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client had enough

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _unfitted(asked: Asked) -> str:
    if asked.stage is None:
        return f"no stage: the system message must begin with {HEADING!r} and a stage"
    where = f"stage {asked.stage!r}, attempt {asked.attempt}, seed {asked.seed}"
    return f"no authored reply for {where}; the first user message was: {asked.opening}"


def _completion(reply: AuthoredReply, asked: Asked, model: str) -> dict[str, JSON]:
    message = {"role": "assistant", "content": reply.content, "refusal": reply.refusal}
    return {
        "id": "chatcmpl-authored",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish_reason}],
        "usage": {
            "prompt_tokens": asked.prompt_tokens,
            "completion_tokens": asked.completion_tokens,
            "total_tokens": asked.prompt_tokens + asked.completion_tokens,
        },
    }


def main(arguments: list[str] | None = None) -> None:
    """Serve one file or folder of authored replies until ctrl-C."""
    parser = argparse.ArgumentParser("python -m astra_gym.llm.authored", description="Serve authored replies.")
    parser.add_argument("path", type=Path, help="a JSON file of authored replies, or a folder of them")
    parser.add_argument("--port", type=int, default=0, help="0, the default, for any free port")
    options = parser.parse_args(arguments)
    with AuthoredServer.of(read_topics(options.path), options.port) as server:
        sys.stdout.write(f"{server.base_url}\n")
        sys.stdout.flush()
        try:
            server.wait()
        except KeyboardInterrupt:
            sys.stdout.write("stopped\n")


if __name__ == "__main__":
    main()
