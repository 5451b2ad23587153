"""Three small hand-written environments that the tests share: a chain, a join with arithmetic, one with state.

They carry no certificate (`ToolEnv(spec, require_certificate=False)` plays them), and their gold calls solve them.
"""

from __future__ import annotations

from collections.abc import Mapping

from astra_gym.answers import Answer
from astra_gym.records import JSON
from astra_gym.tool_calls import render_call
from astra_gym.types import GoldCall, Provenance, SubQuestion, ToolCall, ToolEnvSpec, ToolFunction

BY_HAND = Provenance(door="hand", dataset="astra-gym tests", license="CC0-1.0")


def text(value: str) -> Answer:
    return Answer(kind="text", value=value)


def number(value: float, unit: str | None = None) -> Answer:
    return Answer(kind="number", value=value, unit=unit)


def tool(description: str, parameters: Mapping[str, JSON], source: str) -> ToolFunction:
    """A tool whose name is that of the last function in `source` and whose parameters are all required."""
    schema = {
        "type": "object",
        "properties": dict(parameters),
        "required": list(parameters),
        "additionalProperties": False,
    }
    name = source.rpartition("def ")[2].partition("(")[0]
    return ToolFunction(name=name, description=description, parameters=schema, source=source)


STRING: Mapping[str, JSON] = {"type": "string"}
NUMBER: Mapping[str, JSON] = {"type": "number"}

CHAIN = ToolEnvSpec(
    id="test-chain-v0",
    question="What is the capital of the country in which the director of Winter Ferry was born?",
    answer=text("Oslo"),
    domain="film",
    sub_questions=(
        SubQuestion(
            id="q1",
            question="Who directed Winter Ferry?",
            answer=text("Ingrid Dahl"),
            call=GoldCall(tool="get_film", arguments={"title": "Winter Ferry"}),
            result_path="/director",
        ),
        SubQuestion(
            id="q2",
            question="In which country was that director born?",
            answer=text("Norway"),
            depends_on=("q1",),
            call=GoldCall(tool="get_person", arguments={"name": {"$ref": "q1"}}),
            result_path="/born_in",
        ),
        SubQuestion(
            id="q3",
            question="What is the capital of that country?",
            answer=text("Oslo"),
            depends_on=("q2",),
            call=GoldCall(tool="get_country", arguments={"name": {"$ref": "q2"}}),
            result_path="/capital",
        ),
    ),
    tools=(
        tool(
            "Look up a film by its title.",
            {"title": STRING},
            "def get_film(title):\n"
            "    if title not in FILMS:\n"
            "        raise ValueError(f'no film called {title}')\n"
            "    return {'title': title, **FILMS[title]}\n",
        ),
        tool(
            "Look up a person by name.",
            {"name": STRING},
            "def get_person(name):\n"
            "    if name not in PEOPLE:\n"
            "        raise ValueError(f'nobody called {name}')\n"
            "    return {'name': name, **PEOPLE[name]}\n",
        ),
        tool(
            "Look up a country by name.",
            {"name": STRING},
            "def get_country(name):\n"
            "    if name not in COUNTRIES:\n"
            "        raise ValueError(f'no country called {name}')\n"
            "    return {'name': name, **COUNTRIES[name]}\n",
        ),
    ),
    data={
        "FILMS": {
            "Winter Ferry": {"director": "Ingrid Dahl", "year": 1987},
            "Salt Road": {"director": "Paulo Reis", "year": 1994},
            "The Long Quay": {"director": "Aino Laine", "year": 2003},
        },
        "PEOPLE": {
            "Ingrid Dahl": {"born_in": "Norway", "born": "1951-04-02"},
            "Paulo Reis": {"born_in": "Portugal", "born": "1960-11-19"},
            "Aino Laine": {"born_in": "Finland", "born": "1972-07-30"},
        },
        "COUNTRIES": {
            "Norway": {"capital": "Oslo", "calling_code": 47},
            "Portugal": {"capital": "Lisbon", "calling_code": 351},
            "Finland": {"capital": "Helsinki", "calling_code": 358},
        },
    },
    max_turns=8,
    provenance=BY_HAND,
)
"""Three hops, one look-up each: q1 -> q2 -> q3."""

