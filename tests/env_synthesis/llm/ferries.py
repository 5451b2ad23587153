"""A question about ferries with what a careful writer replies at every stage of its tools: a chain, and two piers.

Written by hand for the tests; places, lines and fares are made up.
"""

from __future__ import annotations

from typing import Any

from astra_gym.answers import Answer
from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.items import LlmItem
from astra_gym.types import Decomposition, SubQuestion
from tests.env_synthesis.llm.scripted import Said

WHICH_LINE = "Which ferry line sails from Mora to Lind?"
WHICH_FARE = "What is the adult fare of that line?"
WHICH_TOTAL = "What do 3 tickets at that fare cost?"
CHAIN = Drafted(
    LlmItem.make("domain", domain="ferries"),
    Decomposition(
        id="ferries",
        question="What do 3 adult tickets cost on the ferry line that sails from Mora to Lind?",
        answer=Answer(kind="money", value=37.5, unit="EUR"),
        domain="ferries",
        sub_questions=(
            SubQuestion(id="q1", question=WHICH_LINE, answer=Answer.parse("Blue Heron")),
            SubQuestion(id="q2", question=WHICH_FARE, answer=Answer.parse("12.5 EUR"), depends_on=("q1",)),
            SubQuestion(id="q3", question=WHICH_TOTAL, answer=Answer.parse("37.5 EUR"), depends_on=("q2",)),
        ),
    ),
    answer_from="q3",
)


def document(name: str, description: str, returns: str, **parameters: dict[str, Any]) -> dict[str, Any]:
    """A document whose parameters are all required."""
    schema = {"type": "object", "properties": parameters, "required": list(parameters)}
    return {"name": name, "description": description, "parameters": schema, "returns": returns}


PORT = {"type": "string", "description": "Name of a port."}
LINE_DOCUMENT = document(
    "find_ferry_line",
    "The ferry line that sails from one port to another; an error when there is none.",
    "An object with `line`, the name of the line.",
    origin=PORT,
    destination=PORT,
)
LINE_SOURCE = '''def find_ferry_line(origin, destination):
    """The line between two ports."""
    for row in SAILINGS:
        if row["from"].lower() == origin.strip().lower() and row["to"].lower() == destination.strip().lower():
            return {"line": row["line"], "from": row["from"], "to": row["to"]}
    raise ValueError(f"no ferry sails from {origin} to {destination}; see the timetable for other ports")
'''
SAILINGS = [
    {"from": "Mora", "to": "Lind", "line": "Blue Heron"},
    {"from": "Mora", "to": "Aster", "line": "Grey Seal"},
    {"from": "Lind", "to": "Aster", "line": "White Gull"},
    {"from": "Aster", "to": "Mora", "line": "Red Kite"},
]
FARE_DOCUMENT = document(
    "get_adult_fare",
    "The fare of one adult on a ferry line; an error for a line that is not known.",
    "An object with `fare`, in EUR.",
    line={"type": "string", "description": "Name of a ferry line."},
)
FARE_SOURCE = """def get_adult_fare(line):
    fares = {name.lower(): fare for name, fare in FARES.items()}
    if line.strip().lower() not in fares:
        raise ValueError(f"no line called {line}")
    return {"line": line, "fare": fares[line.strip().lower()]}
"""
FARES = {"Blue Heron": 12.5, "Grey Seal": 14.0, "White Gull": 9.75, "Red Kite": 11.0}
TOTAL_DOCUMENT = document(
    "multiply_fare",
    "What a number of tickets costs.",
    "An object with `total`, in the currency of the fare.",
    fare={"type": "number", "description": "Price of one ticket."},
    tickets={"type": "integer", "description": "How many tickets."},
)
TOTAL_SOURCE = """def multiply_fare(fare, tickets):
    if tickets < 1:
        raise ValueError("at least one ticket")
    return {"total": fare * tickets}
"""
LINE_REPLIES = [
    Said("document", LINE_DOCUMENT, WHICH_LINE),
    Said("scaling", LINE_DOCUMENT, WHICH_LINE),
    Said("call", {"arguments": {"origin": "Mora", "destination": "Lind"}, "result_path": "/line"}, WHICH_LINE),
    Said("implementation", {"source": LINE_SOURCE, "data": {"SAILINGS": SAILINGS}}, WHICH_LINE),
    Said(
        "probe",
        {
            "second": {"origin": "Lind", "destination": "Aster"},
            "second_answer": "White Gull",
            "unknown": {"origin": "Mora", "destination": "Quill"},
        },
        WHICH_LINE,
    ),
]
FARE_REPLIES = [
    Said("document", FARE_DOCUMENT, WHICH_FARE),
    Said("scaling", FARE_DOCUMENT, WHICH_FARE),
    Said("call", {"arguments": {"line": {"$ref": "q1"}}, "result_path": "/fare"}, WHICH_FARE),
    Said("implementation", {"source": FARE_SOURCE, "data": {"FARES": FARES}}, WHICH_FARE),
    Said(
        "probe",
        {"second": {"line": "White Gull"}, "second_answer": 9.75, "unknown": {"line": "Night Owl"}},
        WHICH_FARE,
    ),
]
TOTAL_REPLIES = [
    Said("document", TOTAL_DOCUMENT, WHICH_TOTAL),
    Said("scaling", TOTAL_DOCUMENT, WHICH_TOTAL),
    Said("call", {"arguments": {"fare": {"$ref": "q2"}, "tickets": 3}, "result_path": "/total"}, WHICH_TOTAL),
    Said("implementation", {"source": TOTAL_SOURCE}, WHICH_TOTAL),
    Said("probe", {"second": {"fare": 8.0, "tickets": 4}, "second_answer": "32 EUR", "unknown": None}, WHICH_TOTAL),
]
CHAIN_REPLIES = [*LINE_REPLIES, *FARE_REPLIES, *TOTAL_REPLIES]

