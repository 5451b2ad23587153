"""The OpenAI-compatible model, against a real server with authored replies."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Any

import pytest

from astra_gym.errors import MissingExtraError, ModelError
from astra_gym.models import OpenAIModel
from astra_gym.tool_calls import MalformedCall, parse_turn
from astra_gym.types import Message, ToolCall
from tests.models.chat_server import ChatServer, Reply, completion, failure, serving
from tests.specs import CHAIN

QUESTION: list[Message] = [{"role": "user", "content": CHAIN.question}]


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


def ask(server: ChatServer, messages: list[Message] = QUESTION, **options: Any) -> str:
    with OpenAIModel("authored", base_url=server.base_url, **options) as model:
        model.begin_episode(CHAIN, 0)
        return model.reply(messages, CHAIN.tool_schemas)


def test_native_tool_calls_become_an_action() -> None:
    with serving(completion("Let me see.", [("get_film", {"title": "Winter Ferry"}), ("get_person", {})])) as server:
        turn = parse_turn(ask(server))
    assert turn.content == "Let me see."
    assert [(c.name, c.arguments) for c in turn.calls if isinstance(c, ToolCall)] == [
        ("get_film", {"title": "Winter Ferry"}),
        ("get_person", {}),
    ]


def test_text_is_the_final_answer() -> None:
    with serving(completion("Oslo")) as server:
        assert ask(server) == "Oslo"


def test_a_refusal_is_what_the_model_said() -> None:
    reply = completion(None, message={"role": "assistant", "content": None, "refusal": "I would rather not."})
    with serving(reply) as server:
        assert ask(server) == "I would rather not."


@pytest.mark.parametrize("arguments", ["{not json", "[1]", "", "null"])
def test_arguments_that_cannot_be_read_are_the_models_mistake_not_an_error(arguments: str) -> None:
    with serving(completion(None, [("get_film", arguments)])) as server:
        (call,) = parse_turn(ask(server)).calls
    assert isinstance(call, MalformedCall) or call.arguments == {}


def test_the_request_holds_the_conversation_the_tools_and_the_settings() -> None:
    messages: list[Message] = [
        *QUESTION,
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "call_0", "type": "function", "function": {"name": "get_film", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "call_0", "content": '{"director":"Ingrid Dahl"}'},
    ]
    with serving(completion("Oslo")) as server:
        ask(server, messages, temperature=0.5, max_tokens=64, extra_body={"seed": 7}, api_key="key-1")
        ask(server)
    assert server.requests[0] == {
        "model": "authored",
        "messages": messages,
        "tools": CHAIN.tool_schemas,
        "temperature": 0.5,
        "max_tokens": 64,
        "seed": 7,
    }
    assert server.requests[1].keys() == {"model", "messages", "tools"}
    assert server.authorizations[0] == "Bearer key-1"


def test_tokens_are_counted_by_the_episode() -> None:
    with serving(completion("Oslo")) as server, OpenAIModel("authored", base_url=server.base_url) as model:
        for _ in range(2):
            model.begin_episode(CHAIN, 0)
            assert model.usage == {}
            for _ in range(3):
                model.reply(QUESTION, [])
            assert model.usage == {
                "requests": 3,
                "prompt_tokens": 30,
                "completion_tokens": 15,
                "total_tokens": 45,
            }
        assert "tools" not in server.requests[0]


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_passing_failure_is_tried_again(status: int) -> None:
    with serving(failure(status, "busy"), failure(status, "busy"), completion("Oslo")) as server:
        assert ask(server, max_retries=2) == "Oslo"
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("reply", "attempts", "message"),
    [
        (failure(401, "bad key"), 1, r"the API key is refused; set OPENAI_API_KEY.*HTTP 401: 'bad key'"),
        (failure(403, "not yours"), 1, "this API key may not use it"),
        (failure(404, "no such model"), 1, "no model 'authored', or no chat endpoint.*no such model"),
        (failure(400, "context too long"), 1, "the request is refused.*context too long"),
        (failure(429, "slow down"), 3, "rate limit or quota reached, also after the retries.*slow down"),
        (failure(500, "oops"), 3, "the server failed, also after the retries.*oops"),
        (Reply(b"<html>Bad gateway</html>", 502, "text/html", {"retry-after-ms": "1"}), 3, "Bad gateway"),
        (Reply(b"<html>Welcome</html>", 200, "text/html"), 1, "not JSON but '<html>Welcome.*does base_url end in /v1"),
        (Reply(b'{"choices": [', 200), 1, "the reply is not JSON"),
        (Reply(b'{"choices": []}', 200), 1, "the reply has no choices"),
        (Reply(b'{"error": {"message": "quota"}}', 200), 1, "the reply has no choices.*quota"),
        (Reply(completion("Oslo").body, sent_bytes=20), 3, "cannot connect"),
        (Reply(b"[]", 200), 1, "the reply has no choices"),
        (Reply(b'{"choices": [{"index": 0}]}', 200), 1, "the first choice has no message"),
        (Reply(b'{"choices": [null]}', 200), 1, "the first choice has no message"),
        (completion(None, finish_reason="length"), 1, "cut off before it said anything; raise max_tokens"),
    ],
)
def test_a_failure_that_stays_is_a_model_error_that_says_what_to_do(reply: Reply, attempts: int, message: str) -> None:
    with serving(reply) as server:
        with pytest.raises(ModelError, match=f"^openai:authored at {server.base_url}/: .*{message}"):
            ask(server, max_retries=2)
        assert len(server.requests) == attempts


def test_a_server_that_does_not_answer_in_time_is_a_model_error() -> None:
    slow = Reply(completion("Oslo").body, delay_s=1.0)
    with serving(slow) as server, pytest.raises(ModelError, match=r"no answer within 0\.1 s; raise timeout_s"):
        ask(server, timeout_s=0.1, max_retries=0)


def test_a_server_that_is_not_there_is_a_model_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        model = OpenAIModel("authored", base_url=url, max_retries=0)
        with model, pytest.raises(ModelError, match=r"cannot connect .*is the server running, and base_url right"):
            model.reply(QUESTION, [])


def test_a_wrong_base_url_is_a_model_error() -> None:
    with serving(completion("Oslo")) as server:
        model = OpenAIModel("authored", base_url=server.base_url.removesuffix("/v1"))
        with model, pytest.raises(ModelError, match=r"no chat endpoint under base_url.*no route /chat/completions"):
            model.reply(QUESTION, [])


def test_openais_own_endpoint_needs_a_key() -> None:
    with pytest.raises(ModelError, match="no API key: set OPENAI_API_KEY"):
        OpenAIModel("gpt-4o")


def test_the_key_stands_in_no_message() -> None:
    with serving(failure(401, "bad key")) as server, pytest.raises(ModelError) as raised:
        ask(server, api_key="sk-secret")
    assert "sk-secret" not in str(raised.value)


def test_without_the_client_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['openai'] = None\n"
        "from astra_gym.models import OpenAIModel\n"
        "OpenAIModel('m', base_url='http://127.0.0.1:1/v1')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert MissingExtraError.__name__ in done.stderr
    assert "astra-gym[models]" in done.stderr
