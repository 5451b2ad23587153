"""Trajectories in the forms of other trainers, and back."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_gym.env import ToolEnv
from astra_gym.models import ScriptedModel
from astra_gym.records import JSON
from astra_gym.rollout import rollout
from astra_gym.tool_calls import parse_turn, render_turn, turn_messages
from astra_gym.types import ToolCall
from astra_train.data.errors import DataError
from astra_train.data.formats import (
    BETWEEN_RESULTS,
    Conversation,
    actions_of,
    conversation_of,
    from_openai_form,
    from_sharegpt,
    from_verl,
    to_openai_form,
    to_sharegpt,
    to_verl,
)
from astra_train.data.styles import STYLES, StyleName, play
from tests.specs import CHAIN, JOIN, say

FORMS = {
    "openai": (to_openai_form, from_openai_form),
    "verl": (to_verl, from_verl),
    "sharegpt": (to_sharegpt, from_sharegpt),
}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
calls = st.builds(
    ToolCall, st.from_regex(r"[a-z][a-z_]{0,9}", fullmatch=True), st.dictionaries(texts, values, max_size=3)
)
words = st.text("abc é世界,.!?", max_size=20).map(str.strip)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """A question, turns with calls and results as an env would record them, and a final answer."""
    system = draw(st.booleans())
    messages = [{"role": "system", "content": "Be brief."}] if system else []
    messages += [{"role": "user", "content": draw(texts)}]
    number = 0
    for made in draw(st.lists(st.lists(calls, min_size=1, max_size=3), max_size=3)):
        turn = parse_turn(render_turn(draw(words), made))
        outputs = [orjson.dumps(draw(values)).decode() for _ in made]
        messages += turn_messages(turn, outputs, number)  # type: ignore[arg-type]
        number += len(made)
    messages += [{"role": "assistant", "content": draw(words)}]
    return Conversation(tuple(messages), tuple(JOIN.tool_schemas))  # type: ignore[arg-type]


@pytest.mark.parametrize("form", FORMS)
@given(conversation=conversations())
@settings(max_examples=60, deadline=None)
def test_any_conversation_comes_back_from_every_form(form: str, conversation: Conversation) -> None:
    write, read = FORMS[form]
    written = orjson.loads(orjson.dumps(write(conversation)))  # as a file would hold it
    assert read(written) == conversation


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("style", STYLES)
def test_trajectories_of_every_style_come_back_and_replay(form: str, style: StyleName) -> None:
    trajectory = play(JOIN, style, seed=1)
    write, read = FORMS[form]
    back = read(write(conversation_of(trajectory)))
    assert back == conversation_of(trajectory)
    assert actions_of(back) == list(trajectory.actions)


def test_text_before_a_call_is_kept_and_shown_to_sharegpt_as_text() -> None:
    turns = ["I look it up. " + say("get_film", title="Winter Ferry"), "Oslo"]
    with ToolEnv(CHAIN, require_certificate=False) as env:
        conversation = conversation_of(rollout(env, ScriptedModel(*turns)))
    written = to_sharegpt(conversation)
    assert [turn["from"] for turn in written["conversations"]] == ["human", "gpt", "observation", "gpt"]
    assert written["conversations"][1]["value"].startswith("I look it up.\n<tool_call>")
    assert from_sharegpt(written) == conversation
    assert from_verl(to_verl(conversation)) == conversation


def test_sharegpt_has_the_roles_and_values_that_llama_factory_reads() -> None:
    written = to_sharegpt(conversation_of(play(JOIN, "parallel")))
    turns = written["conversations"]
    assert [turn["from"] for turn in turns] == [
        "human",
        "function_call",
        "observation",
        "function_call",
        "observation",
        "gpt",
    ]
    assert orjson.loads(turns[1]["value"]) == [
        {"name": "get_height", "arguments": {"mountain": "Galdhøpiggen"}},
        {"name": "get_height", "arguments": {"mountain": "Kebnekaise"}},
    ]
    assert turns[2]["value"].count(BETWEEN_RESULTS) == 1
    assert orjson.loads(turns[3]["value"])["arguments"] == {"minuend": 2469, "subtrahend": 2097}
    assert orjson.loads(written["tools"]) == JOIN.tool_schemas


def test_verl_and_chat_templates_get_arguments_as_objects() -> None:
    written = to_verl(conversation_of(play(CHAIN, "sequential")))
    (call,) = written["messages"][1]["tool_calls"]
    assert call["function"]["arguments"] == {"title": "Winter Ferry"}


def test_keys_that_arrow_filled_with_none_are_left_out_again() -> None:
    conversation = conversation_of(play(CHAIN, "sequential"))
    padded = to_verl(conversation)
    padded["messages"] = [{"tool_calls": None, "tool_call_id": None, **message} for message in padded["messages"]]
    assert from_verl(padded) == conversation


def test_an_unreadable_call_stays_text_in_every_form() -> None:
    turns = ["<tool_call>{not json}</tool_call>", "Oslo"]
    with ToolEnv(CHAIN, require_certificate=False) as env:
        conversation = conversation_of(rollout(env, ScriptedModel(*turns)))
    for write, read in FORMS.values():
        assert read(write(conversation)) == conversation


def test_what_sharegpt_cannot_hold_is_refused() -> None:
    played = conversation_of(play(CHAIN, "sequential"))
    with pytest.raises(DataError, match="must end with the assistant"):
        to_sharegpt(Conversation(played.messages[:-1], played.tools))
    mixed = ["<tool_call>oops</tool_call>" + say("get_film", title="Winter Ferry"), "Oslo"]
    with ToolEnv(CHAIN, require_certificate=False) as env:
        conversation = conversation_of(rollout(env, ScriptedModel(*mixed)))
    with pytest.raises(DataError, match="turn 3: expected gpt or function_call, found 'human'"):
        to_sharegpt(conversation)
    result = {**played.messages[2], "content": f'"{BETWEEN_RESULTS}"'}
    with pytest.raises(DataError, match="</tool_response>"):
        to_sharegpt(Conversation((*played.messages[:2], result, *played.messages[3:]), played.tools))  # type: ignore[arg-type]


def test_results_that_do_not_match_the_calls_are_refused() -> None:
    written = to_sharegpt(conversation_of(play(JOIN, "parallel")))
    written["conversations"][2]["value"] = "{}"
    with pytest.raises(DataError, match="turn 2: 1 results for 2 calls"):
        from_sharegpt(written)


@pytest.mark.parametrize(
    ("record", "what"),
    [
        ({"messages": "[]", "tools": []}, "'messages' to be a list, found str"),
        ({"messages": [{"role": "robot", "content": "hi"}], "tools": []}, "message 0: expected a role"),
        ({"messages": [{"role": "user"}], "tools": []}, "message 0: expected a role"),
        (
            {
                "messages": [
                    {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": 3}}]}
                ],
                "tools": [],
            },
            "message 0: expected a function with arguments as",
        ),
    ],
)
def test_records_of_another_form_are_refused(record: dict[str, JSON], what: str) -> None:
    for read in (from_openai_form, from_verl):
        with pytest.raises(DataError, match=what):
            read(record)
