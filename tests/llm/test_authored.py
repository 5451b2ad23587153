"""The server of authored replies: which reply a request gets, what of the protocol it can break, what it refuses."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from astra_gym.errors import SpecError
from astra_gym.llm.authored import AuthoredServer
from astra_gym.llm.authored_topics import AuthoredReply, read_topics

TOPIC: dict[str, Any] = {
    "about": "Authored by hand.",
    "id": "one",
    "item": {"mode": "domain", "domain": "ferries"},
    "expected": "sound",
    "replies": [{"stage": "generate", "reply": {"source": ["def f():", "    return 1"]}}],
}


def request(stage: str, question: str, attempt: int = 0, seed: int | None = None) -> dict[str, Any]:
    messages = [{"role": "system", "content": f"# Stage: {stage}\nDo it."}, {"role": "user", "content": question}]
    for i in range(attempt):
        messages += [{"role": "assistant", "content": f"try {i}"}, {"role": "user", "content": "no: ferry"}]
    return {"model": "any", "messages": messages, **({} if seed is None else {"seed": seed})}


def post(
    server: AuthoredServer, body: Any, path: str = "/chat/completions", method: str = "POST"
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one HTTP exchange."""
    url = urlsplit(server.base_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=10)
    try:
        connection.request(method, url.path + path, body if isinstance(body, str) else json.dumps(body))
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def said(server: AuthoredServer, body: dict[str, Any]) -> str:
    status, _, content = post(server, body)
    assert status == 200, content
    return str(json.loads(content)["choices"][0]["message"]["content"])


@pytest.fixture
def server() -> Iterator[AuthoredServer]:
    replies = [
        AuthoredReply(stage="call", text="any call"),
        AuthoredReply(stage="call", match=("ferry",), text="of a ferry"),
        AuthoredReply(stage="call", match=("ferry", "Orrel"), text="of the ferry to Orrel"),
        AuthoredReply(stage="call", match=("tram",), attempt=0, text="first"),
        AuthoredReply(stage="call", match=("tram",), attempt=1, text="second"),
        AuthoredReply(stage="call", match=("bus",), seed=1, text="sample 1"),
        AuthoredReply(stage="call", match=("train",), text="after the fault"),
        AuthoredReply(stage="call", match=("train",), times=1, status=503, body="<html>busy</html>"),
        AuthoredReply(stage="probe", reply={"名": "值"}),
    ]
    with AuthoredServer(replies) as running:
        yield running


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (request("call", "a tractor"), "any call"),
        (request("call", "the ferry"), "of a ferry"),
        (request("call", "the ferry to Orrel"), "of the ferry to Orrel"),
        (request("call", "the tram"), "first"),
        (request("call", "the tram", attempt=1), "second"),
        (request("call", "the tram", attempt=2), "any call"),
        (request("call", "the bus", seed=1), "sample 1"),
        (request("call", "the bus", seed=2), "any call"),
        (request("call", "a tractor", attempt=1), "any call"),
        (request("probe", "whatever"), '{"名": "值"}'),
    ],
)
def test_the_last_reply_that_fits_stage_first_message_attempt_and_seed_is_given(
    server: AuthoredServer, asked: dict[str, Any], expected: str
) -> None:
    assert said(server, asked) == expected


def test_a_reply_with_times_is_given_so_often_and_then_passed_over(server: AuthoredServer) -> None:
    status, headers, body = post(server, request("call", "the train"))
    assert (status, headers["Content-Type"], body) == (503, "text/html", b"<html>busy</html>")
    assert said(server, request("call", "the train")) == "after the fault"


def test_what_nobody_authored_is_refused_with_the_stage_and_what_was_seen(server: AuthoredServer) -> None:
    status, _, body = post(server, request("merge", "two lighthouses", attempt=1))
    message = json.loads(body)["error"]["message"]
    assert status == 404
    assert "'merge'" in message
    assert "attempt 1" in message
    assert "two lighthouses" in message
    status, _, body = post(server, {"model": "any", "messages": [{"role": "user", "content": "hello"}]})
    assert (status, "# Stage: " in json.loads(body)["error"]["message"]) == (404, True)


