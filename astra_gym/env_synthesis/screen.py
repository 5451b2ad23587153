"""Near-duplicates: questions that resemble one another, or stand in files that a suite must not share anything with.

Both go by word 5-grams (ASTRA, arXiv 2601.21558, has no such screen; n-gram overlap is how contamination of test sets
is usually looked for, e.g. arXiv 2005.14165, appendix C). The n-grams themselves are compared, by their hashes, not
sketches of them: a suite has few enough, and the outcome depends on nothing but the texts and their order.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from astra_gym.errors import PipelineError
from astra_gym.records import JSON
from astra_gym.types import Rejected, ToolEnvSpec

N = 5
ALIKE = 0.8
"""Jaccard index of the n-grams of two questions from which one is a duplicate of the other."""
CONTAINED = 0.8
"""Share of a question's n-grams in one screened line from which it counts as contaminated."""
_LONGEST_LINE = 64 << 20
_WORD = re.compile(r"[぀-ヿ㐀-鿿가-힯฀-๿]|[^\W_぀-ヿ㐀-鿿가-힯฀-๿]+")
"""A word; in scripts written without spaces, each sign."""


def ngrams(text: str) -> frozenset[int]:
    """Hashes of the n-grams of a text, case, accents and punctuation away; of a short text the whole is one."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    words = _WORD.findall(plain)
    if not words:
        return frozenset()
    grams = (words[i : i + N] for i in range(max(1, len(words) - N + 1)))
    return frozenset(_hash(gram) for gram in grams)


def _hash(words: Sequence[str]) -> int:
    return int.from_bytes(hashlib.blake2b("\0".join(words).encode(), digest_size=8).digest(), "little")


class NearDuplicates:
    """The questions seen so far, and which of them a new one resembles."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._sizes: list[int] = []
        self._holders: dict[int, list[int]] = {}

    def nearest(self, text: str) -> tuple[str, float] | None:
        """The most alike so far and its Jaccard index, the first of equals; None when nothing is shared."""
        grams = ngrams(text)
        shared = Counter(holder for gram in grams for holder in self._holders.get(gram, ()))
        if not shared:
            return None
        alike = {holder: n / (len(grams) + self._sizes[holder] - n) for holder, n in shared.items()}
        best = min(alike, key=lambda holder: (-alike[holder], holder))
        return self._names[best], alike[best]

    def add(self, name: str, text: str) -> None:
        """Remember a question under the name of its env."""
        grams = ngrams(text)
        for gram in grams:
            self._holders.setdefault(gram, []).append(len(self._names))
        self._names.append(name)
        self._sizes.append(len(grams))

    def against(self, spec: ToolEnvSpec, item_id: str) -> Rejected | None:
        """The rejection of an env whose question is nearly one that is there already."""
        found = self.nearest(spec.question)
        if found is None or found[1] < ALIKE:
            return None
        name, alike = found
        return Rejected(
            id=item_id,
            stage="duplicate",
            reason=f"the question is nearly that of {name}: {alike:.0%} of their word {N}-grams are shared",
            evidence={"question": spec.question, "like": name, "jaccard": round(alike, 3)},
        )


@dataclass(frozen=True, slots=True)
class Screened:
    """Where a question was found again."""

    file: str
    line: int
    share: float
    """Of the question's n-grams, those that stand in that line."""


class Contamination:
    """The n-grams of files that a suite must share no question with, sorted, with their lines."""

    def __init__(self, files: Sequence[Path]) -> None:
        """Read the files: JSON Lines (every text in a record counts) or plain text (line by line).

        Raises: PipelineError when one cannot be read.
        """
        self._files = list(files)
        hashes: list[int] = []
        places: list[int] = []
        self._lines: list[tuple[int, int]] = []
        for number, path in enumerate(self._files):
            for line, texts in _texts(path):
                place = len(self._lines)
                self._lines.append((number, line))
                for gram in set[int]().union(*(ngrams(text) for text in texts)):
                    hashes.append(gram)
                    places.append(place)
        found = np.array(hashes, dtype=np.uint64)
        order = np.argsort(found, kind="stable")
        self._hashes = found[order]
        self._places = np.array(places, dtype=np.int64)[order]

    def find(self, text: str) -> Screened | None:
        """The line that shares most with `text`, the first of equals; None when none shares anything."""
        grams = np.array(sorted(ngrams(text)), dtype=np.uint64)
        starts, ends = (np.searchsorted(self._hashes, grams, side=side) for side in ("left", "right"))
        shared = Counter(
            int(place) for start, end in zip(starts, ends, strict=True) for place in self._places[start:end]
        )
        if not shared:
            return None
        best = min(shared, key=lambda place: (-shared[place], place))
        number, line = self._lines[best]
        return Screened(self._files[number].name, line, shared[best] / len(grams))

    def against(self, spec: ToolEnvSpec, item_id: str) -> Rejected | None:
        """The rejection of an env whose question stands in a screened file."""
        found = self.find(spec.question)
        if found is None or found.share < CONTAINED:
            return None
        return Rejected(
            id=item_id,
            stage="contamination",
            reason=f"{found.share:.0%} of the question's word {N}-grams stand in {found.file}:{found.line}",
            evidence={
                "question": spec.question,
                "file": found.file,
                "line": found.line,
                "share": round(found.share, 3),
            },
        )


def _texts(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, texts) of each line that says something. A line that is no JSON is taken as text."""
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), start=1):
                try:
                    texts = list(_strings(orjson.loads(raw)))
                except orjson.JSONDecodeError:
                    texts = [raw.decode(errors="replace")]
                if any(text.strip() for text in texts):
                    yield number, texts
    except OSError as error:
        raise PipelineError(f"{path}: cannot be screened against: {error.strerror}") from error


def _strings(value: JSON) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
