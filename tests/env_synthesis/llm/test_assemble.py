"""The parts put together: a certified env in the end, an id of its content, and an account of where it comes from."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from astra_gym.answers import Answer
from astra_gym.certify import certify
from astra_gym.env_synthesis.llm.assemble import assemble, env_id
from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.items import LlmItem
from astra_gym.env_synthesis.llm.made import MadeTool
from astra_gym.env_synthesis.llm.merge import merge_tools
from astra_gym.env_synthesis.llm.tool_runner import ToolRunner
from astra_gym.llm.session import ReplyRecord
from astra_gym.types import Certificate, Decomposition, Rejected, SubQuestion, ToolEnvSpec, Verdict
from tests.env_synthesis.llm import ferries
from tests.env_synthesis.llm.ferries import document
from tests.env_synthesis.llm.scripted import Said, ScriptedSession
from tests.env_synthesis.llm.test_merge import all_made

CHINESE_FARE = "从明港到林岛的成人船票多少钱？"
CHINESE_TOTAL = "按这个票价，三张票一共多少钱？"
CHINESE = Drafted(
    LlmItem.make("domain", domain="渡轮", language="zh"),
    Decomposition(
        id="zh",
        question="从明港到林岛，三张成人船票一共多少钱？",
        answer=Answer.parse("96元"),
        domain="渡轮",
        language="zh",
        sub_questions=(
            SubQuestion(id="q1", question=CHINESE_FARE, answer=Answer.parse("32元")),
            SubQuestion(id="q2", question=CHINESE_TOTAL, answer=Answer.parse("96元"), depends_on=("q1",)),
        ),
    ),
    answer_from="q2",
)
FARE_DOCUMENT = document(
    "get_ferry_fare",
    "查询两个港口之间的成人船票价格；没有航线时报错。",
    "`fare`：票价，单位为元。",
    origin={"type": "string", "description": "出发港。"},
    destination={"type": "string", "description": "到达港。"},
)
FARE_SOURCE = """def get_ferry_fare(origin, destination):
    for row in FARES:
        if (row["from"], row["to"]) == (origin.strip(), destination.strip()):
            return {"fare": row["fare"]}
    raise ValueError(f"{origin}到{destination}没有航线")