@pytest.mark.parametrize("body", ["{", "[1]", '{"model": "any"}', '{"messages": [{"content": "no role"}]}'])
def test_what_is_no_chat_request_is_refused(server: AuthoredServer, body: str) -> None:
    status, _, content = post(server, body)
    assert (status, "no chat request" in json.loads(content)["error"]["message"]) == (400, True)


def test_other_routes_do_not_exist_but_the_list_of_models_does(server: AuthoredServer) -> None:
    assert post(server, {}, "/completions")[0] == 404
    assert post(server, "", "/nothing", "GET")[0] == 404
    status, _, body = post(server, "", "/models", "GET")
    assert (status, json.loads(body)["data"][0]["id"]) == (200, "authored")


def test_what_was_asked_is_kept_and_tokens_are_counted_by_characters(server: AuthoredServer) -> None:
    asked = request("call", "the ferry to Orrel", seed=0)
    usage = json.loads(post(server, asked)[2])["usage"]
    post(server, request("merge", "nothing"))
    characters = sum(len(message["content"]) for message in asked["messages"])
    assert usage == {
        "prompt_tokens": -(-characters // 4),
        "completion_tokens": -(-len("of the ferry to Orrel") // 4),
        "total_tokens": -(-characters // 4) - (-len("of the ferry to Orrel") // 4),
    }
    assert [(one.stage, one.seed, one.fitted) for one in server.asked] == [("call", 0, True), ("merge", None, False)]


def test_refusals_finish_reasons_and_headers_are_as_authored() -> None:
    replies = [
        AuthoredReply(stage="generate", refusal="I would rather not."),
        AuthoredReply(stage="call", text='{"argu', finish_reason="length", headers={"Retry-After": "7"}, status=429),
    ]
    with AuthoredServer(replies) as server:
        choice = json.loads(post(server, request("generate", "x"))[2])["choices"][0]
        assert choice["message"] == {"role": "assistant", "content": None, "refusal": "I would rather not."}
        status, headers, body = post(server, request("call", "x"))
        assert (status, headers["Retry-After"]) == (429, "7")
        assert json.loads(body)["choices"][0]["finish_reason"] == "length"


def test_a_dropped_connection_ends_in_the_middle_of_the_body() -> None:
    with AuthoredServer([AuthoredReply(stage="*", text="never read to its end", drop=True)]) as server:
        with pytest.raises(http.client.IncompleteRead):
            post(server, request("call", "x"))
        assert server.asked[0].fitted


def test_source_may_be_given_as_lines() -> None:
    reply = AuthoredReply(stage="implementation", reply={"source": ["def f():", "    return 1"], "data": {}})
    assert json.loads(reply.content or "") == {"source": "def f():\n    return 1\n", "data": {}}


@pytest.mark.parametrize("given", [{}, {"text": "a", "refusal": "b"}, {"text": "a", "reply": {}}])
def test_a_reply_says_exactly_one_thing(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="exactly one of"):
        AuthoredReply.model_validate({"stage": "call", **given})


def test_topics_are_read_from_a_file_or_a_folder_by_name(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.json").write_text(json.dumps({**TOPIC, "id": name}))
    assert [topic.id for topic in read_topics(tmp_path)] == ["a", "b"]
    assert [topic.id for topic in read_topics(tmp_path / "b.json")] == ["b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "Invalid JSON"),
        (json.dumps({**TOPIC, "replies": [{"stage": "call"}]}), "replies/0: .*exactly one of"),
        (json.dumps({**TOPIC, "mood": 1}), "mood: Extra inputs"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_is_no_topic_is_refused_with_its_name_and_the_reason(
    tmp_path: Path, content: str | None, message: str
) -> None:
    file = tmp_path / "topic.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SpecError, match=rf"topic\.json: {message}"):
        read_topics(file)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no file of authored replies"):
        read_topics(tmp_path)


def test_it_runs_as_a_program_that_says_where_it_listens(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(TOPIC))
    command = [sys.executable, "-m", "astra_gym.llm.authored", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = urlsplit(process.stdout.readline().strip())
            connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=10)
            connection.request("POST", f"{url.path}/chat/completions", json.dumps(request("generate", "x")))
            reply = json.loads(connection.getresponse().read())["choices"][0]["message"]["content"]
            connection.close()
        finally:
            process.terminate()
    assert json.loads(reply) == {"source": "def f():\n    return 1\n"}
