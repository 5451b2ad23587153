"""A person's lines, and an episode played through a console."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from astra_gym.models import HumanModel
from astra_gym.models.human_input import LineError, action_of
from astra_gym.tool_calls import parse_turn
from astra_gym.types import Message, ToolCall, ToolFunction
from tests.specs import CHAIN, JOIN, NUMBER, STATEFUL, STRING, tool

FIND = tool(
    "Find things.",
    {"name": STRING, "limit": {"type": "integer"}, "tags": {"type": "array"}, "exact": {"type": "boolean"}},
    "def find(name, limit, tags, exact):\n    return {}\n",
)
TOOLS = [t.as_openai() for t in (FIND, *JOIN.tools)]


def call_of(line: str) -> tuple[str, dict[str, object]]:
    (call,) = parse_turn(action_of(line, TOOLS)).calls
    assert isinstance(call, ToolCall)
    return call.name, call.arguments


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("find", {}),
        ("find name=Oslo", {"name": "Oslo"}),
        ("find name=Oslo limit=3 exact=true", {"name": "Oslo", "limit": 3, "exact": True}),
        ('find name="New York" limit=3', {"name": "New York", "limit": 3}),
        ("find name='New York' limit=3", {"name": "New York", "limit": 3}),
        ("find name=New York limit=3", {"name": "New York", "limit": 3}),
        ("find name=New York", {"name": "New York"}),
        ("find name=007", {"name": "007"}),
        ("find limit=many", {"limit": "many"}),
        ('find tags=["a b", "c"] limit = 2', {"tags": ["a b", "c"], "limit": 2}),
        ('find name="say \\"hi\\" = ok"', {"name": 'say "hi" = ok'}),
        ("  find name=Ålesund, limit=1  ", {"name": "Ålesund,", "limit": 1}),
        ("find name=", {"name": ""}),
        ("subtract minuend=-3.5 subtrahend=1e3", {"minuend": -3.5, "subtrahend": 1000.0}),
    ],
)
def test_keys_and_values_become_a_call(line: str, arguments: dict[str, object]) -> None:
    assert call_of(line) == (line.split()[0], arguments)


@pytest.mark.parametrize(
    "line",
    [
        '{"name": "find", "arguments": {"name": "Oslo"}}',
        '<tool_call>{"name": "find", "arguments": {"name": "Oslo"}}</tool_call>',
    ],
)
def test_json_becomes_a_call(line: str) -> None:
    assert call_of(line) == ("find", {"name": "Oslo"})


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("Oslo", "Oslo"),
        ("  372 m ", "372 m"),
        ("the answer is x=3", "the answer is x=3"),
        ("answer: find name=Oslo", "find name=Oslo"),
        ("Answer : yes", "yes"),
    ],
)
def test_anything_else_is_the_final_answer(line: str, answer: str) -> None:
    assert action_of(line, TOOLS) == answer


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "write a call"),
        ("finds name=Oslo", "no tool 'finds'; there is find.*write answer: before it"),
        ("find Oslo", r"expected key=value, found 'Oslo'; the keys are \['name', 'limit'"),
        ("find name=a name=b", "'name' is given twice"),
        ('find name="Oslo', "is not JSON"),
        ("find name='Oslo", "no closing quote"),
        ('{"name": "find"', "not valid JSON"),
        ('{"arguments": {}}', "`name` must be the name of a tool"),
    ],
)
def test_a_slip_of_the_finger_is_answered_not_played(line: str, message: str) -> None:
    with pytest.raises(LineError, match=message):
        action_of(line, TOOLS)


def session(typed: str, tools: tuple[ToolFunction, ...] = CHAIN.tools) -> tuple[HumanModel, io.StringIO, list[dict]]:
    screen = io.StringIO()
    model = HumanModel(Console(file=screen, width=100), io.StringIO(typed))
    model.begin_episode(CHAIN, 0)
    return model, screen, [t.as_openai() for t in tools]


def test_a_person_sees_question_tools_and_results_and_each_message_once() -> None:
    model, screen, tools = session("get_film title=Winter Ferry\nOslo\n")
    messages: list[Message] = [{"role": "user", "content": CHAIN.question}]
    first = model.reply(messages, tools)
    assert parse_turn(first).calls == (ToolCall("get_film", {"title": "Winter Ferry"}),)
    messages += [
        {"role": "assistant", "content": ""},
        {"role": "tool", "tool_call_id": "call_0", "content": '{"director":"Ingrid Dahl"}'},
    ]
    assert model.reply(messages, tools) == "Oslo"
    shown = screen.getvalue()
    assert "get_film title=string" in shown
    assert shown.count("Winter Ferry was born") == 1
    assert '"Ingrid Dahl"' in shown


def test_a_question_mark_shows_the_tools_again_and_a_slip_asks_again() -> None:
    model, screen, tools = session("?\ntransfr source=Ada\n[bold]Oslo[/bold]\n", STATEFUL.tools)
    assert model.reply([{"role": "user", "content": "[red]?[/red]"}], tools) == "[bold]Oslo[/bold]"
    shown = screen.getvalue()
    assert shown.count("transfer source=string target=string amount=integer") == 2
    assert "no tool 'transfr'" in shown
    assert "[red]?[/red]" in shown


def test_the_end_of_the_input_ends_the_episode() -> None:
    model, screen, tools = session("")
    assert model.reply([{"role": "user", "content": "?"}], tools) == ""
    assert "left" in screen.getvalue()


def test_a_long_or_odd_result_is_shown_as_text() -> None:
    model, screen, tools = session("done\n")
    long = '{"x":"' + "y" * 5_000 + '"}'
    model.reply([{"role": "tool", "content": long}, {"role": "tool", "content": "[cut"}], tools)
    assert "5,008 characters" in screen.getvalue()
    assert "[cut" in screen.getvalue()


def test_optional_parameters_and_choices_show_in_the_signature() -> None:
    schema = {
        "type": "object",
        "properties": {"unit": {"enum": ["km", "mi"]}, "n": {"type": ["integer", "null"]}, "x": NUMBER, "any": True},
        "required": ["unit"],
    }
    function = ToolFunction(name="far", description="Far.", parameters=schema, source="def far(): ...")
    model, screen, tools = session("done\n", (function,))
    model.reply([], tools)
    assert "far unit=km|mi [n=integer|null] [x=number] [any=any]" in screen.getvalue()
