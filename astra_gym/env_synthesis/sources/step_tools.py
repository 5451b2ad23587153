"""From a calculation to a named tool: which of its numbers are parameters, what they are called, and the source.

The tool is a function of what the step speaks of ("compute_total_interest(principal_dollars, percent)"), not a
calculator: the operators are its own, and so are constants such as the 100 of a percentage or the 60 of an hour.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from astra_gym.env_synthesis.sources.arithmetic import (
    Negation,
    Number,
    Operation,
    Tree,
    decimal_text,
    evaluate,
    formula,
)
from astra_gym.env_synthesis.sources.calculations import Step, exact_value, numbers_of
from astra_gym.env_synthesis.sources.constants import is_unit_constant
from astra_gym.env_synthesis.sources.naming import content_words, is_plain_name, snake, unique, words
from astra_gym.env_synthesis.sources.quantities import find_quantities, stated_values
from astra_gym.env_synthesis.sources.roles import LINKS, describe, role
from astra_gym.env_synthesis.sources.value_flow import Flow, Slot
from astra_gym.records import JSON
from astra_gym.types import GoldCall, ToolFunction

_BLANK = "Fill in the blank: "
_OPERATION_NAMES = {"+": "sum", "-": "difference", "*": "product", "/": "quotient"}
_HALVES = frozenset(["half", "halves", "halved", "twice", "double", "doubles", "doubled", "doubling"])


@dataclass(frozen=True, slots=True)
class StepTool:
    """A step as something to call: the tool, its gold call and where the result stands."""

    tool: ToolFunction
    call: GoldCall
    result_path: str
    depends_on: tuple[int, ...]
    """Indices of the steps whose results are arguments, ascending."""


class StepToolError(ValueError):
    """No sound tool can be made of a step; the message says why."""


def make_tools(question: str, steps: Sequence[Step], flow: Flow, ids: Sequence[str]) -> list[StepTool]:
    """One tool a step, in order, with names unique among them.

    Args:
        flow: the source of every number, from `value_flow.trace`.
        ids: sub-question ids of the steps.

    Raises: StepToolError for a step without parameters, or with one that the result does not depend on.
    """
    maker = _Maker(question, steps, flow, ids)
    return [maker.make(i) for i in range(len(steps))]


def readable_question(step: Step, question: str) -> str:
    """The step's sub-question without numbers that the question does not state: those would be other steps' results."""
    known = stated_values(find_quantities(question))
    text = step.question
    for quantity in reversed(find_quantities(text)):
        if quantity.value not in known and quantity.form in ("plain", "money", "percent"):
            text = text[: quantity.start] + text[quantity.end :].lstrip("-")
    return " ".join(text.split())


class _Maker:
    def __init__(self, question: str, steps: Sequence[Step], flow: Flow, ids: Sequence[str]) -> None:
        self._question = question
        self._quantities = find_quantities(question)
        self._stated = stated_values(self._quantities)
        self._steps, self._flow, self._ids = steps, flow, ids
        self._asked = [readable_question(step, question) for step in steps]
        self._topics = [snake(content_words(asked.removeprefix(_BLANK))) or "amount" for asked in self._asked]
        self._names: list[str] = []

    def make(self, index: int) -> StepTool:
        step = self._steps[index]
        assert step.tree is not None
        leaves = numbers_of(step)
        fixed = {leaf.index for leaf in leaves if self._is_fixed(index, leaf)}
        if len(fixed) == len(leaves):
            fixed = set()
        parameters = self._parameters(index, [leaf for leaf in leaves if leaf.index not in fixed])
        _check_effects(step, [leaf for leaf in leaves if leaf.index not in fixed], parameters)
        name = self._name(index, step.tree)
        field = _result_field(step, self._asked[index])
        printed = formula(step.tree, lambda leaf: parameters.get(leaf.index) or decimal_text(leaf.value))
        digits = step.digits if exact_value(step) != step.value else None
        tool = ToolFunction(
            name=name,
            description=_description(self._asked[index], printed, digits),
            parameters=self._schema(index, leaves, parameters),
            source=_source(name, list(parameters.values()), printed, field, digits),
        )
        arguments = {parameters[leaf.index]: self._argument(index, leaf) for leaf in leaves if leaf.index in parameters}
        ups = sorted({up for slot, up in self._flow.items() if slot.step == index and up is not None})
        return StepTool(tool, GoldCall(tool=name, arguments=arguments), f"/{field}", tuple(ups))

    def _argument(self, index: int, leaf: Number) -> JSON:
        up = self._flow[Slot(index, leaf.index)]
        return plain_number(leaf.value) if up is None else {"$ref": self._ids[up]}

    def _is_fixed(self, index: int, leaf: Number) -> bool:
        """Whether a number belongs to the tool: a constant of units, or the two of "half" and "twice"."""
        if self._flow[Slot(index, leaf.index)] is not None:
            return False
        step = self._steps[index]
        if leaf.value == 2:
            literally = any(q.value == 2 and q.form in ("plain", "money", "percent") for q in self._quantities)
            return not literally and bool(_HALVES & set(words(f"{step.text} {step.question} {self._question}")))
        context = f"{step.text} {step.question} {self._question}"
        return leaf.value not in self._stated and is_unit_constant(leaf.value, context)

    def _name(self, index: int, tree: Tree) -> str:
        name = f"compute_{self._topics[index]}"
        if name in self._names:
            name = f"{name}_{_OPERATION_NAMES[_root_operator(tree)]}"
        name = unique(name, self._names)
        self._names.append(name)
        return name

    def _parameters(self, index: int, leaves: Sequence[Number]) -> dict[int, str]:
        """Parameter name of each number that is one, by its index."""
        wanted = {leaf.index: self._role(index, leaf) for leaf in leaves}
        names: dict[int, str] = {}
        for number, name in wanted.items():
            if list(wanted.values()).count(name) > 1:
                nth = [other for other, role in wanted.items() if role == name].index(number)
                name = f"{_ORDINALS[nth]}_{name}" if nth < len(_ORDINALS) else f"{name}_{nth + 1}"
            names[number] = unique(name, names.values())
        return names

    def _role(self, index: int, leaf: Number) -> str:
        up = self._flow[Slot(index, leaf.index)]
        name = self._topics[up] if up is not None else role(self._question, self._quantities, self._steps[index], leaf)
        return name if is_plain_name(name) else f"{name}_amount"

    def _schema(self, index: int, leaves: Sequence[Number], parameters: dict[int, str]) -> dict[str, JSON]:
        properties: dict[str, JSON] = {}
        for leaf in leaves:
            if leaf.index in parameters:
                up = self._flow[Slot(index, leaf.index)]
                name = parameters[leaf.index]
                about = describe(self._role(index, leaf)) if up is None else f"Answer to: {self._asked[up]}"
                properties[name] = {"type": "number", "description": about}
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }


_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


def plain_number(value: Fraction) -> int | float:
    """An int when the value is whole."""
    return value.numerator if value.denominator == 1 else float(value)


def _check_effects(step: Step, leaves: Sequence[Number], names: dict[int, str]) -> None:
    """Every parameter must change the result."""
    if not leaves:
        raise StepToolError("the calculation has no number that could be a parameter")
    assert step.tree is not None
    for leaf in leaves:
        if all(_with(step.tree, leaf, trial) == exact_value(step) for trial in (leaf.value + 1, 2 * leaf.value + 3)):
            raise StepToolError(f"the result does not depend on {names[leaf.index]!r} ({decimal_text(leaf.value)})")


def _with(tree: Tree, changed: Number, value: Fraction) -> Fraction | None:
    try:
        return evaluate(tree, lambda leaf: value if leaf.index == changed.index else leaf.value)
    except ZeroDivisionError:
        return None


def _root_operator(tree: Tree) -> str:
    if isinstance(tree, Operation):
        return tree.operator
    return _root_operator(tree.operand) if isinstance(tree, Negation) else "*"


def _result_field(step: Step, asked: str) -> str:
    """The name of the result in the tool's output, from what is asked for."""
    if step.money:
        return "dollars"
    match = re.search(r"\bhow many ((?:[A-Za-z]+[\s-]?){1,3})", asked, re.IGNORECASE)
    nouns: list[str] = []
    for word in re.split(r"[\s-]+", match[1].lower()) if match else []:
        if word in LINKS - {"more", "less", "fewer", "times"}:
            break
        if word and word not in ("more", "less", "fewer"):
            nouns.append(word)
    if nouns and is_plain_name(name := snake(nouns, limit=2)):
        return name
    asks = asked.lower()
    return next((noun for phrase, noun in _MEASURES.items() if asks.startswith(phrase)), "amount")


_MEASURES = {"how old": "age", "how far": "distance", "how long": "length", "how fast": "speed", "how tall": "height"}


def _description(asked: str, printed: str, digits: int | None) -> str:
    rounded = "" if digits is None else f", rounded to {digits} decimal places"
    if asked.startswith(_BLANK):
        return f"Works out the blank in {asked.removeprefix(_BLANK)!r}: {printed}{rounded}."
    return f"Works out: {asked} Computed as {printed}{rounded}."


def _source(name: str, parameters: Sequence[str], printed: str, field: str, digits: int | None) -> str:
    lines = [f"def {name}({', '.join(parameters)}):"]
    compute = f"value = round({printed}, {12 if digits is None else digits})"
    if "/" in printed:
        lines += [
            "    try:",
            f"        {compute}",
            "    except ZeroDivisionError:",
            '        raise ValueError("these numbers make the calculation divide by zero")',
        ]
    else:
        lines.append(f"    {compute}")
    lines.append(f'    return {{"{field}": int(value) if value == int(value) else value}}')
    return "\n".join(lines) + "\n"