PIER_OF_MORA = "How long is the pier of Mora?"
PIER_OF_LIND = "How long is the pier of Lind?"
DIFFERENCE = "What is the difference of the two lengths?"
PIERS = Drafted(
    LlmItem.make("domain", domain="ferries"),
    Decomposition(
        id="piers",
        question="How much longer is the pier of Mora than the pier of Lind?",
        answer=Answer.parse("118 m"),
        domain="ferries",
        sub_questions=(
            SubQuestion(id="q1", question=PIER_OF_MORA, answer=Answer.parse("340 m")),
            SubQuestion(id="q2", question=PIER_OF_LIND, answer=Answer.parse("222 m")),
            SubQuestion(id="q3", question=DIFFERENCE, answer=Answer.parse("118 m"), depends_on=("q1", "q2")),
        ),
    ),
    answer_from="q1 - q2",
)
PIER_DOCUMENT = document("get_pier_length", "The length of a port's pier.", "`length_m`, in metres.", port=PORT)
PIER_SOURCE = """def get_pier_length(port):
    for name, length in PIERS.items():
        if name.lower() == port.strip().lower():
            return {"port": name, "length_m": length}
    raise ValueError(f"no port called {port}")
"""
OTHER_PIER_DOCUMENT = document(
    "get_pier_length", "How long the pier of a harbour is.", "`metres`: the length.", harbour=PORT
)
OTHER_PIER_SOURCE = """def get_pier_length(harbour):
    if harbour not in PIERS:
        raise ValueError(f"no harbour called {harbour}")
    return {"metres": PIERS[harbour]["length"]}
"""
DIFFERENCE_DOCUMENT = document(
    "subtract_lengths",
    "By how much one length is greater than another.",
    "`difference_m`, in metres.",
    longer={"type": "number", "description": "A length in metres."},
    shorter={"type": "number", "description": "A length in metres."},
)
MORA_TABLE = {"Mora": 340, "Quill": 95, "Aster": 410}
LIND_TABLE = {"Lind": {"length": 222}, "Brae": {"length": 130}, "Quill": {"length": 95}}
PIER_REPLIES = [
    Said("document", PIER_DOCUMENT, PIER_OF_MORA),
    Said("scaling", PIER_DOCUMENT, PIER_OF_MORA),
    Said("call", {"arguments": {"port": "Mora"}, "result_path": "/length_m"}, PIER_OF_MORA),
    Said("implementation", {"source": PIER_SOURCE, "data": {"PIERS": MORA_TABLE}}, PIER_OF_MORA),
    Said(
        "probe",
        {"second": {"port": "Aster"}, "second_answer": "410 m", "unknown": {"port": "Nowhere"}},
        PIER_OF_MORA,
    ),
    Said("document", OTHER_PIER_DOCUMENT, PIER_OF_LIND),
    Said("scaling", OTHER_PIER_DOCUMENT, PIER_OF_LIND),
    Said("call", {"arguments": {"harbour": "Lind"}, "result_path": "/metres"}, PIER_OF_LIND),
    Said("implementation", {"source": OTHER_PIER_SOURCE, "data": {"PIERS": LIND_TABLE}}, PIER_OF_LIND),
    Said(
        "probe",
        {"second": {"harbour": "Brae"}, "second_answer": 130, "unknown": {"harbour": "Nowhere"}},
        PIER_OF_LIND,
    ),
    Said("document", DIFFERENCE_DOCUMENT, DIFFERENCE),
    Said("scaling", DIFFERENCE_DOCUMENT, DIFFERENCE),
    Said(
        "call",
        {"arguments": {"longer": {"$ref": "q1"}, "shorter": {"$ref": "q2"}}, "result_path": "/difference_m"},
        DIFFERENCE,
    ),
    Said(
        "implementation",
        {"source": 'def subtract_lengths(longer, shorter):\n    return {"difference_m": longer - shorter}\n'},
        DIFFERENCE,
    ),
    Said(
        "probe",
        {"second": {"longer": 50, "shorter": 8}, "second_answer": 42, "unknown": None},
        DIFFERENCE,
    ),
]
CLUSTERS = {
    "clusters": [
        {"intent": "length of a pier", "ids": ["q1", "q2"], "reason": "the same look-up"},
        {"intent": "a difference", "ids": ["q3"], "reason": "arithmetic"},
    ]
}
MERGED = {"data": {"PIERS": {**MORA_TABLE, "Lind": 222, "Brae": 130}}, "document": PIER_DOCUMENT}
LIND_ON_MERGED = ("Step q2\n", PIER_OF_LIND, '"port"')
MERGE_REPLIES = [
    *PIER_REPLIES,
    Said("cluster", CLUSTERS),
    Said("merge", MERGED),
    Said("call", {"arguments": {"port": "Lind"}, "result_path": "/length_m"}, LIND_ON_MERGED),
    Said(
        "probe",
        {"second": {"port": "Brae"}, "second_answer": "130 m", "unknown": {"port": "Nowhere"}},
        LIND_ON_MERGED,
    ),
]