"""
FARES = [
    {"from": "明港", "to": "林岛", "fare": 32},
    {"from": "明港", "to": "白沙", "fare": 45},
    {"from": "林岛", "to": "白沙", "fare": 21},
]
TOTAL_DOCUMENT = document(
    "total_price",
    "计算若干张票的总价。",
    "`total`：总价。",
    fare={"type": "number", "description": "单价。"},
    tickets={"type": "integer", "description": "张数。"},
)
CHINESE_REPLIES = [
    Said("document", FARE_DOCUMENT, CHINESE_FARE),
    Said("scaling", FARE_DOCUMENT, CHINESE_FARE),
    Said("call", {"arguments": {"origin": "明港", "destination": "林岛"}, "result_path": "/fare"}, CHINESE_FARE),
    Said("implementation", {"source": FARE_SOURCE, "data": {"FARES": FARES}}, CHINESE_FARE),
    Said(
        "probe",
        {
            "second": {"origin": "明港", "destination": "白沙"},
            "second_answer": "45元",
            "unknown": {"origin": "明港", "destination": "红海"},
        },
        CHINESE_FARE,
    ),
    Said("document", TOTAL_DOCUMENT, CHINESE_TOTAL),
    Said("scaling", TOTAL_DOCUMENT, CHINESE_TOTAL),
    Said("call", {"arguments": {"fare": {"$ref": "q1"}, "tickets": 3}, "result_path": "/total"}, CHINESE_TOTAL),
    Said(
        "implementation",
        {"source": 'def total_price(fare, tickets):\n    return {"total": fare * tickets}\n'},
        CHINESE_TOTAL,
    ),
    Said("probe", {"second": {"fare": 5, "tickets": 4}, "second_answer": 20, "unknown": None}, CHINESE_TOTAL),
]
JUDGED = [Verdict(check="atomicity", status="pass", evidence={"votes": 1})]
RECORDS = [
    ReplyRecord(
        stage=stage,
        model="authored",
        template="sha256:1",
        sampling={"temperature": 1.0},
        seed=seed,
        asks=1,
        request=f"r{seed}",
        date="2025-03-01",
    )
    for stage in ("call", "document")
    for seed in (0, 1)
]


@pytest.fixture(scope="module")
def runner() -> Iterator[ToolRunner]:
    with ToolRunner() as runner:
        yield runner


def assembled(drafted: Drafted, replies: list[Said], runner: ToolRunner) -> tuple[Any, list[MadeTool]]:
    async def work() -> list[MadeTool]:
        session = ScriptedSession(replies)
        made = await all_made(drafted, session, runner)
        return await merge_tools(drafted, made, session, runner)

    made = asyncio.run(work())
    return assemble(drafted, made, JUDGED, RECORDS, drafted.item), made


@pytest.mark.parametrize(
    ("drafted", "replies", "tools"),
    [
        (ferries.CHAIN, ferries.CHAIN_REPLIES, 3),
        (ferries.PIERS, ferries.MERGE_REPLIES, 2),
        (ferries.PIERS, [*ferries.MERGE_REPLIES, Said("cluster", "no")], 3),
        (CHINESE, CHINESE_REPLIES, 2),
    ],
    ids=["chain", "merged", "unmerged namesakes", "Chinese"],
)
def test_what_is_put_together_earns_a_certificate(
    drafted: Drafted, replies: list[Said], tools: int, runner: ToolRunner
) -> None:
    spec, _ = assembled(drafted, replies, runner)
    assert isinstance(spec, ToolEnvSpec)
    assert len(spec.tools) == tools
    assert isinstance(certify(spec), Certificate)
    assert spec == ToolEnvSpec.model_validate(spec.to_json())


def test_the_id_is_the_domain_and_a_hash_of_what_is_played(runner: ToolRunner) -> None:
    spec, made = assembled(ferries.CHAIN, ferries.CHAIN_REPLIES, runner)
    assert spec.id == env_id(spec)
    assert spec.id.startswith("ferries-")
    assert assemble(ferries.CHAIN, made, (), (), ferries.CHAIN.item).id == spec.id
    assert assembled(CHINESE, CHINESE_REPLIES, runner)[0].id.startswith("zh-")


def test_provenance_says_who_was_asked_what_and_who_judged(runner: ToolRunner) -> None:
    spec, _ = assembled(ferries.CHAIN, ferries.CHAIN_REPLIES, runner)
    details = spec.provenance.details
    assert (spec.provenance.door, spec.provenance.record) == ("llm", ferries.CHAIN.item.id)
    assert details["replies"] == [
        {
            "model": "authored",
            "sampling": {"temperature": 1.0},
            "prompts": {"call": "sha256:1", "document": "sha256:1"},
        }
    ]
    assert details["dates"] == ["2025-03-01"]
    assert [verdict["check"] for verdict in details["verdicts"]] == ["atomicity", "probe:q1", "probe:q2", "probe:q3"]


def test_a_step_without_a_tool_stays_as_a_step(runner: ToolRunner) -> None:
    _, made = assembled(ferries.PIERS, ferries.MERGE_REPLIES, runner)
    spec = assemble(ferries.PIERS, made[:2], (), (), ferries.PIERS.item)
    assert [sub.call is None for sub in spec.sub_questions] == [False, False, True]
    assert isinstance(certify(spec), Certificate)


def test_parts_that_contradict_each_other_are_rejected(runner: ToolRunner) -> None:
    _, made = assembled(ferries.CHAIN, ferries.CHAIN_REPLIES, runner)
    outcome = assemble(ferries.CHAIN, made[1:], (), (), ferries.CHAIN.item)
    assert isinstance(outcome, Rejected)
    assert outcome.stage == "build"
    assert "refers to 'q1', which has no call itself" in outcome.reason


def test_an_env_without_any_tool_is_rejected() -> None:
    outcome = assemble(ferries.CHAIN, (), (), (), ferries.CHAIN.item)
    assert isinstance(outcome, Rejected)
    assert outcome.stage == "build"


def test_a_wrong_call_that_slipped_through_is_the_certificate_s_to_refuse(runner: ToolRunner) -> None:
    _, made = assembled(ferries.CHAIN, ferries.CHAIN_REPLIES, runner)
    call = made[2].call.model_copy(update={"arguments": {"fare": {"$ref": "q2"}, "tickets": 4}})
    spec = assemble(ferries.CHAIN, [*made[:2], replace(made[2], call=call)], (), (), ferries.CHAIN.item)
    outcome = certify(spec)
    assert isinstance(outcome, Rejected)
    assert outcome.stage == "replay"
