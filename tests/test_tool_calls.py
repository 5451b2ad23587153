"""Assistant text is taken apart totally and readably; text, calls and OpenAI messages turn into each other and back."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from astra_gym.tool_calls import (
    MAX_CALL_CHARS,
    MAX_CALLS,
    MAX_DEPTH,
    MAX_OBSERVATION_CHARS,
    MalformedCall,
    from_openai,
    parse_turn,
    render_call,
    render_results,
    render_turn,
    to_openai,
    turn_messages,
)
from astra_gym.types import ToolCall, ToolError, ToolResult

CALL = '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'
F1 = ToolCall("f", {"a": 1})


def block(text: str) -> str:
    return f"<tool_call>{text}</tool_call>"


def only_error(text: str) -> str:
    """The error of the one call in `text`, which is malformed."""
    (call,) = parse_turn(text).calls
    assert isinstance(call, MalformedCall)
    assert call.error.code == "invalid_json"
    return call.error.message


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
arguments = st.dictionaries(st.text(), json_values, max_size=4)
calls = st.builds(ToolCall, st.text(min_size=1), arguments)
plain_content = st.text().map(str.strip).filter(lambda text: "<" not in text)


@pytest.mark.parametrize(
    ("text", "content", "expected"),
    [
        ("", "", ()),
        ("The answer is 42.", "The answer is 42.", ()),
        (" kept as it is \n", " kept as it is \n", ()),
        (CALL, "", (F1,)),
        (f"  {CALL}\n", "", (F1,)),
        (f"Let me see.\n{CALL}\n{CALL} Then.", "Let me see.\nThen.", (F1, F1)),
        (block('\n{"name": "f", "arguments": {}}\n'), "", (ToolCall("f", {}),)),
        (block('{"arguments": {"a": 1}, "name": "f"}'), "", (F1,)),
        (block('{"name": "f", "parameters": {"a": 1}}'), "", (F1,)),
        (block('{"name": "f", "arguments": "{\\"a\\": 1}"}'), "", (F1,)),
        (block('{"name": "f", "arguments": " "}'), "", (ToolCall("f", {}),)),
        (block('{"id": "x7", "type": "function", "name": "f", "arguments": {}}'), "", (ToolCall("f", {}, "x7"),)),
        (
            block('{"name": "f", "arguments": {"a": [{"b": [1.5, null]}]}}'),
            "",
            (ToolCall("f", {"a": [{"b": [1.5, None]}]}),),
        ),
        (
            block('{"name": "f", "arguments": {"at": "12:30", "u": 1e30}}'),
            "",
            (ToolCall("f", {"at": "12:30", "u": 1e30}),),
        ),
    ],
)
def test_reads_content_and_calls(text, content, expected):
    assert parse_turn(text) == (content, expected)


@pytest.mark.parametrize(
    ("text", "content", "expected"),
    [
        (f"<think>I might {CALL}</think>{CALL}", f"<think>I might {CALL}</think>", (F1,)),
        (f"I might {CALL}</think>\n{CALL}", f"I might {CALL}</think>", (F1,)),
        (f"<think>never closed {CALL}", f"<think>never closed {CALL}", ()),
        (f"{CALL}<think>{CALL}</think>", f"<think>{CALL}</think>", (F1,)),
        (block('{"name": "f", "arguments": {"a": "</think>"}}'), "", (ToolCall("f", {"a": "</think>"}),)),
    ],
)
def test_a_call_inside_a_thought_is_no_call(text, content, expected):
    assert parse_turn(text) == (content, expected)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Oslo", "Oslo"),
        ("<think>Bergen?</think>\nOslo", "Oslo"),
        ("Bergen?</think>Oslo", "Oslo"),
        ("<think>a</think>Os<think>b</think>lo", "Oslo"),
        ("Oslo <think>or Bergen", "Oslo"),
    ],
)
def test_the_answer_leaves_thoughts_out(text, answer):
    assert parse_turn(text).answer == answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CALL.removesuffix("</tool_call>"), [F1]),
        (CALL.removesuffix("</tool_call>") + CALL, [F1, F1]),
        (block('{"name": "f", "arguments": {"a": "</tool_call>"}}'), [ToolCall("f", {"a": "</tool_call>"})]),
        (
            block('{"name": "f", "arguments": {"a": "<tool_call>x</tool_call>y"}}') + CALL,
            [ToolCall("f", {"a": "<tool_call>x</tool_call>y"}), F1],
        ),
    ],
)
def test_a_missing_closing_tag_and_tags_in_strings_are_understood(text, expected):
    assert list(parse_turn(text).calls) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (block("{'name': 'f'}"), "line 1 column 2"),
        (block('{"name": "f", "arguments": {"a": 1'), "unexpected end"),
        (CALL[:-16], "no </tool_call> follows"),
        (block(""), "Expected {"),
        (block("[]"), "found an array"),
        (block('{"arguments": {}}'), "`name` must be"),
        (block('{"name": "", "arguments": {}}'), "`name` must be"),
        (block('{"name": 7, "arguments": {}}'), "found 7"),
        (block('{"name": "f"}'), "expected `arguments`"),
        (block('{"name": "f", "arguments": {}, "parameters": {}}'), "arguments and parameters"),
        (block('{"name": "f", "arguments": [1]}'), "must be an object, found an array"),
        (block('{"name": "f", "arguments": null}'), "must be an object, found nothing"),
        (block('{"name": "f", "arguments": "{a}"}'), "a string that is not JSON"),
        (block('{"name": "f", "arguments": {}, "title": "x"}'), "unknown key 'title'"),
        (block('{"type": "tool", "name": "f", "arguments": {}}'), "`type` must be 'function'"),
        (block('{"name": "f", "arguments": {"a": 1, "a": 2}}'), "the key 'a' stands twice"),
        (block('{"name": "f", "name": "g", "arguments": {}}'), "the key 'name' stands twice"),
        (block('{"name": "f", "arguments": {"a" : 1, "a": "x:y"}}'), "the key 'a' stands twice"),
        (block('{"name": "f", "arguments": {"b": {"a": 1, "a": 2}}}'), "the key 'a' stands twice"),
        (block('{"name": "f", "arguments": {"a": NaN}}'), "not valid JSON"),
        (block('{"name": "f", "arguments": {"a": -Infinity}}'), "not valid JSON"),
        (block('{"name": "f", "arguments": {"a": 1e999}}'), "not valid JSON"),
        (block('{"name": "f", "arguments": {"a": 100000000000000000000000}}'), "more than 64 bits"),
        (block('{"name": "f", "arguments": {"a": "\\ud800"}}'), "surrogate"),
        (block('{"name": "f", "arguments": {"a": "\x00"}}'), "control character"),
        (block('{"name": "f", "arguments": {"a": ' + "[" * 100 + "]" * 100 + "}}"), "nested deeper"),
        (block('{"name": "f", "arguments": {"a": ' + "[" * 60_000), "depth limit"),
        (block('{"name": "f", "arguments": {"a": ' + "[" * 900 + "]" * 900 + ', "a": 1}}'), "stands twice"),
        (block('{"name": "f", "arguments": {"a": "' + "x" * MAX_CALL_CHARS + '"}}'), f"at most {MAX_CALL_CHARS}"),
    ],
)
def test_what_is_no_call_is_answered_in_words(text, said):
    message = only_error(text)
    assert said in message
    assert len(message) < 400


def test_nesting_up_to_the_limit_is_read():
    inner = MAX_DEPTH - 2
    (call,) = parse_turn(block('{"name": "f", "arguments": {"a": ' + "[" * inner + "]" * inner + "}}")).calls
    assert isinstance(call, ToolCall)


def test_a_malformed_block_does_not_take_the_next_one_with_it():
    first, second = parse_turn(block("{oops}") + CALL).calls
    assert isinstance(first, MalformedCall)
    assert second == F1


def test_a_lone_surrogate_in_the_text_reads_as_a_question_mark():
    assert parse_turn("\ud800x") == ("?x", ())
    assert parse_turn(block('{"name": "f", "arguments": {"a": "\udfff"}}')).calls == (ToolCall("f", {"a": "?"}),)


def test_calls_beyond_the_limit_are_answered_by_one_error():
    *run, rest = parse_turn(CALL * (MAX_CALLS + 40)).calls
    assert run == [F1] * MAX_CALLS
    assert isinstance(rest, MalformedCall)
    assert "the 40 after were not" in rest.error.message


@pytest.mark.parametrize(
    "text",
    [
        "x" * 10_000_000,
        "<tool_call>" * 1_000_000,
        "</tool_call>" * 1_000_000 + CALL,
        "<tool_call>{" + "</tool_call>" * 900_000,
        "<think></think>" * 700_000 + CALL,
        "<think>" * 1_000_000 + CALL,
        "</think>" * 1_000_000 + CALL,
        "</think><tool_call>{" * 500_000,
        "\ud800" * 5_000_000,
        '<tool_call>{"name":"f","arguments":{"a":"' + "x" * 10_000_000 + '"}}</tool_call>',
    ],
    ids=lambda text: text[:24].encode("ascii", "replace").decode(),
)
def test_ten_megabytes_of_tags_are_read_and_bounded(text):
    turn = parse_turn(text)
    _ = turn.answer
    assert len(turn.calls) <= MAX_CALLS + 1
    assert all(len(call.text) <= 1000 for call in turn.calls if isinstance(call, MalformedCall))


tags = st.sampled_from(
    ["<tool_call>", "</tool_call>", "<think>", "</think>", '{"name":"f","arguments":{', '"a":1', "}}"]
)


@given(st.lists(tags | st.characters(codec=None)).map("".join))
@example("<tool_call><think></tool_call></think>")
def test_any_text_is_read(text):
    turn = parse_turn(text)
    for call in turn.calls:
        assert isinstance(call, ToolCall | MalformedCall)
    json.dumps(to_openai(text)).encode()
    orjson.dumps(to_openai(text))


@given(plain_content, st.lists(calls, max_size=4))
def test_rendering_a_turn_and_reading_it_again_changes_nothing(content, made):
    assert parse_turn(render_turn(content, made)) == (content, tuple(made))


@given(plain_content, st.lists(calls, min_size=1, max_size=4))
def test_text_to_openai_and_back_keeps_content_and_calls(content, made):
    text = render_turn(content, made)
    assert parse_turn(from_openai(to_openai(text))) == parse_turn(text)


@given(plain_content, st.lists(calls, max_size=4))
def test_openai_to_text_and_back_is_the_message_with_numbered_ids(content, made):
    tool_calls = [
        {
            "id": f"call_{i}",
            "type": "function",
            "function": {"name": c.name, "arguments": orjson.dumps(c.arguments).decode()},
        }
        for i, c in enumerate(made)
    ]
    message = {"role": "assistant", "content": content} | ({"tool_calls": tool_calls} if made else {})
    assert to_openai(from_openai(message)) == message


def test_ids_are_numbered_through_a_conversation():
    message = to_openai(CALL + CALL, first_id=3)
    assert [call["id"] for call in message["tool_calls"]] == ["call_3", "call_4"]


@pytest.mark.parametrize(
    ("content", "expected_content"),
    [
        ("use <tool_call> tags", "use &lt;tool_call> tags"),
        ("<think>never closed", "&lt;think>never closed"),
        (CALL, CALL.replace("<", "&lt;")),
        ("<think>closed</think> fine", "<think>closed</think> fine"),
    ],
)
def test_tags_in_the_content_of_a_message_cannot_hide_or_add_native_calls(content, expected_content):
    native = {"id": "x", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    turn = parse_turn(from_openai({"role": "assistant", "content": content, "tool_calls": [native]}))
    assert turn == (expected_content, (F1,))


@pytest.mark.parametrize(
    ("native", "said"),
    [
        ({"function": {"name": "f", "arguments": '{"a": 1'}}, "a string that is not JSON"),
        ({"function": {"name": "f", "arguments": '{"a": 1, "a": 2}'}}, "stands twice"),
        ({"function": {"name": None, "arguments": "{}"}}, "`name` must be"),
        ({"type": "custom", "custom": {"name": "f", "input": "x"}}, "`name` must be"),
        ("nonsense", "`name` must be"),
    ],
)
def test_a_native_call_that_cannot_be_read_becomes_malformed(native, said):
    assert said in only_error(from_openai({"role": "assistant", "content": None, "tool_calls": [native]}))


def test_content_in_parts_is_joined():
    parts = [{"type": "text", "text": "Os"}, {"type": "text", "text": "lo"}]
    assert from_openai({"role": "assistant", "content": parts}) == "Oslo"
    assert from_openai({"role": "assistant", "content": None}) == ""


def test_a_malformed_call_stays_in_the_content_and_is_answered_by_the_user():
    turn = parse_turn(f"Go. {CALL}{block('{bad}')}{CALL}")
    said, *answers = turn_messages(turn, ["first", "wrong", "third"], first_id=5)
    assert said["content"] == f"Go.\n{block('{bad}')}"
    assert [call["id"] for call in said["tool_calls"]] == ["call_5", "call_7"]
    assert [(m["role"], m.get("tool_call_id"), m["content"]) for m in answers] == [
        ("tool", "call_5", "first"),
        ("tool", "call_7", "third"),
        ("user", None, "<tool_response>\nwrong\n</tool_response>"),
    ]


def test_results_are_shown_in_order_with_their_errors():
    results = [
        ToolResult({"a": [1, "é"]}),
        ToolResult(error=ToolError("tool_error", "no film called X")),
        ToolResult(None),
    ]
    assert render_results(results) == (
        '<tool_response>\n{"a":[1,"é"]}\n</tool_response>\n'
        '<tool_response>\n{"error":{"code":"tool_error","message":"no film called X"}}\n</tool_response>\n'
        "<tool_response>\nnull\n</tool_response>"
    )


def test_results_that_orjson_cannot_write_are_shown_all_the_same():
    assert render_results([ToolResult(2**80)]) == f"<tool_response>\n{2**80}\n</tool_response>"
    assert render_results([ToolResult("\ud800")]) == '<tool_response>\n"?"\n</tool_response>'


def test_a_result_cannot_close_its_own_block():
    shown = render_results([ToolResult("</tool_response><tool_call>")])
    assert shown.count("</tool_response>") == 1
    assert json.loads(shown.split("\n")[1]) == "</tool_response><tool_call>"


@pytest.mark.parametrize("count", [1, 5, 65])
@pytest.mark.parametrize("text", ["x" * 65_000, "</tool_response>" + "<" * 60_000])
def test_an_observation_is_bounded(count, text):
    shown = render_results([ToolResult(text)] * count)
    assert len(shown) <= MAX_OBSERVATION_CHARS
    assert shown.count("<tool_response>") == count


def test_one_long_result_is_shown_whole():
    assert "x" * 65_000 in render_results([ToolResult("x" * 65_000)])


def test_a_call_is_rendered_without_visible_tags():
    text = render_call(ToolCall("f", {"a": "</tool_call>"}))
    assert text.count("</tool_call>") == 1
    assert parse_turn(text).calls == (ToolCall("f", {"a": "</tool_call>"}),)
