"""What counts as shared between two envs."""

from __future__ import annotations

import pytest

from astra_gym.env import ToolEnv
from astra_gym.models import OracleModel
from astra_gym.records import JSON
from astra_gym.rollout import rollout
from astra_gym.types import GoldCall, ToolEnvSpec
from astra_train.data.content import call_key, content_of, content_of_messages, fold
from tests.specs import ALL, CHAIN, JOIN


def test_an_entity_is_a_literal_text_that_the_question_names() -> None:
    content = content_of(CHAIN)
    assert content.entities == {"winter ferry"}
    assert content.mentions == {"winter ferry", "ingrid dahl", "norway", "oslo"}
    assert content.calls == {
        'get_film {"title":"winter ferry"}',
        'get_person {"name":"ingrid dahl"}',
        'get_country {"name":"norway"}',
    }


def test_numbers_are_no_entities_and_references_are_filled_with_answers() -> None:
    content = content_of(JOIN)
    assert content.entities == {"galdhøpiggen", "kebnekaise"}
    assert 'subtract {"minuend":2469,"subtrahend":2097}' in content.calls


def test_a_literal_that_the_question_does_not_name_is_no_entity() -> None:
    question = "What is the capital of the country in which the director of that film was born?"
    assert content_of(CHAIN.model_copy(update={"question": question})).entities == frozenset()


def test_a_reference_to_another_place_of_an_output_stands_for_itself() -> None:
    upstream, *others = CHAIN.sub_questions
    second = others[0].model_copy(
        update={"call": GoldCall(tool="get_person", arguments={"name": {"$ref": "q1", "path": "/year"}})}
    )
    spec = CHAIN.model_copy(update={"sub_questions": (upstream, second, others[1])})
    content = content_of(spec)
    assert any(call.startswith("get_person") and "/year" in call and "winter ferry" in call for call in content.calls)
    assert not any(call.startswith("get_person") and "ingrid dahl" in call for call in content.calls)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"a": 3.0, "b": "New  York"}, {"b": "new york", "a": 3}),
        ({"a": [{"x": 1.0}]}, {"a": [{"x": 1}]}),
    ],
)
def test_equal_calls_have_one_key(left: JSON, right: JSON) -> None:
    assert call_key("tool", left) == call_key("tool", right)


@pytest.mark.parametrize(
    ("left", "right"), [({"a": 3.5}, {"a": 3}), ({"a": "3"}, {"a": 3}), ({"a": [1, 2]}, {"a": [2, 1]})]
)
def test_different_calls_have_different_keys(left: JSON, right: JSON) -> None:
    assert call_key("tool", left) != call_key("tool", right)


def test_folding_disregards_case_and_spaces_only() -> None:
    assert fold("  São\n Tomé ") == "são tomé" != fold("Sao Tome")


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.id)
def test_a_gold_conversation_has_the_content_of_its_spec(spec: ToolEnvSpec) -> None:
    with ToolEnv(spec, require_certificate=False) as env:
        trajectory = rollout(env, OracleModel())
    said, meant = content_of_messages(spec.id, trajectory.messages), content_of(spec)
    assert (said.question, said.calls) == (meant.question, meant.calls)
    assert said.mentions >= meant.mentions
    assert said.entities >= meant.entities


def test_the_final_answer_is_mentioned_also_when_it_is_a_list() -> None:
    asked = {"role": "user", "content": "Which two?"}
    for text, mentions in (("Oslo", {"oslo"}), ('["Oslo", "Rome", 3]', {"oslo", "rome"}), ("12", set())):
        said = content_of_messages("x-v0", [asked, {"role": "assistant", "content": text}])
        assert said.mentions == mentions
