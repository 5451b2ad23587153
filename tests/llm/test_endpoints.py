"""What bad endpoints do, each over a real connection: a clear message, bounded patience, and when to give one up."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from astra_gym.errors import ModelError
from astra_gym.llm.cache import ReplyCache
from astra_gym.llm.errors import DeadEndpointError, EndpointError, RequestError
from astra_gym.llm.pool import LlmPool
from astra_gym.llm.session import LlmSession
from astra_gym.llm.settings import Endpoint, LlmSettings
from astra_gym.records import Record
from tests.llm.server import answering, ask, prompt, say, settings
from tests.models.chat_server import Reply, completion, failure, serving

SOUND = say({"number": 7})


class Count(Record):
    number: int


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


async def once(llm: LlmSession) -> Count:
    return await llm.write(prompt(), Count)


@pytest.mark.parametrize(
    ("reply", "attempts", "message"),
    [
        (failure(401, "bad key"), 1, r"the API key is refused; set OPENAI_API_KEY.*HTTP 401: 'bad key'"),
        (failure(403, "not yours"), 1, "this API key may not use it"),
        (failure(404, "no such model"), 1, "no model 'writer', or no chat endpoint under base_url .*no such model"),
        (failure(429, "slow down"), 2, "rate limit or quota reached, also after the retries.*slow down"),
        (failure(429, "wait", **{"retry-after-ms": "0", "Retry-After": "0.05"}), 2, "rate limit or quota reached"),
        (failure(500, "oops"), 2, "the server failed, also after the retries.*oops"),
        (Reply(b"<html>Bad gateway</html>", 502, "text/html", {"retry-after-ms": "1"}), 2, "Bad gateway"),
        (Reply(b"<html>Welcome</html>", 200, "text/html"), 2, "not JSON but '<html>Welcome.*does base_url end in /v1"),
        (Reply(b'{"choices": [{"mess', 200), 2, "the reply is not JSON"),
        (Reply(b'{"choices": []}', 200), 2, "the reply has no choices"),
        (Reply(b'{"error": {"message": "quota"}}', 200), 2, "the reply has no choices.*quota"),
        (Reply(b'{"choices": [{"index": 0}]}', 200), 2, "the first choice has no message"),
        (Reply(b'{"choices": [{"message": {"content": [1]}}]}', 200), 2, "the first choice holds no text"),
        (Reply(SOUND.body, sent_bytes=20), 2, "cannot connect"),
        (failure(400, "unknown parameter"), 1, "the request is refused.*unknown parameter"),
    ],
)
def test_what_stays_bad_is_an_endpoint_error_that_says_what_to_do(reply: Reply, attempts: int, message: str) -> None:
    with serving(reply) as server:
        with pytest.raises(EndpointError, match=f"^writer at {server.base_url}: .*{message}"):
            ask(settings(server.base_url, endpoint={"json_schema": "off"}), once)
        assert len(server.requests) == attempts


@pytest.mark.parametrize(
    "reply",
    [
        failure(429, "slow down", **{"retry-after-ms": "", "Retry-After": "0.01"}),
        failure(503, "busy"),
        Reply(SOUND.body, sent_bytes=20),
        Reply(b'{"choices": []}'),
        Reply(b"<html>one moment</html>", 200, "text/html"),
        Reply(SOUND.body, delay_s=5.0),
    ],
    ids=["429", "503", "cut", "no choices", "HTML", "slow"],
)
def test_what_passes_is_tried_again(reply: Reply) -> None:
    with serving(reply, SOUND) as server:
        assert ask(settings(server.base_url, timeout_s=0.5), once).number == 7
        assert len(server.requests) == 2


def test_a_server_that_does_not_answer_in_time_is_named() -> None:
    slow, told = Reply(SOUND.body, delay_s=2.0), r"no answer within 0\.1 s; raise timeout_s, or look at the server"
    with serving(slow) as server, pytest.raises(EndpointError, match=told):
        ask(settings(server.base_url, timeout_s=0.1, retries=0), once)


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(EndpointError, match=r"cannot connect .*is the server running, and base_url right"):
        ask(settings(nowhere(), retries=0), once)


def nowhere() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


def test_openais_own_endpoint_needs_a_key() -> None:
    with pytest.raises(ModelError, match="set OTHER_KEY, or give --base-url"):
        ask(LlmSettings(writer=Endpoint(model="gpt", api_key_env="OTHER_KEY")), once)


def test_the_key_is_sent_and_stands_in_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret")
    with serving(failure(401, "bad key")) as server:
        with pytest.raises(EndpointError) as raised:
            ask(settings(server.base_url, endpoint={"api_key_env": "MY_KEY"}), once)
        assert server.authorizations == ["Bearer sk-secret"]
    assert "sk-secret" not in str(raised.value)


def test_an_endpoint_that_keeps_failing_is_given_up() -> None:
    async def main(url: str) -> list[Exception]:
        raised: list[Exception] = []
        async with LlmPool(settings(url, down_after=3)) as pool:
            for i in range(5):
                assert pool.dead == (i >= 3)
                try:
                    await pool.session(f"item-{i}").write(prompt(f"{i}?"), Count)
                except EndpointError as error:
                    raised.append(error)
        return raised

    with serving(failure(401, "bad key")) as server:
        raised = asyncio.run(main(server.base_url))
        assert len(server.requests) == 3
    assert [type(error) for error in raised] == [EndpointError] * 2 + [DeadEndpointError] * 3
    told = f"writer at {server.base_url}: the endpoint is down: it left 3 items in a row without an answer; the last: "
    assert all(str(error).startswith(told) for error in raised[2:])


def test_requests_of_one_item_that_fail_together_are_one_failure() -> None:
    async def main(url: str) -> tuple[bool, bool]:
        async with LlmPool(settings(url, down_after=2, retries=0)) as pool:
            for item in ("a", "b"):
                llm = pool.session(item)
                asked = (llm.write(prompt(f"{item}{i}?"), Count) for i in range(4))
                failed = await asyncio.gather(*asked, return_exceptions=True)
                assert all(isinstance(error, EndpointError) for error in failed)
                if item == "a":
                    alive = not pool.dead
            return alive, pool.dead

    with serving(failure(500, "oops")) as server:
        assert asyncio.run(main(server.base_url)) == (True, True)


def test_an_answer_in_between_keeps_an_endpoint_alive() -> None:
    async def main(url: str) -> bool:
        async with LlmPool(settings(url, down_after=2)) as pool:
            for i in range(6):
                session = pool.session(f"item-{i}")
                if i % 2:
                    assert await session.write(prompt(f"{i}?"), Count) == Count(number=7)
                else:
                    with pytest.raises(EndpointError):
                        await session.write(prompt(f"{i}?"), Count)
            return pool.dead

    def answer(request: dict[str, Any]) -> Reply:
        return SOUND if request["messages"][1]["content"][0] in "135" else failure(401, "bad key")

    with answering(answer) as server:
        assert not asyncio.run(main(server.base_url))


def test_a_refused_request_blames_the_item_once_the_endpoint_has_answered() -> None:
    def answer(request: dict[str, Any]) -> Reply:
        return failure(400, "too long") if request["messages"][1]["content"] == "long" else SOUND

    async def both(llm: LlmSession) -> None:
        await llm.write(prompt("short"), Count)
        with pytest.raises(RequestError, match=r"the request is refused .*too long"):
            await llm.write(prompt("long"), Count)
        assert await llm.write(prompt("short"), Count, sample=1) == Count(number=7)

    with answering(answer) as server:
        ask(settings(server.base_url), both)


def test_a_session_ends_with_its_endpoint_but_the_pool_goes_on() -> None:
    async def main(url: str) -> None:
        async with LlmPool(settings(url)) as pool:
            ended = pool.session("a")
            ended.check()
            with pytest.raises(EndpointError):
                await ended.write(prompt(), Count)
            with pytest.raises(EndpointError):
                await ended.write(prompt("more"), Count)
            with pytest.raises(EndpointError):
                ended.check()
            assert (await pool.session("b").write(prompt(), Count)).number == 7

    with serving(failure(404, "no such model"), SOUND) as server:
        asyncio.run(main(server.base_url))
        assert len(server.requests) == 2


class TestSchemas:
    """`response_format` where the endpoint takes it."""

    @staticmethod
    def tolerant(_request: dict[str, Any]) -> Reply:
        return SOUND

    @staticmethod
    def strict(request: dict[str, Any]) -> Reply:
        return failure(422, "unknown field response_format") if "response_format" in request else SOUND

    @staticmethod
    async def thrice(llm: LlmSession) -> None:
        for i in range(3):
            assert await llm.write(prompt(f"{i}?"), Count) == Count(number=7)

    @pytest.mark.parametrize(
        ("mode", "takes", "sent"),
        [
            ("auto", True, [True, True, True]),
            ("auto", False, [True, False, False, False]),
            ("on", True, [True, True, True]),
            ("off", True, [False, False, False]),
        ],
    )
    def test_auto_tries_once_and_remembers(self, mode: str, takes: bool, sent: list[bool]) -> None:
        with answering(self.tolerant if takes else self.strict) as server:
            ask(settings(server.base_url, endpoint={"json_schema": mode}), self.thrice)
            assert ["response_format" in request for request in server.requests] == sent

    def test_the_schema_is_that_of_the_reply(self) -> None:
        with answering(self.tolerant) as server:
            ask(settings(server.base_url), once)
        schema = server.requests[0]["response_format"]
        assert schema["type"] == "json_schema"
        assert schema["json_schema"]["schema"] == {
            "type": "object",
            "properties": {"number": {"type": "integer"}},
            "required": ["number"],
            "additionalProperties": False,
        }

    def test_on_without_support_is_an_error(self) -> None:
        with answering(self.strict) as server, pytest.raises(EndpointError, match="unknown field response_format"):
            ask(settings(server.base_url, endpoint={"json_schema": "on"}), once)

    def test_one_schema_that_is_refused_does_not_cost_the_others_theirs(self) -> None:
        class Other(Record):
            number: int

        def answer(request: dict[str, Any]) -> Reply:
            named = request.get("response_format", {}).get("json_schema", {}).get("name")
            return failure(400, "schema not supported") if named == "Other" else SOUND

        async def turns(llm: LlmSession) -> None:
            for i in range(2):
                await llm.write(prompt(f"{i}?"), Count)
                await llm.write(prompt(f"{i}?"), Other)

        with answering(answer) as server:
            ask(settings(server.base_url), turns)
            assert ["response_format" in request for request in server.requests] == [True, True, False, True, False]


def test_the_request_holds_the_settings(tmp_path: Path) -> None:
    endpoint = {"temperature": 0.3, "top_p": 0.9, "max_tokens": 50, "extra_body": {"min_p": 0.1}, "json_schema": "off"}
    with serving(completion('{"number": 7}')) as server:
        ask(settings(server.base_url, endpoint=endpoint), lambda llm: llm.write(prompt(), Count, sample=4))
        ask(
            settings(server.base_url, endpoint={"send_seed": False, "temperature": None, "max_tokens": None}),
            once,
            cache=tmp_path / "replies.sqlite",
        )
    messages = list(prompt().messages)
    assert server.requests[0] == {
        "model": "writer",
        "messages": messages,
        "temperature": 0.3,
        "top_p": 0.9,
        "max_tokens": 50,
        "seed": 4,
        "min_p": 0.1,
    }
    assert server.requests[1].keys() == {"model", "messages", "response_format"}
    with ReplyCache(tmp_path / "replies.sqlite") as cache:
        assert len(cache) == 1
