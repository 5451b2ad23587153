"""The names most like one that does not exist: what an error offers instead.

It stays fast among a hundred thousand names: a count of shared trigrams leaves a few hundred, and only those are
compared by `difflib`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from difflib import SequenceMatcher

CANDIDATES = 200
"""How many names the trigram count leaves for the exact comparison."""
LEAST_RATIO = 0.4
"""`SequenceMatcher.ratio` below which a name is not offered at all."""


def nearest(name: str, names: Iterable[str], n: int = 5) -> list[str]:
    """At most `n` of `names`, most alike first, ties in alphabetical order; case does not count."""
    wanted = name.lower()
    grams = {wanted[i : i + 3] for i in range(max(1, len(wanted) - 2))}

    def shared(candidate: str) -> int:
        folded = candidate.lower()
        return sum(gram in folded for gram in grams)

    likely = heapq.nlargest(CANDIDATES, names, key=shared)
    matcher = SequenceMatcher(autojunk=False, b=wanted)
    rated: list[tuple[float, str]] = []
    for candidate in likely:
        matcher.set_seq1(candidate.lower())
        if (ratio := matcher.ratio()) >= LEAST_RATIO:
            rated.append((-ratio, candidate))
    return [candidate for _, candidate in sorted(rated)[:n]]
