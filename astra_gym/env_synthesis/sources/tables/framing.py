"""The body of a main question: which results get a sentence of their own, what they are called, and in which order.

Each style is a function of the program that gives the sentences; those that cannot tell a program without ambiguity
refuse it (`fits`). What stands around the body is `wording.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from astra_gym.env_synthesis.sources.tables.kinds import SMALL
from astra_gym.env_synthesis.sources.tables.phrases import cardinal, enumerated, fill, sentence
from astra_gym.env_synthesis.sources.tables.programs import Node, Program
from astra_gym.env_synthesis.sources.tables.telling import Refer, Teller, precision_note

_ALPHABETS = ("ABCDEFGHIJKLMNOP", "PQRSTUVWXYZ", "XYZUVWABCDEFGH", "KLMNOPQRSTUVW")
_LET = (
    "Let {label} be {np}.",
    "Call {np} {label}.",
    "Write {label} for {np}.",
    "{label} stands for {np}.",
    "Let {label} denote {np}.",
)
_THEN = ("Then", "Next,", "After that,", "From there,", "Now", "With that,", "Following that,", "In the next step,")
_FIRST = ("First,", "To begin with,", "Start by this:", "To start,", "Begin here:", "First of all,")
_LAST = ("Finally,", "To finish,", "In the end,", "Lastly,", "And at last:", "With that in hand:")
_THAT = ("that {noun}", "this {noun}", "the {noun} just found", "that {noun}")
_MARKS = (
    ("(a)", "(b)", "(c)", "(d)"),
    ("1)", "2)", "3)", "4)"),
    ("(i)", "(ii)", "(iii)", "(iv)"),
    ("Q1:", "Q2:", "Q3:", "Q4:"),
)
_ALSO = ("Also:", "And:", "In addition:", "Besides:", "Next:", "A further question:")
_GIVEN = (("Given:", "Wanted:"), ("Definitions:", "Question:"), ("Notation:", "To find:"), ("Take", "Then:"))
_BACK = (
    "the {noun} from step {n}",
    "the {noun} of step {n}",
    "the result of step {n}",
    "the {noun} found in step {n}",
)
_THINGS = (
    "I need {n} things:",
    "Please find {n} things:",
    "Find the following {n}:",
    "Report these {n} items:",
    "There are {n} things to look up:",
    "{number} answers are wanted:",
    "Kindly provide {n} pieces of information:",
)
_OURS = {
    "What", "Which", "How", "In", "On", "By", "At", "Does", "Is", "When", "Where", "Can", "Could", "Do", "Tell", "Find",
    "Work", "Please", "Report", "Establish", "Help", "Give", "Over", "Across", "Under", "Into", "Of", "To", "If",
    "Comparing",
}  # fmt: skip
"""First words of questions that are not names, so that they may be written small."""


@dataclass(frozen=True)
class Plan:
    """What a style works with: a program, the nodes told inside another one's phrase, and the words."""

    program: Program
    inlined: frozenset[Node]
    teller: Teller
    rng: Random

    @property
    def named(self) -> list[Node]:
        """The nodes that get a sentence of their own but are not asked for."""
        sinks = set(self.program.sinks)
        return [node for node in self.program.nodes if node not in sinks and node not in self.inlined]

    def refer(self, labels: Callable[[Node], str]) -> Refer:
        """Inlined nodes by their noun phrase, others by their label."""

        def speak(node: Node) -> str:
            return self.teller.noun_phrase(node, speak) if node in self.inlined else labels(node)

        return speak

    def asked(self, refer: Refer) -> list[str]:
        """One question for each sink."""
        return [self.teller.question(node, refer) for node in self.program.sinks]


def body(program: Program, rng: Random) -> str:
    """The question itself, in a style drawn among those that can tell this program clearly."""
    teller = Teller(rng)
    inner = frozenset(program.nodes) - frozenset(program.sinks)
    if not inner or (len(inner) <= 2 and all(_nests(node, program, inner) for node in inner) and rng.random() < 0.55):
        return _several(Plan(program, inner, teller, rng), _unnamed)
    free = [node for node in program.nodes if node in inner and _nests(node, program, frozenset())]
    inlined: set[Node] = set()
    for node in free:
        if rng.random() < 0.4 and not inlined.intersection(node.inputs) and len(inlined) < len(inner) - 1:
            inlined.add(node)
    plan = Plan(program, frozenset(inlined), teller, rng)
    styles: list[Callable[[Plan], str]] = [_steps]
    if len(plan.named) <= len(_ALPHABETS[0]):
        styles += [_letters, _listed]
    if len(plan.named) <= 4:
        styles.append(_where)
    if _is_chain(plan):
        styles += [_narrative, _narrative]
    return rng.choice(styles)(plan)


def _unnamed(node: Node) -> str:
    raise AssertionError(f"{node.operation.name} has no name")


def _nests(node: Node, program: Program, others: frozenset[Node]) -> bool:
    """Whether the phrase for a node can stand inside that of its only user.

    "the distance between the city nearest to A and B" can be read in two ways, so a user of several arguments takes
    phrases only when all its arguments are among `others` and each of them is a phrase with one argument.
    """
    users = [other for other in program.nodes if node in other.inputs]
    if len(users) != 1 or program.consumers(node) != 1:
        return False
    beside = [users[0].arguments[p.name] for p in users[0].operation.parameters if p.kind.base not in SMALL]
    if len(beside) == 1:
        return True
    return all(isinstance(arg, Node) and arg in others and len(arg.operation.parameters) == 1 for arg in beside)


