"""How varied questions are: the frame of a question is what is left when names, values and figures are masked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from astra_gym.records import JSON
from astra_gym.types import ToolEnvSpec, is_ref

_FIGURE = re.compile(r"\d[\d,.]*\d|\d")
_NUMBER_WORD = re.compile(r"\b(two|three|four|five|second|third|fourth|fifth|first)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FrameStatistics:
    """What `frame_statistics` found over a number of specs."""

    specs: int
    distinct_questions: int
    distinct_frames: int
    commonest: str
    commonest_share: float
    """Share of the specs whose question has the commonest frame."""


def frame_of(spec: ToolEnvSpec) -> str:
    """The question with every literal gold argument, figure and number word masked."""
    text = spec.question
    literals = {str(value) for sub in spec.needed if sub.call for value in _literals(sub.call.arguments)}
    for literal in sorted(literals, key=lambda literal: (-len(literal), literal)):
        text = re.sub(rf"(?<!\w){re.escape(literal)}(?!\w)", "<X>", text)
    return _NUMBER_WORD.sub("<N>", _FIGURE.sub("<N>", text))


def frame_statistics(specs: Iterable[ToolEnvSpec]) -> FrameStatistics:
    """How many questions and frames are distinct, and how common the commonest frame is."""
    specs = list(specs)
    frames = Counter(map(frame_of, specs))
    commonest, times = min(frames.items(), key=lambda item: (-item[1], item[0]))
    questions = len({spec.question for spec in specs})
    return FrameStatistics(len(specs), questions, len(frames), commonest, times / len(specs))


def _literals(value: JSON) -> Iterable[JSON]:
    if is_ref(value):
        return
    if isinstance(value, dict):
        for item in value.values():
            yield from _literals(item)
    elif isinstance(value, list):
        for item in value:
            yield from _literals(item)
    else:
        yield value
