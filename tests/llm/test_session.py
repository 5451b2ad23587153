"""Sessions: re-asks, refusals, judges, cache, budgets, records; over a real server."""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from astra_gym.errors import PipelineError
from astra_gym.llm.cache import Completion, ReplyCache
from astra_gym.llm.errors import BudgetError, EndpointError, LlmError, RefusedError, ReplyError
from astra_gym.llm.pool import LlmPool
from astra_gym.llm.session import LlmSession
from astra_gym.llm.settings import Endpoint, ItemBudget, LlmSettings
from astra_gym.records import Record
from tests.llm.server import answering, ask, attempt, prompt, say, settings
from tests.models.chat_server import Reply, completion, failure, serving


class Count(Record):
    number: int


async def once(llm: LlmSession) -> Count:
    return await llm.write(prompt(), Count)


def below_ten(reply: Count) -> None:
    if reply.number >= 10:
        raise ValueError(f"number must be below 10, found {reply.number}")


class TestReasks:
    def test_a_bad_reply_goes_back_with_what_is_wrong(self) -> None:
        with serving(say("seven"), say({"number": "x"}), say({"number": 7})) as server:
            assert ask(settings(server.base_url), once).number == 7
        last = server.requests[-1]["messages"]
        assert [message["role"] for message in last] == ["system", "user", "assistant", "user", "assistant", "user"]
        assert last[2]["content"] == "seven"
        assert "no JSON object" in last[3]["content"]
        assert "at /number" in last[5]["content"]
        assert attempt(server.requests[-1]) == 2

    def test_a_further_condition_is_asked_for_the_same_way(self) -> None:
        with serving(say({"number": 12}), say({"number": 9})) as server:
            asked = ask(settings(server.base_url), lambda llm: llm.write(prompt(), Count, check=below_ten))
        assert asked.number == 9
        assert "number must be below 10, found 12" in server.requests[1]["messages"][-1]["content"]

    def test_it_ends_with_the_last_error_and_the_head_of_the_reply(self) -> None:
        with serving(say("never")) as server:
            told = r"^it holds no JSON object \(the last of 3 replies of writer at stage 'count'"
            with pytest.raises(ReplyError, match=told) as raised:
                ask(settings(server.base_url), once)
            assert len(server.requests) == 3
        assert raised.value.excerpt == "never"

    def test_a_reply_cut_at_the_limit_is_asked_again_though_it_may_parse(self) -> None:
        with serving(say({"number": 1}, finish_reason="length"), say({"number": 7})) as server:
            assert ask(settings(server.base_url), once).number == 7
        assert "cut off at the token limit" in server.requests[1]["messages"][-1]["content"]

    @pytest.mark.parametrize(
        "reply",
        [
            completion(None, message={"role": "assistant", "content": None, "refusal": "I would rather not."}),
            completion("I'm sorry, but I can't help with that."),
            completion("抱歉，我无法回答。"),
            completion("", finish_reason="content_filter"),
        ],
    )
    def test_a_refusal_is_not_asked_again(self, reply: Reply) -> None:
        with serving(reply) as server:
            with pytest.raises(RefusedError, match="writer refused: "):
                ask(settings(server.base_url), once)
            assert len(server.requests) == 1


class TestJudges:
    @staticmethod
    async def judged(llm: LlmSession) -> list[Count | LlmError]:
        return await llm.judge(prompt(), Count)

    def test_each_model_is_asked_for_each_sample(self) -> None:
        def answer(request: dict[str, Any]) -> Reply:
            return say({"number": int(request["model"][-1]) * 10 + request["seed"]})

        with answering(answer) as server:
            given = ask(settings(server.base_url, judges=("judge1", "judge2"), judge_samples=2), self.judged)
        assert [reply.number for reply in given if isinstance(reply, Count)] == [10, 11, 20, 21]

    def test_without_judges_the_writer_judges(self) -> None:
        with serving(say({"number": 7})) as server:
            assert ask(settings(server.base_url), self.judged) == [Count(number=7)]
        assert server.requests[0]["model"] == "writer"

    def test_one_that_answers_garbage_has_no_verdict(self) -> None:
        def answer(request: dict[str, Any]) -> Reply:
            return say({"number": 1}) if request["model"] == "good" else say("blah")

        with answering(answer) as server:
            good, bad = ask(settings(server.base_url, judges=("good", "bad")), self.judged)
        assert good == Count(number=1)
        assert isinstance(bad, ReplyError)

    def test_one_that_is_not_there_ends_the_item(self) -> None:
        def answer(request: dict[str, Any]) -> Reply:
            return say({"number": 1}) if request["model"] == "good" else failure(404, "no such model")

        with answering(answer) as server, pytest.raises(EndpointError, match="no model 'bad'"):
            ask(settings(server.base_url, judges=("good", "bad")), self.judged)


