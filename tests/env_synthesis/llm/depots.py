"""A small world for tests of whole runs: questions about depots, and a model that answers every stage about them.

The replies are computed from the request, as a careful writer and a careful judge would give them; some depots are
flawed on purpose. Everything is made up.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.llm.server import say
from tests.models.chat_server import Reply

FLAWS = {3: "serialisation", 4: "generate", 5: "implementation", 6: "duplicate"}
"""Of the depots of `write_questions`, those that must be rejected, and where."""
_OTHERS = {"Z1": 17, "Z2": 29, "Z3": 31, "Z4": 43, "Z5": 59}
_LOOK_UP = """def {name}(depot):
    key = depot.strip().upper()
    if key not in {table}:
        raise ValueError("no depot called " + depot)
    return {{"depot": key, "{field}": {table}[key]}}
"""
_MULTIPLY = """def multiply_weight(count, weight_kg):
    return {"total_kg": count * weight_kg}
"""


def question(n: int) -> str:
    return f"What do the crates of depot K{n:02d} weigh in total?"


def write_questions(path: Path, count: int) -> Path:
    """A question file about the depots from 0 on; depot 6 is depot 1 again, in other letters."""
    questions = [question(1).upper() if n == 6 else question(n) for n in range(count)]
    path.write_text("".join(json.dumps({"domain": "depots", "question": q}) + "\n" for q in questions))
    return path


def crates(n: int) -> int:
    return 110 + 13 * n


def weight(n: int) -> float:
    return 2.5 + n


def answer(request: dict[str, Any]) -> Reply:
    """The reply to one request."""
    stage = request["messages"][0]["content"].splitlines()[0].removeprefix("# Stage: ")
    opening = request["messages"][1]["content"]
    found = re.search(r"K(\d\d)", opening)
    n = int(found[1]) if found else 0
    if FLAWS.get(n) == stage == "generate":
        return say("Happy to help! Which depots do you mean?")
    return say(_REPLIES[stage](n, opening))


def _draft(n: int, _: str) -> dict[str, Any]:
    total = f"{crates(n) * weight(n)} kg"
    subs = [
        {"id": "q1", "question": f"How many crates are stored at depot K{n:02d}?", "answer": crates(n)},
        {"id": "q2", "question": f"How heavy is one crate at depot K{n:02d}?", "answer": f"{weight(n)} kg"},
        {
            "id": "q3",
            "question": "What is the product of that count and that weight?",
            "depends_on": ["q1", "q2"],
            "answer": total,
        },
    ]
    return {"question": question(n), "answer": total, "answer_from": "q3", "sub_questions": subs}


def _each(**fields: Any) -> dict[str, Any]:
    return {"sub_questions": [{"id": f"q{i}", "reason": "as it should be", **fields} for i in (1, 2, 3)]}


def _serialisation(n: int, _: str) -> dict[str, Any]:
    forced = [{"id": "q3", "on": "q2", "reason": "it need not wait"}] if FLAWS.get(n) == "serialisation" else []
    return {"rational": not forced, "forced": forced}


def _completeness(_: int, __: str) -> dict[str, Any]:
    return {"requirements": [{"requirement": "the total weight", "covered_by": ["q3"]}], "complete": True}


def _asked(opening: str) -> int:
    """Which sub-question a tool's stage is about."""
    if "How many crates are stored" in opening and "product of that count" not in opening:
        return 1
    return 2 if "How heavy is one crate" in opening and "product of that count" not in opening else 3


def _document(_: int, opening: str) -> dict[str, Any]:
    depot = {"depot": {"type": "string", "description": "Name of a depot."}}
    count = {"count": {"type": "number", "description": "How many."}}
    each = {"weight_kg": {"type": "number", "description": "Of one, in kg."}}
    name, says, parameters, returns = {
        1: ("count_crates", "How many crates a depot stores; an error when it is unknown.", depot, "crates"),
        2: ("weigh_crate", "What one crate of a depot weighs; an error when it is unknown.", depot, "weight_kg"),
        3: ("multiply_weight", "What so many things weigh together.", count | each, "total_kg"),
    }[_asked(opening)]
    schema = {"type": "object", "properties": parameters, "required": list(parameters)}
    return {"name": name, "description": says, "parameters": schema, "returns": f"An object with `{returns}`."}


def _call(n: int, opening: str) -> dict[str, Any]:
    which = _asked(opening)
    if which == 3:
        return {"arguments": {"count": {"$ref": "q1"}, "weight_kg": {"$ref": "q2"}}, "result_path": "/total_kg"}
    return {"arguments": {"depot": f"K{n:02d}"}, "result_path": "/crates" if which == 1 else "/weight_kg"}


def _implementation(n: int, opening: str) -> dict[str, Any]:
    which = _asked(opening)
    if which == 3:
        return {"source": _MULTIPLY}
    if which == 1:
        held = crates(n) + (FLAWS.get(n) == "implementation")
        source = _LOOK_UP.format(name="count_crates", table="CRATES", field="crates")
        return {"source": source, "data": {"CRATES": {f"K{n:02d}": held, **_OTHERS}}}
    source = _LOOK_UP.format(name="weigh_crate", table="WEIGHTS", field="weight_kg")
    return {"source": source, "data": {"WEIGHTS": {f"K{n:02d}": weight(n), **_OTHERS}}}


def _probe(_: int, opening: str) -> dict[str, Any]:
    if _asked(opening) == 3:
        return {"second": {"count": 7, "weight_kg": 3}, "second_answer": "21 kg", "unknown": None}
    unit = "" if _asked(opening) == 1 else " kg"
    return {"second": {"depot": "Z2"}, "second_answer": f"29{unit}", "unknown": {"depot": "Nowhere"}}


_REPLIES = {
    "generate": _draft,
    "necessity": lambda _, __: _each(needs_tool=True),
    "dependency": lambda _, __: {"missing": [], "unused": [], "reason": "all is there"},
    "atomicity": lambda _, __: _each(atomic=True),
    "serialisation": _serialisation,
    "completeness": _completeness,
    "document": _document,
    "scaling": _document,
    "call": _call,
    "implementation": _implementation,
    "probe": _probe,
}
