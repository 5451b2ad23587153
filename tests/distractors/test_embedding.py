"""Tool documents become unit vectors; what an endpoint sends is checked before it is believed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from astra_gym.distractors import embedding
from astra_gym.distractors.embedding import resolve_embedding, tool_document, unit_rows, words_of
from astra_gym.errors import MissingExtraError, ModelError
from tests.distractors.specs import GALLERY, SUMS
from tests.specs import CHAIN


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("count_airports_in", ["count", "airports", "in"]),
        ("getHTTPStatus2 OK", ["get", "httpstatus2", "ok"]),
        ('{"title": "Winter Ferry"}', ["title", "winter", "ferry"]),
        ("查询天气 now", ["查询", "询天", "天气", "now"]),
        ("größte Höhe", ["größte", "höhe"]),
        ("", []),
    ],
)
def test_documents_are_words(text, words):
    assert words_of(text) == words


def test_like_tools_are_nearer_than_unlike_ones():
    documents = [tool_document(tool) for tool in (CHAIN.tools[0], GALLERY.tools[0], SUMS.tools[0])]
    vectors = resolve_embedding("tfidf")(documents)
    cosines = (vectors @ vectors.T).toarray()
    assert np.diag(cosines) == pytest.approx(1.0)
    assert cosines[0, 1] > cosines[0, 2]


def test_the_document_is_what_the_model_is_shown():
    assert json.loads(tool_document(CHAIN.tools[0])) == CHAIN.tool_schemas[0]


@pytest.mark.parametrize("name", ["tf-idf", "openai:", "openai", "hf:x", ""])
def test_an_unknown_name_is_told_what_there_is(name):
    with pytest.raises(ModelError, match="there are tfidf, openai:NAME, sentence-transformers:NAME"):
        resolve_embedding(name)


@pytest.mark.parametrize(
    ("module", "name", "hint"),
    [
        ("sklearn.feature_extraction.text", "tfidf", r"astra-gym\[distractors\]"),
        ("openai", "openai:e", r"astra-gym\[models\]"),
        ("sentence_transformers", "sentence-transformers:e", "sentence-transformers"),
    ],
)
def test_an_extra_that_is_missing_is_named(module, name, hint, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(MissingExtraError, match=hint):
        resolve_embedding(name)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0, 2.0], [1.0]], "of equal length"),
        ([[1.0, float("nan")]], "finite"),
        ([[0.0, 0.0]], "all zeros"),
        ([], "shape"),
    ],
)
def test_rows_that_are_no_embeddings_are_refused(rows, message):
    with pytest.raises(ModelError, match=message):
        unit_rows(rows, "test")


class _Handler(BaseHTTPRequestHandler):
    """Answers with the length and the number of words of each text, the last text first."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)  # type: ignore[attr-defined]
        rows = [
            {"object": "embedding", "index": i, "embedding": [float(len(text)), float(len(text.split())), 1.0]}
            for i, text in enumerate(body["input"])
        ][::-1]
        if self.server.cut:  # type: ignore[attr-defined]
            rows = rows[1:]
        reply = {
            "object": "list",
            "model": body["model"],
            "data": rows,
            "usage": {"prompt_tokens": 1, "total_tokens": 1},
        }
        content = json.dumps(reply).encode()
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def endpoint(*, status: int = 200, cut: bool = False) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.requests, server.status, server.cut = [], status, cut
    server.base_url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_endpoint_is_asked_in_batches_and_its_order_does_not_matter(monkeypatch):
    monkeypatch.setattr(embedding, "BATCH", 2)
    texts = ["one", "two words", "now three words"]
    with endpoint() as server:
        vectors = resolve_embedding("openai:e5", base_url=server.base_url)(texts)
    assert [request["input"] for request in server.requests] == [texts[:2], texts[2:]]
    want = np.array([[len(text), len(text.split()), 1] for text in texts], dtype=float)
    assert vectors == pytest.approx(want / np.linalg.norm(want, axis=1, keepdims=True), rel=1e-6)


@pytest.mark.parametrize(
    ("faults", "message"), [({"status": 400}, "no embeddings"), ({"cut": True}, "asked for 1 embeddings, received 0")]
)
def test_an_endpoint_that_fails_is_an_error(faults, message):
    with endpoint(**faults) as server, pytest.raises(ModelError, match=message):
        resolve_embedding("openai:e5", base_url=server.base_url)(["one"])


def test_openais_own_endpoint_needs_a_key(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ModelError, match="OPENAI_API_KEY"):
        resolve_embedding("openai:e5")
