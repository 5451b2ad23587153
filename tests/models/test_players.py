"""The scripted, the random and the oracle model by themselves, and finding a model by name."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from astra_gym.errors import ModelError
from astra_gym.models import MODEL_NAMES, OpenAIModel, OracleModel, RandomModel, ScriptedModel, resolve_model
from astra_gym.models.oracle import MAX_FAULTS
from astra_gym.tool_calls import parse_turn
from astra_gym.types import Message, SubQuestion, ToolCall, ToolEnvSpec
from tests.specs import CHAIN, JOIN

FAULT = {"error": {"code": "injected_fault", "message": "try again"}}
BROKEN = {"error": {"code": "tool_error", "message": "no such film"}}


def answered(*results: Any) -> list[Message]:
    """What the env adds after a turn: the assistant's message and a tool message a result."""
    tools: list[Message] = [
        {"role": "tool", "tool_call_id": f"call_{i}", "content": orjson.dumps(result).decode()}
        for i, result in enumerate(results)
    ]
    return [{"role": "assistant", "content": ""}, *tools]


def calls(text: str) -> list[tuple[str, dict[str, Any]]]:
    return [(call.name, call.arguments) for call in parse_turn(text).calls if isinstance(call, ToolCall)]


def begun(spec: ToolEnvSpec, *, parallel: bool = True) -> tuple[OracleModel, list[Message]]:
    oracle = OracleModel(parallel=parallel)
    oracle.begin_episode(spec, 0)
    return oracle, [{"role": "user", "content": spec.question}]


HEIGHTS = [("get_height", {"mountain": "Galdhøpiggen"}), ("get_height", {"mountain": "Kebnekaise"})]


def test_the_oracle_plays_a_level_at_a_time_with_values_from_the_messages() -> None:
    oracle, messages = begun(JOIN)
    assert calls(oracle.reply(messages, [])) == HEIGHTS
    messages += answered({"height_m": 2470}, {"height_m": 2000})
    assert calls(oracle.reply(messages, [])) == [("subtract", {"minuend": 2470, "subtrahend": 2000})]
    messages += answered({"difference": 470})
    final = oracle.reply(messages, [])
    assert final == JOIN.answer.render()
    assert JOIN.answer.matches_text(final)


def test_the_sequential_oracle_makes_one_call_a_turn() -> None:
    oracle, messages = begun(JOIN, parallel=False)
    assert calls(oracle.reply(messages, [])) == HEIGHTS[:1]
    messages += answered({"height_m": 2469})
    assert calls(oracle.reply(messages, [])) == HEIGHTS[1:]


def test_the_oracle_repeats_only_the_call_that_met_a_fault() -> None:
    oracle, messages = begun(JOIN)
    oracle.reply(messages, [])
    messages += answered(FAULT, {"height_m": 2097})
    assert calls(oracle.reply(messages, [])) == HEIGHTS[:1]
    messages += answered({"height_m": 2469})
    assert calls(oracle.reply(messages, [])) == [("subtract", {"minuend": 2469, "subtrahend": 2097})]


def test_the_oracle_does_not_repeat_for_ever() -> None:
    oracle, messages = begun(CHAIN)
    for _ in range(MAX_FAULTS + 1):
        assert len(calls(oracle.reply(messages, []))) == 1
        messages += answered(FAULT)
    assert oracle.reply(messages, []) == CHAIN.answer.render()


@pytest.mark.parametrize("result", [BROKEN, {"year": 1987}, None])
def test_what_hangs_on_a_failed_call_is_left_out(result: Any) -> None:
    oracle, messages = begun(CHAIN)
    oracle.reply(messages, [])
    messages += answered(result)
    assert oracle.reply(messages, []) == CHAIN.answer.render()


def test_a_result_cut_short_is_not_guessed() -> None:
    oracle, messages = begun(CHAIN)
    oracle.reply(messages, [])
    messages += [
        {"role": "tool", "tool_call_id": "call_0", "content": '{"director":"Ingrid Da... [cut: 999 characters]'}
    ]
    assert oracle.reply(messages, []) == CHAIN.answer.render()


