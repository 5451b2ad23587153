"""How one node of a program is told: as a noun phrase, as a question, as a command.

Which nodes get a sentence of their own, and in which order, is decided in `framing.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from astra_gym.env_synthesis.sources.tables.phrases import cardinal, fill, sentence, show
from astra_gym.env_synthesis.sources.tables.programs import Node
from astra_gym.env_synthesis.sources.tables.units import unit_of

Refer = Callable[[Node], str]
"""How the result of an earlier node is spoken of."""

_WHAT = ("What is {np}?", "What is {np}?", "What would {np} be?", "Can you tell me what {np} is?", "Do you know {np}?")
_TELL = (
    "Tell me {np}.",
    "Find {np}.",
    "Work out {np}.",
    "Please determine {np}.",
    "I would like to know {np}.",
    "Could you find out {np}?",
    "I need to know {np}.",
    "Report {np}.",
    "Please look up {np}.",
    "Establish {np}.",
    "Can you work out {np} for me?",
    "Help me find {np}.",
    "I am looking for {np}.",
    "Give me {np}.",
)
_FINDING = ("find", "find", "look up", "determine", "identify", "get", "work out", "establish", "take", "note down")
_ASKED_ONLY = ("compare", "is_more")
"""Families whose noun phrase begins with "whichever" or "whether" and is no good object of "find"."""


class Teller:
    """Words for nodes; choices among wordings come from `rng`."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def noun_phrase(self, node: Node, refer: Refer) -> str:
        return _told(self._rng.choice(node.operation.np), node, refer)

    def question(self, node: Node, refer: Refer) -> str:
        """A sentence that asks for the node's result: its own question, or one around its noun phrase."""
        operation = node.operation
        if operation.ask and (operation.family in _ASKED_ONLY or self._rng.random() < 0.45):
            return sentence(_told(self._rng.choice(operation.ask), node, refer))
        np = self.noun_phrase(node, refer)
        if np.startswith("the ") and operation.output.base != "entities" and self._rng.random() < 0.5:
            return fill(self._rng.choice(_WHAT), {"np": np})
        return fill(self._rng.choice(_TELL), {"np": np})

    def plain_question(self, node: Node) -> str:
        """The sub-question of the node, upstream results stated as values: nothing but the question itself."""
        operation = node.operation
        if operation.ask and self._rng.random() < 0.75:
            return sentence(_told(self._rng.choice(operation.ask), node, _as_value))
        np = _told(self._rng.choice(operation.np), node, _as_value)
        if np.startswith("the "):
            return f"What is {np}?"
        return sentence(_told(operation.ask[0], node, _as_value)) if operation.ask else f"Determine {np}."

    def command(self, node: Node, refer: Refer) -> str:
        """An imperative clause without an end: "find the country in which Orly lies"."""
        np = self.noun_phrase(node, refer)
        verb = "decide" if np.startswith("whether") else self._rng.choice(_FINDING)
        return f"{verb} {np}"


def _told(template: str, node: Node, refer: Refer) -> str:
    """`template` with the node's arguments in words; a noun is not said twice ("the time zone that time zone")."""
    words: dict[str, str] = {}
    for parameter in node.operation.parameters:
        value = node.arguments[parameter.name]
        words[parameter.name] = refer(value) if isinstance(value, Node) else show(parameter.kind, value)
    text = fill(template, words)
    for upstream in node.inputs:
        noun = re.escape(upstream.operation.noun)
        text = re.sub(rf"the {noun} ((?:that|this|the) (?:[a-z-]+ )?{noun})", r"\1", text)
    return text


def _as_value(node: Node) -> str:
    return show(node.kind, node.value)


def precision_note(node: Node) -> str:
    """ "in feet, rounded to two decimals": what the answer has to look like; "" when nothing need be said."""
    kind, decimals = node.kind, node.operation.decimals
    parts = []
    if kind.base == "date":
        return "as YYYY-MM-DD"
    if kind.base != "number":
        return ""
    if kind.unit and node.operation.family != "convert":
        parts.append(f"in {unit_of(kind.unit).words}")
    if decimals:
        parts.append(f"rounded to {cardinal(decimals)} decimal{'s' if decimals > 1 else ''}")
    return ", ".join(parts)
