"""The main question of a program: its body, and around it who asks, what counts and what form the answer takes."""

from __future__ import annotations

from random import Random

from astra_gym.env_synthesis.sources.tables.description import TableSet
from astra_gym.env_synthesis.sources.tables.framing import body
from astra_gym.env_synthesis.sources.tables.phrases import fill
from astra_gym.env_synthesis.sources.tables.programs import Program
from astra_gym.env_synthesis.sources.tables.telling import precision_note

_OPENERS = (
    "I am putting together a quiz about {topic}.",
    "A colleague asked me something about {topic}.",
    "For a report on {topic} I need one more figure checked.",
    "I am double-checking my notes on {topic}.",
    "This is for a lesson on {topic}.",
    "We are settling a bet about {topic}.",
    "Here is a puzzle about {topic}.",
    "I am new to the {register} and could use some help.",
    "You have the {register} at hand.",
    "Please consult the {register}.",
    "I am fact-checking an article on {topic}.",
    "My daughter has homework on {topic}.",
    "Our newsletter has a column on {topic}.",
    "Let us test how well the {register} can be queried.",
    "A reader wrote in with a question on {topic}.",
    "I cannot open the {register} myself right now.",
    "Something for the trivia night on {topic}:",
    "As part of an audit of the {register}, answer this.",
    "Quick one about {topic}.",
    "Using the {register}, please help me with this.",
    "I am preparing a talk about {topic}.",
    "We are cleaning up the {register} and want to be sure of this.",
    "Going by the {register}:",
    "An exam question on {topic}.",
    "Hello! I have a question that the {register} should settle.",
    "Good morning, I hope you can look something up in the {register}.",
)
_SCOPES = (
    "Only what the {register} lists counts.",
    "Treat the {register} as complete.",
    "Consider nothing but the entries of the {register}.",
    "Everything refers to the entries of the {register}.",
    "Go by the {register} alone, even where you know better.",
    "Base this on the {register} and on nothing else.",
    "The {register} behind the tools is the only source that matters.",
    "Entries that are not in the {register} do not count.",
    "Restrict yourself to what is in the {register}.",
    "Please rely on the {register} for every step.",
)
_FORMS = (
    "Give the answer {note}.",
    "State the result {note}.",
    "I want the result {note}.",
    "Please answer {note}.",
    "The answer should be {note}.",
    "Express the result {note}.",
    "Report it {note}.",
    "Write the answer {note}.",
)
_ORDERED = (
    "Give the answers in that order.",
    "Answer in the order asked.",
    "List the answers in the same order.",
    "Keep the order of the questions in your answer.",
    "Reply with a list in this order.",
    "One answer for each, in order, please.",
)
_CLOSERS = (
    "Thank you!",
    "Thanks in advance.",
    "Just the answer is enough.",
    "No explanation needed.",
    "Please be exact.",
    "Many thanks.",
    "A short answer will do.",
    "I only need the final answer.",
)


def main_question(program: Program, tables: TableSet, rng: Random) -> str:
    """The question that the whole program answers; texts of `rng`'s choosing, the program's values left as they are."""
    sinks = program.sinks
    around = {"topic": tables.topic, "register": tables.register_noun}
    parts = [body(program, rng)]
    if rng.random() < 0.6:
        parts.insert(0, fill(rng.choice(_OPENERS), around))
    if any(node.operation.scoped for node in program.nodes):
        parts.insert(len(parts) if rng.random() < 0.7 else 0, fill(rng.choice(_SCOPES), around))
    if len(sinks) > 1:
        parts.append(rng.choice(_ORDERED))
    elif note := precision_note(sinks[0]):
        parts.append(fill(rng.choice(_FORMS), {"note": note}))
    if rng.random() < 0.25:
        parts.append(rng.choice(_CLOSERS))
    return " ".join(parts)