def _is_chain(plan: Plan) -> bool:
    """Whether each named result is used once, by what is told right after it."""
    told = [*plan.named, *plan.program.sinks]
    if len(plan.program.sinks) > 1:
        return False
    for node, following in pairwise(told):
        users = [other for other in plan.program.nodes if node in other.inputs]
        if len(users) != 1 or plan.program.consumers(node) != 1:
            return False
        user = users[0]
        while user in plan.inlined:
            user = next(other for other in plan.program.nodes if user in other.inputs)
        if user is not following:
            return False
    return True


def _labels(plan: Plan) -> dict[Node, str]:
    letters = [alphabet for alphabet in _ALPHABETS if len(alphabet) >= len(plan.named)]
    return dict(zip(plan.named, plan.rng.choice(letters), strict=False))


def _letters(plan: Plan) -> str:
    """Let A be ... . Let B be ... of A. What is ... of B?"""
    labels = _labels(plan)
    refer = plan.refer(labels.__getitem__)
    let = plan.rng.choice(_LET)
    sentences = []
    for node in plan.named:
        if plan.rng.random() < 0.2:
            let = plan.rng.choice(_LET)
        np = plan.teller.noun_phrase(node, refer)
        sentences.append(sentence(fill(let, {"label": labels[node], "np": np})))
    return " ".join([*sentences, _several(plan, labels.__getitem__)])


def _steps(plan: Plan) -> str:
    """Step 1: find ... . Step 2: find ... of the country from step 1. ..."""
    numbers = {node: number for number, node in enumerate(plan.named, start=1)}
    mark = plan.rng.choice(("Step {}:", "{}.", "({})", "{})"))
    back = plan.rng.choice(_BACK)

    def label(node: Node) -> str:
        return fill(back, {"noun": node.operation.noun, "n": str(numbers[node])})

    refer = plan.refer(label)
    lines = [f"{mark.format(numbers[node])} {_capital(plan.teller.command(node, refer))}." for node in plan.named]
    glue = "\n" if plan.rng.random() < 0.4 else " "
    last = len(lines) + 1
    if len(plan.program.sinks) == 1:
        return glue.join([*lines, f"{mark.format(last)} {plan.asked(refer)[0]}"])
    return glue.join([*lines, f"{mark.format(last)} {_several(plan, label)}"])


def _listed(plan: Plan) -> str:
    """Given A: ..., B: ... . Wanted: ..."""
    labels = _labels(plan)
    refer = plan.refer(labels.__getitem__)
    given, wanted = plan.rng.choice(_GIVEN)
    items = [f"{labels[node]} = {plan.teller.noun_phrase(node, refer)}" for node in plan.named]
    if plan.rng.random() < 0.5:
        return "\n".join([given, *(f"- {item}" for item in items), f"{wanted} {_several(plan, labels.__getitem__)}"])
    return f"{given} {'; '.join(items)}. {wanted} {_several(plan, labels.__getitem__)}"


def _where(plan: Plan) -> str:
    """What is ... of B? Here B is ... of A, and A is ... ."""
    labels = _labels(plan)
    refer = plan.refer(labels.__getitem__)
    items = [f"{labels[node]} is {plan.teller.noun_phrase(node, refer)}" for node in reversed(plan.named)]
    opening = plan.rng.choice(("Here", "In this question,", "In it,", "For this,", "By definition,"))
    told = f"{'; '.join(items[:-1])}; and {items[-1]}" if len(items) > 1 else items[0]
    return f"{_several(plan, labels.__getitem__)} {opening} {told}."


def _narrative(plan: Plan) -> str:
    """First, find ... . Then find ... of that country. Finally, what is ... of that airport?"""
    that = plan.rng.choice(_THAT)
    refer = plan.refer(lambda node: fill(that, {"noun": node.operation.noun}))
    sentences = []
    for number, node in enumerate(plan.named):
        opening = plan.rng.choice(_FIRST if number == 0 else _THEN) if plan.rng.random() < 0.8 else ""
        clause = plan.teller.command(node, refer)
        sentences.append(f"{opening} {clause}." if opening else f"{_capital(clause)}.")
    question = plan.asked(refer)[0]
    if plan.rng.random() < 0.6:
        question = f"{plan.rng.choice(_LAST)} {_lower(question)}"
    return " ".join([*sentences, question])


def _several(plan: Plan, labels: Callable[[Node], str]) -> str:
    """The questions for all sinks: one alone, or several marked, joined or listed."""
    refer = plan.refer(labels)
    sinks = plan.program.sinks
    if len(sinks) == 1:
        return plan.asked(refer)[0]
    rng = plan.rng
    notes = [f" ({note})" if (note := precision_note(node)) else "" for node in sinks]
    style = rng.choice(("marked", "joined", "things", "things"))
    if style == "things" and all(node.kind.base != "flag" and not node.operation.chooses for node in sinks):
        items = [plan.teller.noun_phrase(node, refer) + note for node, note in zip(sinks, notes, strict=True)]
        number = cardinal(len(sinks))
        return f"{fill(rng.choice(_THINGS), {'n': number, 'number': number.capitalize()})} {enumerated(items)}."
    questions = [_with_note(question, note) for question, note in zip(plan.asked(refer), notes, strict=True)]
    if style == "joined":
        also = [rng.choice(_ALSO) if rng.random() < 0.5 else "" for _ in questions[1:]]
        further = [f"{word} {text}".strip() for word, text in zip(also, questions[1:], strict=True)]
        return " ".join([questions[0], *further])
    marks = rng.choice(_MARKS)
    return " ".join(f"{mark} {question}" for mark, question in zip(marks, questions, strict=False))


def _with_note(question: str, note: str) -> str:
    return f"{question[:-1]}{note}{question[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower(question: str) -> str:
    """A question after an opening word: a small letter unless it begins with a name or "I"."""
    first = question.split(" ", 1)[0]
    return question[0].lower() + question[1:] if first in _OURS else question
