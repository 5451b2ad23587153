"""What a number of a calculation stands for, as a parameter name: `eggs_per_day`, `dollars_per_hour`, `percent`.

The words right after the number in the step's own text decide ("12 miles / 4 mph"), then those at its mention in the
question, then its place in the expression.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from astra_gym.env_synthesis.sources.arithmetic import NUMBER, Negation, Number, Operation, Percent, Tree, written_value
from astra_gym.env_synthesis.sources.calculations import Step, numbers_of
from astra_gym.env_synthesis.sources.naming import is_plain_name, stems
from astra_gym.env_synthesis.sources.quantities import Quantity

_LINKING = """
    is are was were be been has have had do does did will would can could should may might must of in on at by with
    for from to into than as that this which who and or but if so when while where after before until since because
    not no all only just more less fewer older younger times time per each every a an the his her its their he she
    they it him them there then also still left x off out
"""
LINKS = frozenset(_LINKING.split())
"""Words that do not name what is counted."""

_AFTER = re.compile(r"[\s-]*((?:[A-Za-z][A-Za-z'’]*(?:[\s-]+|$|(?=[^\w\s-]))){0,6})")
_UNIT = re.compile(r"\s?([A-Za-z]{2,})(?:\s?/\s?([A-Za-z]{2,}))?|\s?/\s?([A-Za-z]{2,})")
_NAMED_BEFORE = re.compile(r"([a-z]{3,}) (?:of|is|was|at|:)\s*[$€£]?$")
_MEANINGS = {
    "percent": "A percentage: 20 stands for 20%.",
    "factor": "How many times as much.",
    "parts": "How many equal parts the whole is divided into: 3 for a third.",
    "times": "How many times.",
    "divisor": "What to divide by.",
    "dividend": "What to divide.",
    "dollars": "An amount of money in dollars.",
}


def role(question: str, quantities: Sequence[Quantity], step: Step, leaf: Number) -> str:
    """A snake case name for what `leaf` stands for in `step`; `quantities` are those of the question."""
    nth = [number.index for number in numbers_of(step) if number.value == leaf.value].index(leaf.index)
    if name := _in_text(step, leaf, nth):
        return name
    if quantity := _mention(question, quantities, step, leaf, nth):
        return _at_mention(question, quantity)
    return _in_tree(step, leaf)


def describe(name: str) -> str:
    """What a parameter called `name` by `role` means, as a sentence."""
    plain = name.replace("_", " ")
    return (
        _MEANINGS.get(name)
        or ("An amount of money in " if plain.startswith("dollars") else "The number of ") + f"{plain}."
    )


def _in_text(step: Step, leaf: Number, nth: int) -> str:
    """From the unit right after the number in the step's text; empty when there is none."""
    places = [found for found in re.finditer(NUMBER, step.text) if written_value(found[0]) == leaf.value]
    if nth >= len(places):
        return ""
    found = places[nth]
    rest = step.text[found.end() :]
    if rest.lstrip().startswith("%"):
        return "percent"
    unit = _UNIT.match(rest)
    money = step.text[: found.start()].rstrip().endswith("$")
    noun, rate = (unit[1] or "", unit[2] or unit[3] or "") if unit else ("", "")
    noun = "" if noun.lower() in LINKS else noun.lower()
    if money:
        return _checked(f"dollars_per_{rate.lower()}") if rate else ""
    return _checked(f"{noun}_per_{rate.lower()}" if rate else noun) if noun else ""


def _mention(question: str, quantities: Sequence[Quantity], step: Step, leaf: Number, nth: int) -> Quantity | None:
    """Where the question states the number; of several places the one most like the step's words."""
    places = [quantity for quantity in quantities if quantity.value == leaf.value]
    if len(places) < 2:
        return places[0] if places else None
    words = stems(f"{step.text} {step.question}")

    def likeness(quantity: Quantity) -> int:
        around = question[: quantity.start].split()[-3:] + question[quantity.end :].split()[:6]
        return len(words & stems(" ".join(around)))

    ranked = sorted(places, key=lambda quantity: -likeness(quantity))
    return ranked[min(nth, len(ranked) - 1)]


def _at_mention(question: str, quantity: Quantity) -> str:
    """From the words after a number of the question."""
    if quantity.form in ("percent", "factor", "part"):
        return {"percent": "percent", "factor": "factor", "part": "parts"}[quantity.form]
    match = _AFTER.match(question, quantity.end)
    after = [re.sub(r"['’].*", "", word) for word in re.split(r"[\s-]+", match[1].lower() if match else "") if word]
    rate = _rate(after)
    if quantity.form == "money":
        return _checked(f"dollars_per_{rate}") if rate else "dollars"
    if after[:1] in (["times"], ["time"]):
        return _checked(f"times_per_{rate}") if rate else "times"
    noun = _noun(after[1:] if after[:1] in (["more"], ["less"], ["fewer"]) else after)
    if not noun:
        before = _NAMED_BEFORE.search(question[: quantity.start].lower())
        noun = before[1] if before and before[1] not in LINKS else "number"
    return _checked(f"{noun}_per_{rate}" if rate else noun)


def _noun(after: Sequence[str]) -> str:
    """The first word, with the next one when the first only describes it ("duck eggs")."""
    if not after or after[0] in LINKS:
        return ""
    plural_next = len(after) > 1 and after[1] not in LINKS and not after[0].endswith("s") and after[1].endswith("s")
    return f"{after[0]}_{after[1]}" if plural_next else after[0]


def _rate(after: Sequence[str]) -> str:
    """The unit of "per duck egg", "an hour", "each" among the first words."""
    for i, word in enumerate(after[:4]):
        if word in ("per", "every", "each") or (word in ("a", "an") and i <= 1):
            unit: list[str] = []
            for following in after[i + 1 : i + 4]:
                if following in LINKS or (word != "per" and unit):
                    break
                unit.append(following)
            if unit:
                return "_".join(unit)
        if word in ("each", "apiece") and i <= 1:
            return "item"
    return ""


def _in_tree(step: Step, leaf: Number) -> str:
    """From the number's place in the expression."""
    assert step.tree is not None
    parent = _parent(step.tree, leaf)
    if isinstance(parent, Percent):
        return "percent"
    if isinstance(parent, Operation) and parent.operator == "*":
        return "factor"
    if isinstance(parent, Operation) and parent.operator == "/":
        return "divisor" if parent.right == leaf else "dividend"
    return "number"


def _parent(tree: Tree, leaf: Number) -> Tree | None:
    children: tuple[Tree, ...] = ()
    if isinstance(tree, Operation):
        children = (tree.left, tree.right)
    elif isinstance(tree, Negation):
        children = (tree.operand,)
    elif isinstance(tree, Percent):
        children = (tree.number,)
    if leaf in children:
        return tree
    return next((found for child in children if (found := _parent(child, leaf)) is not None), None)


def _checked(name: str) -> str:
    return name if is_plain_name(name) else "number"