def test_an_output_that_has_a_field_called_error_is_an_output() -> None:
    oracle, messages = begun(CHAIN)
    oracle.reply(messages, [])
    messages += answered({"error": None, "director": "Ingrid Dahl"})
    assert calls(oracle.reply(messages, [])) == [("get_person", {"name": "Ingrid Dahl"})]


def test_many_parallel_calls_are_spread_over_turns_the_parser_reads() -> None:
    subs = tuple(
        SubQuestion(id=f"q{i}", question="?", answer=CHAIN.answer, call=CHAIN.needed[0].call).to_json()
        for i in range(70)
    )
    oracle, messages = begun(ToolEnvSpec.model_validate({**CHAIN.to_json(), "sub_questions": subs}))
    assert len(calls(oracle.reply(messages, []))) == 64
    messages += answered(*[{"director": "Ingrid Dahl"}] * 64)
    assert len(calls(oracle.reply(messages, []))) == 6


def test_an_oracle_that_was_shown_no_spec_is_a_model_error() -> None:
    with pytest.raises(ModelError, match="begin_episode"):
        OracleModel().reply([], [])


def test_a_script_starts_again_with_each_episode_and_ends() -> None:
    model = ScriptedModel("one", "two")
    for _ in range(2):
        model.begin_episode(CHAIN, 0)
        assert [model.reply([], []), model.reply([], [])] == ["one", "two"]
    with pytest.raises(ModelError, match="the script has 2 turns"):
        model.reply([], [])


def turns_of(model: RandomModel, spec: ToolEnvSpec, seed: int) -> list[str]:
    model.begin_episode(spec, seed)
    return [model.reply([], spec.tool_schemas) for _ in range(model.turns + 1)]


def test_the_random_model_depends_on_the_seed_alone() -> None:
    assert turns_of(RandomModel(), JOIN, 1) == turns_of(RandomModel(), JOIN, 1)
    assert turns_of(RandomModel(), JOIN, 1) != turns_of(RandomModel(), JOIN, 2)


def test_the_random_model_reads_no_gold() -> None:
    blind = JOIN.model_copy(update={"sub_questions": JOIN.sub_questions[:1], "answer": CHAIN.answer, "data": {}})
    assert turns_of(RandomModel(), JOIN, 3) == turns_of(RandomModel(), blind, 3)


def test_random_calls_fit_the_schemas_and_an_answer_ends_the_episode() -> None:
    validators = {tool.name: Draft202012Validator(tool.parameters) for tool in JOIN.tools}
    for seed in range(20):
        *turns, last = turns_of(RandomModel(turns=4), JOIN, seed)
        assert len(turns) == 4
        for turn in turns:
            ((name, arguments),) = calls(turn)
            validators[name].validate(arguments)
        assert calls(last) == []


@pytest.mark.parametrize("name", [n for n in MODEL_NAMES if ":" not in n])
def test_a_model_is_found_by_its_name(name: str) -> None:
    assert resolve_model(name, base_url=None).name == name


def test_an_endpoint_is_found_by_the_name_of_its_model() -> None:
    with resolve_model("openai:Qwen/Qwen3:4b", base_url="http://127.0.0.1:1/v1", temperature=0.0) as model:  # type: ignore[attr-defined]
        assert isinstance(model, OpenAIModel)
        assert model.name == "openai:Qwen/Qwen3:4b"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("oracles", {}, r"no model 'oracles'; there are oracle, .*openai:NAME, hf:DIR; did you mean oracle\?"),
        ("gpt-4o", {}, "no model 'gpt-4o'"),
        ("openai:", {}, "no model 'openai:'"),
        ("nosuch:DIR", {}, "no model 'nosuch:DIR'"),
        ("hf:", {}, "no model 'hf:'"),
        ("oracle", {"base_url": "http://x"}, "oracle takes no base_url; it plays by a rule"),
    ],
)
def test_a_name_that_is_no_model_is_answered_with_what_there_is(name: str, options: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        resolve_model(name, **options)