class TestCache:
    def test_a_second_run_asks_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "folder" / "replies.sqlite"

        async def both(llm: LlmSession) -> int:
            await once(llm)
            assert (await llm.write(prompt(), Count, sample=1)).number == 7
            return llm.usage.cached_calls

        with serving(say("no"), say({"number": 7})) as server:
            assert ask(settings(server.base_url), both, cache=path) == 0
            asked = len(server.requests)
            assert ask(settings(server.base_url), both, cache=path) == asked == 3
            assert len(server.requests) == asked

    @pytest.mark.parametrize(
        "change",
        [
            {"temperature": 0.5},
            {"top_p": 0.5},
            {"max_tokens": 9},
            {"extra_body": {"min_p": 0.5}},
            {"json_schema": "off"},
        ],
    )
    def test_whatever_decides_the_reply_is_part_of_the_key(self, tmp_path: Path, change: dict[str, Any]) -> None:
        path = tmp_path / "replies.sqlite"
        with serving(say({"number": 7})) as server:
            ask(settings(server.base_url), once, cache=path)
            ask(settings(server.base_url, endpoint=change), once, cache=path)
            assert len(server.requests) == 2

    def test_another_endpoint_is_asked_although_its_model_has_the_same_name(self, tmp_path: Path) -> None:
        path = tmp_path / "replies.sqlite"
        with serving(say({"number": 7})) as first, serving(say({"number": 8})) as second:
            assert ask(settings(first.base_url), once, cache=path).number == 7
            assert ask(settings(second.base_url), once, cache=path).number == 8

    def test_a_failure_is_not_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "replies.sqlite"
        with serving(failure(401, "no"), say({"number": 7})) as server:
            with pytest.raises(EndpointError):
                ask(settings(server.base_url), once, cache=path)
            assert ask(settings(server.base_url), once, cache=path).number == 7

    def test_whether_schemas_are_taken_does_not_matter_to_the_key(self, tmp_path: Path) -> None:
        """A new process asks without having learnt it, and must still find what an earlier one got."""
        path = tmp_path / "replies.sqlite"

        def answer(request: dict[str, Any]) -> Reply:
            return failure(400, "no response_format") if "response_format" in request else say({"number": 7})

        with answering(answer) as server:
            for _ in range(2):
                ask(settings(server.base_url), once, cache=path)
            assert len(server.requests) == 2

    def test_the_first_reply_stays(self, tmp_path: Path) -> None:
        with ReplyCache(tmp_path / "c.sqlite") as cache:
            assert cache.put("e", "r", Completion(content="one")).content == "one"
            assert cache.put("e", "r", Completion(content="two")).content == "one"
            assert cache.get("e", "other") is None

    def test_processes_share_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "c.sqlite"
        context = multiprocessing.get_context("spawn")
        writers = [context.Process(target=fill, args=(path, n)) for n in range(2)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert [writer.exitcode for writer in writers] == [0, 0]
        with ReplyCache(path) as cache:
            assert len(cache) == 200

    def test_a_row_that_is_no_reply_is_named_with_its_file(self, tmp_path: Path) -> None:
        path = tmp_path / "c.sqlite"
        with ReplyCache(path) as cache:
            cache.put("e", "r", Completion(content="one"))
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE replies SET reply = '{}'")
        with ReplyCache(path) as cache, pytest.raises(PipelineError, match=r"c\.sqlite: cannot be used as a cache"):
            cache.get("e", "r")

    def test_another_kind_of_file_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.txt"
        path.write_text("not a data base, but long enough to be looked at as one\n" * 40)
        with pytest.raises(PipelineError, match=r"notes\.txt: cannot be used as a cache of replies.*--cache"):
            ReplyCache(path)


def fill(path: Path, which: int) -> None:
    with ReplyCache(path) as cache:
        for i in range(100):
            cache.put("e", f"{which}-{i}", Completion(content=str(i)))


class TestBudget:
    @staticmethod
    async def many(llm: LlmSession) -> int:
        for i in range(4):
            await llm.write(prompt(f"{i}?"), Count)
        return llm.usage.calls

    @pytest.mark.parametrize(
        ("budget", "message"),
        [
            ({"calls": 3}, "needs more than the 3 calls"),
            ({"tokens": 59}, "needs more than the 59 tokens"),  # 15 a call
            ({"usd": 59e-6}, "costs more than the 5.9e-05 USD"),
        ],
    )
    @pytest.mark.parametrize("cached", [False, True])
    def test_one_item_stops_there_from_the_cache_or_not(
        self, tmp_path: Path, budget: dict[str, Any], message: str, cached: bool
    ) -> None:
        with serving(say({"number": 7})) as server:
            priced = settings(server.base_url, endpoint={"price_in": 1.0, "price_out": 1.0})
            path = tmp_path / "replies.sqlite"
            if cached:
                assert ask(priced, self.many, cache=path) == 4
            with pytest.raises(BudgetError, match=message):
                ask(priced, self.many, cache=path, budget=ItemBudget(**budget))

    @pytest.mark.parametrize("budget", [{"calls": 4}, {"tokens": 60}, {"usd": 60e-6}])
    def test_what_is_allowed_may_be_used_up(self, budget: dict[str, Any]) -> None:
        with serving(say({"number": 7})) as server:
            priced = settings(server.base_url, endpoint={"price_in": 1.0, "price_out": 1.0})
            assert ask(priced, self.many, budget=ItemBudget(**budget)) == 4

    def test_time_ends_a_call_that_is_under_way(self) -> None:
        slow = Reply(say({"number": 7}).body, delay_s=2.0)
        with serving(slow) as server, pytest.raises(BudgetError, match=r"takes longer than the 0\.2 s"):
            ask(settings(server.base_url), once, budget=ItemBudget(seconds=0.2))

    def test_reasks_count(self) -> None:
        with serving(say("no")) as server:
            with pytest.raises(BudgetError):
                ask(settings(server.base_url), once, budget=ItemBudget(calls=2))
            assert len(server.requests) == 2

    def test_who_catches_the_error_cannot_go_on(self) -> None:
        async def stubborn(llm: LlmSession) -> None:
            for _ in range(2):
                with pytest.raises(BudgetError):
                    await self.many(llm)
            with pytest.raises(BudgetError):
                llm.check()

        with serving(say({"number": 7})) as server:
            ask(settings(server.base_url), stubborn, budget=ItemBudget(calls=1))
            assert len(server.requests) == 1

    def test_tokens_that_an_endpoint_does_not_count_are_estimated(self) -> None:
        bare = Reply(b'{"choices": [{"message": {"content": "{\\"number\\": 7}"}}]}')
        with serving(bare) as server:

            async def used(llm: LlmSession) -> tuple[int, int]:
                await once(llm)
                return llm.usage.prompt_tokens, llm.usage.completion_tokens

            assert ask(settings(server.base_url), used) == (6, 4)

    def test_an_endpoint_that_counts_nothing_is_not_believed(self) -> None:
        free = Reply(say({"number": 7}).body.replace(b'"prompt_tokens": 10', b'"prompt_tokens": 0'))
        with serving(free) as server:
            assert ask(settings(server.base_url), self.prompt_tokens) == 6

    @staticmethod
    async def prompt_tokens(llm: LlmSession) -> int:
        await once(llm)
        return llm.usage.prompt_tokens


def test_usage_adds_up_and_knows_what_the_cache_saved(tmp_path: Path) -> None:
    async def used(llm: LlmSession) -> LlmSession:
        await llm.write(prompt("0?"), Count)
        await llm.write(prompt("1?"), Count)
        return llm

    with serving(say({"number": 7})) as server:
        priced = settings(server.base_url, endpoint={"price_in": 2.0, "price_out": 10.0})
        path = tmp_path / "replies.sqlite"
        ask(priced, lambda llm: llm.write(prompt("0?"), Count), cache=path)
        usage = ask(priced, used, cache=path).usage
    assert (usage.calls, usage.cached_calls, usage.prompt_tokens, usage.completion_tokens) == (2, 1, 20, 10)
    assert usage.usd == pytest.approx(140e-6)
    assert usage.spent_usd == pytest.approx(70e-6)


def test_records_say_what_replies_came_from_and_not_where_or_in_which_order() -> None:
    def answer(request: dict[str, Any]) -> Reply:
        if request["messages"][1]["content"] == "1?" and not attempt(request):
            return say("no")
        return say({"number": 7})

    async def records(llm: LlmSession, order: str) -> Any:
        await asyncio.gather(*(llm.write(prompt(f"{i}?"), Count, sample=2) for i in order))
        return llm.records

    with answering(answer) as one, answering(answer) as other:
        first = ask(settings(one.base_url), lambda llm: records(llm, "012"), date="2025-01-02")
        second = ask(settings(other.base_url), lambda llm: records(llm, "210"), date="2025-01-02")
    assert first == second
    assert sorted(record.asks for record in first) == [1, 1, 2]
    assert {(r.stage, r.model, r.template, r.seed, r.date) for r in first} == {
        ("count", "writer", "sha256:0", 2, "2025-01-02")
    }
    assert first[0].sampling == {"temperature": 1.0, "max_tokens": 8000}


@pytest.mark.parametrize(("allowed", "opened"), [(2, 2), (6, 6)])
def test_no_more_requests_than_allowed_are_in_flight(allowed: int, opened: int) -> None:
    everyone = threading.Barrier(opened, timeout=30)

    async def main(url: str) -> None:
        async with LlmPool(settings(url), concurrency=allowed) as pool:
            await asyncio.gather(*(pool.session(f"item-{i}").write(prompt(f"{i}?"), Count) for i in range(6)))

    with answering(lambda _: say({"number": 7}), before=everyone.wait) as server:
        asyncio.run(main(server.base_url))
        assert len(server.requests) == 6
        assert server.connections == opened


def test_a_pool_that_is_not_open_says_so() -> None:
    with pytest.raises(RuntimeError, match="async context manager"):
        LlmPool(LlmSettings(writer=Endpoint(model="m"))).session("a")
