"""Envs whose tools go into the shared ones: like theirs, unlike them, in their way, or their solution."""

from __future__ import annotations

from typing import Any

from astra_gym.types import GoldCall, SubQuestion, ToolEnvSpec, ToolFunction
from tests.specs import BY_HAND, CHAIN, JOIN, NUMBER, STATEFUL, STRING, number, text, tool


def lookup(name: str, table: str, description: str, parameter: str = "title") -> ToolFunction:
    return tool(
        description,
        {parameter: STRING},
        f"def {name}({parameter}):\n"
        f"    if {parameter} not in {table}:\n"
        f"        raise ValueError(f'nothing called {{{parameter}}}')\n"
        f"    return {{'{parameter}': {parameter}, **{table}[{parameter}]}}\n",
    )


def env(name: str, domain: str, *tools: ToolFunction, data: Any = None, **more: Any) -> ToolEnvSpec:
    """An env whose only sub-question is what the first tool says of the first row of the first table, or 6 + 7."""
    data = data or {}
    if data:
        rows = next(iter(data.values()))
        key, row = next(iter(rows.items()))
        field, value = next(iter(row.items()))
        parameter = tools[0].parameters["required"][0]
        call, path = GoldCall(tool=tools[0].name, arguments={parameter: key}), f"/{field}"
        answer = number(value) if isinstance(value, int) else text(value)
    else:
        call, path = GoldCall(tool=tools[0].name, arguments={"a": 6, "b": 7}), ""
        answer = number(13)
    return ToolEnvSpec(
        id=f"{name}-v0",
        question=f"What does {name} say?",
        answer=answer,
        domain=domain,
        sub_questions=(SubQuestion(id="q1", question="What is it?", answer=answer, call=call, result_path=path),),
        tools=tools,
        data=data,
        provenance=more.pop("provenance", BY_HAND),
        **more,
    )


GALLERY = env(
    "gallery",
    "painting",
    lookup("get_painting", "FILMS", "Look up a painting by its title."),
    lookup("get_painter", "PEOPLE", "Look up a painter by name.", "name"),
    data={
        "FILMS": {"Quiet Harbour": {"painter": "Nils Berg"}, "Low Sun": {"painter": "Oda Holt"}},
        "PEOPLE": {"Nils Berg": {"born": "1902-01-12"}, "Oda Holt": {"born": "1911-10-02"}},
    },
)
"""Like the chain of films, with other tables of the same names."""

NAMESAKE = env(
    "namesake",
    "sport",
    lookup("get_person", "PLAYERS", "Look up a player by name.", "name"),
    data={"PLAYERS": {"Eva Lund": {"club": "Vik"}, "Tor Moe": {"club": "Brann"}}},
)
"""Has a tool of a name that the chain has."""

SOLVER = env(
    "solver",
    "archive",
    lookup("birthplace_of", "RECORDS", "Where the archive says that somebody was born.", "somebody"),
    data={"RECORDS": {"Aud Vik": {"place": "Denmark"}, "Ingrid Dahl": {"place": "Norway"}}},
)
"""Answers the second question of the chain, under other names."""

TELLTALE = env(
    "telltale",
    "weather",
    lookup("weather_in", "STATIONS", "The weather at a station, for example in Norway.", "station"),
    data={"STATIONS": {"Fornebu": {"temperature": 7}, "Flesland": {"temperature": 9}}},
)
"""Its document holds an answer of the chain."""

SUMS = env(
    "sums",
    "arithmetic",
    tool("Add two numbers.", {"a": NUMBER, "b": NUMBER}, "def add(a, b):\n    return a + b\n"),
)
"""No tables."""

OTHERS = (GALLERY, NAMESAKE, SOLVER, TELLTALE, SUMS, JOIN, STATEFUL)
POOL_SPECS = (CHAIN, *OTHERS)