JOIN = ToolEnvSpec(
    id="test-join-v0",
    question="By how many metres is Galdhøpiggen higher than Kebnekaise, and is that more than 300 m?",
    answer=number(372, "m"),
    domain="geography",
    sub_questions=(
        SubQuestion(
            id="q1",
            question="How high is Galdhøpiggen?",
            answer=number(2469, "m"),
            call=GoldCall(tool="get_height", arguments={"mountain": "Galdhøpiggen"}),
            result_path="/height_m",
        ),
        SubQuestion(
            id="q2",
            question="How high is Kebnekaise?",
            answer=number(2097, "m"),
            call=GoldCall(tool="get_height", arguments={"mountain": "Kebnekaise"}),
            result_path="/height_m",
        ),
        SubQuestion(
            id="q3",
            question="What is the difference of the two heights?",
            answer=number(372, "m"),
            depends_on=("q1", "q2"),
            call=GoldCall(tool="subtract", arguments={"minuend": {"$ref": "q1"}, "subtrahend": {"$ref": "q2"}}),
            result_path="/difference",
        ),
        SubQuestion(
            id="q4",
            question="Is the difference more than 300 m?",
            answer=Answer(kind="bool", value=True),
            depends_on=("q3",),
        ),
    ),
    tools=(
        tool(
            "Height of a mountain above sea level, in metres.",
            {"mountain": STRING},
            "def get_height(mountain):\n"
            "    for row in MOUNTAINS:\n"
            "        if row['name'] == mountain:\n"
            "            return {'mountain': mountain, 'height_m': row['height_m']}\n"
            "    raise ValueError(f'no mountain called {mountain}')\n",
        ),
        tool(
            "Subtract one number from another.",
            {"minuend": NUMBER, "subtrahend": NUMBER},
            "def subtract(minuend, subtrahend):\n    return {'difference': minuend - subtrahend}\n",
        ),
    ),
    data={
        "MOUNTAINS": [
            {"name": "Galdhøpiggen", "height_m": 2469},
            {"name": "Kebnekaise", "height_m": 2097},
            {"name": "Halti", "height_m": 1324},
        ]
    },
    max_turns=8,
    provenance=BY_HAND,
)
"""Two parallel look-ups joined by arithmetic, and a last step that needs no tool: (q1, q2) -> q3 -> q4."""

STATEFUL = ToolEnvSpec(
    id="test-stateful-v0",
    question="Move 250 crowns from Ada's account to Bo's. What stands on Bo's account then?",
    answer=number(1150),
    domain="banking",
    sub_questions=(
        SubQuestion(
            id="q1",
            question="What is left on Ada's account after 250 crowns have moved to Bo's?",
            answer=number(750),
            call=GoldCall(tool="transfer", arguments={"source": "Ada", "target": "Bo", "amount": 250}),
            result_path="/source_balance",
        ),
        SubQuestion(
            id="q2",
            question="What stands on Bo's account after that?",
            answer=number(1150),
            depends_on=("q1",),
            call=GoldCall(tool="get_balance", arguments={"account": "Bo"}),
            result_path="/balance",
        ),
    ),
    tools=(
        tool(
            "Move money from one account to another.",
            {"source": STRING, "target": STRING, "amount": {"type": "integer", "minimum": 1}},
            "def transfer(source, target, amount):\n"
            "    if source == target:\n"
            "        raise ValueError('source and target are the same account')\n"
            "    if balance_of(source) < amount:\n"
            "        raise ValueError(f'{source} has less than {amount}')\n"
            "    balance_of(target)\n"
            "    BALANCES[source] -= amount\n"
            "    BALANCES[target] += amount\n"
            "    return {'moved': amount, 'source_balance': BALANCES[source]}\n",
        ),
        tool(
            "What stands on an account.",
            {"account": STRING},
            "def get_balance(account):\n    return {'account': account, 'balance': balance_of(account)}\n",
        ),
    ),
    library=(
        "BALANCES = {'Ada': 1000, 'Bo': 900, 'Cy': 40}\n"
        "\n"
        "def balance_of(account):\n"
        "    if account not in BALANCES:\n"
        "        raise ValueError(f'no account of {account}')\n"
        "    return BALANCES[account]\n"
    ),
    max_turns=6,
    provenance=BY_HAND,
)
"""A write tool and a read tool over one shared dict of the `library`; the read depends on the write."""

ALL = (CHAIN, JOIN, STATEFUL)


def say(name: str, /, **arguments: JSON) -> str:
    """Assistant text with one call."""
    return render_call(ToolCall(name, arguments))


CHAIN_TURNS = (
    say("get_film", title="Winter Ferry"),
    say("get_person", name="Ingrid Dahl"),
    say("get_country", name="Norway"),
    "The capital is Oslo.",
)
JOIN_TURNS = (
    say("get_height", mountain="Galdhøpiggen") + say("get_height", mountain="Kebnekaise"),
    say("subtract", minuend=2469, subtrahend=2097),
    "372 m",
)
STATEFUL_TURNS = (
    say("transfer", source="Ada", target="Bo", amount=250),
    say("get_balance", account="Bo"),
    "1150",
)
GOLD_TURNS = {CHAIN.id: CHAIN_TURNS, JOIN.id: JOIN_TURNS, STATEFUL.id: STATEFUL_TURNS}
"""Turns that earn 1, and a right final answer."""
