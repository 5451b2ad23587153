"""A final answer as a sentence instead of the bare value."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from astra_gym.answers import Answer
from astra_gym.records import JSON

_VALUE = ("The answer is {}.", "I looked it up: it is {}.", "According to the tools, the answer is {}.")
_AMOUNT = ("That comes to {}.", "The result is {}.", "According to the tools, it is {}.", "The answer is {}.")
_LIST = ("The answers, in order: {}", "Here is what the tools say: {}", "In the order asked: {}")
_SET = ("These are the ones: {}", "The tools list these: {}", "Found: {}")
_YES = ("Yes, it is.", "Yes, that is the case.", "Yes, the tools confirm it.")
_NO = ("No, it is not.", "No, that is not the case.", "No, the tools say otherwise.")


def in_words(answer: Answer, rng: Random) -> str | None:
    """A sentence that gives `answer` and that its check accepts; None when no sentence at hand does."""
    sentences = list(_sentences(answer))
    rng.shuffle(sentences)
    bare = answer.render()
    return next((text for text in sentences if text != bare and answer.matches_text(text)), None)


def _sentences(answer: Answer) -> Iterator[str]:
    if answer.kind == "bool":
        yield from _YES if answer.value else _NO
    elif answer.kind in ("list", "set"):
        forms = _LIST if answer.kind == "list" else _SET
        for listed in _listings(answer.value):
            yield from (form.format(listed) for form in forms)
    elif answer.kind in ("number", "money", "percentage"):
        yield from (form.format(answer.render()) for form in _AMOUNT)
    else:
        yield from (form.format(answer.render()) for form in _VALUE)


def _listings(items: list[JSON]) -> Iterator[str]:
    """The items as a sentence would list them; not nested ones."""
    if items and all(isinstance(item, str | int | float) and not isinstance(item, bool) for item in items):
        texts = [str(item) for item in items]
        if not any("," in text for text in texts):
            yield ", ".join(texts)
        if not any(";" in text for text in texts):
            yield "; ".join(texts)
