"""Arguments for a tool by a fixed rule from the text of a question: what the trivial policies fill their calls with.

Texts are the quoted, else the capitalised parts of the question; numbers are its numbers, in figures or as words up to
twenty. Each is used once, in order. No model, no look at the tools' data, no gold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from astra_gym.records import JSON

QUOTED = re.compile(r"\"([^\"]{1,120})\"|“([^”]{1,120})”|«([^»]{1,120})»")
NUMBER = re.compile(r"(?<![\w.])-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|(?<![\w.])-?\d+(?:\.\d+)?")
WORD = re.compile(r"[^\W_][\w'’.&/-]*|[^\w\s]|\n")
LONGEST_ABBREVIATION = 4
"""Characters up to which a word with a full stop, as in "St.", does not end a sentence."""
LINKS = frozenset(("of", "the", "de", "la", "del", "da", "do", "von", "van", "and", "di", "du", "le"))
"""Small words that may stand inside a name, never at its end."""
_ASKING = "which what who whose whom when where how why is are was were do does did has have"
_OTHERS = "in on at for of from if given take find compare move let use and"
OPENERS = frozenset(f"{_ASKING} {_OTHERS}".split())
"""Words that begin sentences and no names."""
SMALL = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
TEENS = ("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty")
NUMBER_WORDS = {word: value for value, word in enumerate(SMALL + TEENS)}
Schema = Mapping[str, Any]


class ArgumentRule:
    """The parts of one question, handed out in order; the last one again when they are used up."""

    def __init__(self, question: str) -> None:
        self._texts = quoted(question) or names(question) or [question.strip()]
        self._numbers = numbers(question) or [1]
        self._next = {"text": 0, "number": 0}
        self.results: list[JSON] = []
        """What earlier calls gave, the latest at the end; a later tool's first argument of that kind takes it."""

    def arguments(self, function: Schema) -> dict[str, JSON]:
        """A value for each required parameter of a tool (its `function` object in the OpenAI form)."""
        parameters = function.get("parameters", {})
        properties = parameters.get("properties", {})
        waiting = list(self.results[-1:])
        return {name: self._value(properties.get(name, {}), waiting) for name in parameters.get("required", [])}

    def _value(self, schema: Any, waiting: list[JSON]) -> JSON:
        schema = schema if isinstance(schema, Mapping) else {}
        for key in ("const", "default"):
            if key in schema:
                return schema[key]
        if schema.get("enum"):
            return schema["enum"][0]
        kinds = schema.get("type", "string")
        kind = kinds[0] if isinstance(kinds, list) else kinds
        if waiting and _fits(waiting[-1], kind):
            return waiting.pop()
        match kind:
            case "number":
                return self._take("number")
            case "integer":
                return int(self._take("number"))
            case "boolean":
                return True
            case "array":
                return self._list(schema.get("items", {}))
            case "object":
                return {name: self._value(s, waiting) for name, s in schema.get("properties", {}).items()}
        return self._take("text")

    def _list(self, items: Any) -> list[JSON]:
        kind = items.get("type", "string") if isinstance(items, Mapping) else "string"
        return list(self._numbers) if kind in ("number", "integer") else list(self._texts)

    def _take(self, kind: str) -> Any:
        values: Sequence[JSON] = self._texts if kind == "text" else self._numbers
        position = self._next[kind]
        self._next[kind] = position + 1
        return values[min(position, len(values) - 1)]


def _fits(value: JSON, kind: str) -> bool:
    if isinstance(value, bool) or value is None:
        return kind == "boolean" and value is not None
    if isinstance(value, str):
        return kind == "string"
    if isinstance(value, list):
        return kind == "array"
    return kind == "number" or (kind == "integer" and isinstance(value, int))


def quoted(question: str) -> list[str]:
    """The parts of the question in quotation marks."""
    return [next(part for part in match.groups() if part) for match in QUOTED.finditer(question)]


def names(question: str) -> list[str]:
    """The capitalised parts of the question: runs of words in capitals, with `LINKS` and numbers inside them.

    A single word at the start of a sentence comes last: it is a name now and then. Single letters are left out.
    """
    found: list[tuple[bool, str]] = []
    run: list[str] = []
    starts, run_starts = True, False
    for word in [*WORD.findall(question), "?"]:
        bare = word.rstrip(".")
        if run and _goes_on(bare) and not (run_starts and len(run) == 1 and bare.isdigit()):
            run.append(word)
        elif not run and bare[:1].isupper() and not (starts and bare.lower() in OPENERS):
            run, run_starts = [word], starts
        starts = word in "?!:()\n" or (word.endswith(".") and not _abbreviated(word))
        if run and (starts or word != run[-1]):
            name = _name(run)
            if len(name) > 1:
                found.append((run_starts and " " not in name, name))
            run = []
    return list(dict.fromkeys(name for _, name in sorted(found, key=lambda item: item[0])))


def _abbreviated(word: str) -> bool:
    return word[:1].isupper() and len(word) <= LONGEST_ABBREVIATION


def _goes_on(word: str) -> bool:
    return word[:1].isupper() or word.lower() in LINKS or word.isdigit()


def _name(run: list[str]) -> str:
    while run and run[-1].lower() in LINKS:
        run.pop()
    return " ".join(run).rstrip(".").removesuffix("'s").removesuffix("’s")


def numbers(question: str) -> list[int | float]:
    """The numbers of the question in order, as figures or as words up to twenty."""
    pattern = rf"{NUMBER.pattern}|\b(?:{'|'.join(NUMBER_WORDS)})\b"
    return [_number(match.group().lower()) for match in re.finditer(pattern, question, re.IGNORECASE)]


def _number(text: str) -> int | float:
    if text in NUMBER_WORDS:
        return NUMBER_WORDS[text]
    value = float(text.replace(",", ""))
    return int(value) if value.is_integer() and "." not in text else value
