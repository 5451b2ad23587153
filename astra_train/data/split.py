"""Train and validation by content: nothing that validation asks about was trained on. Never a split by rows.

An entity is a text that the question names and that a gold call takes as it stands (an airport, a film, a month). A
seeded hash of the entity itself decides whether it is held out, so a suite that grows, or another suite with the same
seed, holds out the same things. A spec whose entities are all held out is for validation, one with none held out is for
training, a mixed one is dropped.

Not every such text is an entity: a continent or a weekday returns in so many questions that holding it out would throw
most of a domain away, and knowing it tells nothing. A text that more than `common_share` of a domain's specs name (and
`MIN_COMMON` of them at least) is *common*: both sides may have it. Numbers are never entities (position 3, 16 eggs).
A spec without an entity of its own follows one of its gold calls, drawn by hash.

Then what the two sides still share is removed, from the side that loses the smaller share of itself: a question, a gold
call with its arguments filled in, a held-out entity that another spec meets on the way or has for an answer. So
`check_leakage` is empty. What tools return besides (a table's other rows) is not counted: it is read, never learned.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from astra_train.data.content import Content
from astra_train.data.errors import DataError, LeakageError

COMMON_SHARE = 0.02
MIN_COMMON = 4
Side = Literal["train", "validation"]
DropReason = Literal["mixed entities", "shares a question", "shares a gold call", "meets a held-out entity"]


@dataclass(frozen=True, slots=True)
class Split:
    """The ids of each side, in the order given, and why the others are on neither."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    dropped: Mapping[str, DropReason]
    common: frozenset[str]
    """Texts that were too common to be entities: both sides may name them."""
    seed: int
    validation_share: float
    """Share of the entities that was to be held out."""
    contents: Mapping[str, Content] = field(repr=False)

    def training_part(self, low: float, high: float) -> Split:
        """The same split with only a part of the training envs, drawn by a hash of their ids; validation is whole.

        [0, 0.7) and [0.7, 1) have no env in common and all of them together: one for SFT, so that RL meets new ones.

        Raises: DataError for bounds that are not 0 <= low < high <= 1, or when no env is in the part.
        """
        if not 0 <= low < high <= 1:
            raise DataError(f"a part of the training envs is 0 <= low < high <= 1, found {low:g} to {high:g}")
        kept = tuple(spec_id for spec_id in self.train if low <= _hash(self.seed, f"part {spec_id}") < high)
        if not kept:
            raise DataError(f"none of the {len(self.train)} training envs is in the part {low:g} to {high:g}")
        return replace(self, train=kept)


@dataclass(frozen=True, slots=True)
class Leak:
    """One thing that both sides have, with the first env of each."""

    kind: Literal["entity", "question", "gold call"]
    what: str
    train: str
    validation: str


def common_texts(contents: Iterable[Content], share: float = COMMON_SHARE) -> frozenset[str]:
    """Texts that more than `share` of the specs of one domain name, and `MIN_COMMON` of them at least."""
    specs: Counter[str] = Counter()
    uses: dict[str, Counter[str]] = defaultdict(Counter)
    for content in contents:
        specs[content.domain] += 1
        uses[content.domain].update(content.entities)
    return frozenset(
        text
        for domain, counts in uses.items()
        for text, count in counts.items()
        if count >= MIN_COMMON and count > share * specs[domain]
    )


def split_contents(
    contents: Iterable[Content], *, validation: float = 0.2, seed: int = 0, common_share: float = COMMON_SHARE
) -> Split:
    """Split envs by what they ask about (see the module).

    Args:
        validation: share of the entities to hold out, in (0, 1). As a spec needs all its entities held out, the share
            of the specs that goes to validation is smaller where questions name several.
        common_share: what makes a text common; 1 holds out every text.

    Raises: DataError for shares out of range, an id that comes twice, or a side that stays empty.
    """
    if not 0 < validation < 1 or not 0 < common_share <= 1:
        raise DataError(f"expected 0 < validation < 1 and 0 < common_share <= 1, found {validation}, {common_share}")
    given = list(contents)
    if len({content.id for content in given}) < len(given):
        twice = next(i for i, n in Counter(content.id for content in given).items() if n > 1)
        raise DataError(f"env {twice!r} comes twice; give each spec of a suite once")
    common = common_texts(given, common_share)
    sides: dict[str, Side] = {}
    dropped: dict[str, DropReason] = {}
    for content in given:
        held = [_hash(seed, key) < validation for key in _keys(content, common, seed)]
        if any(held) and not all(held):
            dropped[content.id] = "mixed entities"
        else:
            sides[content.id] = "validation" if any(held) else "train"
    _separate(given, sides, dropped, common)
    split = Split(
        train=tuple(c.id for c in given if sides.get(c.id) == "train"),
        validation=tuple(c.id for c in given if sides.get(c.id) == "validation"),
        dropped=dropped,
        common=common,
        seed=seed,
        validation_share=validation,
        contents={content.id: content for content in given},
    )
    if not split.train or not split.validation:
        raise DataError(
            f"{len(given)} envs gave {len(split.train)} for training and {len(split.validation)} for validation; "
            "give more envs, another seed or another validation share"
        )
    return split


def check_leakage(
    train: Iterable[Content], validation: Iterable[Content], *, common: Collection[str] | None = None
) -> list[Leak]:
    """Everything that both sides have: entities of validation that training mentions, questions, gold calls.

    Args:
        common: texts that both may name; default: found in the two together, as `split_contents` would.
    """
    trained, measured = list(train), list(validation)
    allowed = common_texts([*trained, *measured]) if common is None else frozenset(common)
    leaks: list[Leak] = []
    for kind, of_train, of_validation in _kinds(allowed):
        first_train = _first(trained, of_train)
        first_validation = _first(measured, of_validation)
        shared = sorted(first_train.keys() & first_validation.keys())
        leaks += [Leak(kind, what, first_train[what], first_validation[what]) for what in shared]
    return leaks


def refuse_leakage(
    train: Iterable[Content], validation: Iterable[Content], *, common: Collection[str] | None = None
) -> None:
    """Raises: LeakageError when the two sides share anything, with counts and the first few."""
    leaks = check_leakage(train, validation, common=common)
    if leaks:
        counts = ", ".join(f"{n} of kind {kind}" for kind, n in sorted(Counter(leak.kind for leak in leaks).items()))
        shown = "; ".join(f"{k.kind} {k.what[:80]!r} in {k.train} and {k.validation}" for k in leaks[:3])
        raise LeakageError(
            f"training and validation share {len(leaks)} things ({counts}): {shown}; "
            "split one suite with `astra data`, or leave the shared envs out"
        )


Selector = Callable[[Content], Collection[str]]


def _kinds(
    common: frozenset[str],
) -> tuple[tuple[Literal["entity", "question", "gold call"], Selector, Selector], ...]:
    """What may not be shared: (kind, what a training env has of it, what a validation env has of it)."""
    return (
        ("question", lambda c: (c.question,), lambda c: (c.question,)),
        ("gold call", lambda c: c.calls, lambda c: c.calls),
        ("entity", lambda c: c.mentions | c.entities, lambda c: c.entities - common),
    )


def _first(contents: Iterable[Content], select: Selector) -> dict[str, str]:
    first: dict[str, str] = {}
    for content in contents:
        for what in select(content):
            first.setdefault(what, content.id)
    return first


def _keys(content: Content, common: frozenset[str], seed: int) -> list[str]:
    """What decides the side of a spec: its entities, else one of its gold calls."""
    own = sorted(content.entities - common)
    return own or ["call " + min(content.calls, key=lambda call: (_hash(seed, "draw " + call), call))]


_REASONS: Mapping[str, DropReason] = {
    "question": "shares a question",
    "gold call": "shares a gold call",
    "entity": "meets a held-out entity",
}


def _separate(
    contents: list[Content], sides: dict[str, Side], dropped: dict[str, DropReason], common: frozenset[str]
) -> None:
    """Take out of `sides` what shares something with the other side, from the side that loses less of itself."""
    for kind, of_train, of_validation in _kinds(common):
        select: dict[Side, Selector] = {"train": of_train, "validation": of_validation}
        uses: dict[Side, Counter[str]] = {"train": Counter(), "validation": Counter()}
        sizes: Counter[Side] = Counter(sides.values())
        for content in contents:
            if side := sides.get(content.id):
                uses[side].update(select[side](content))
        losing: dict[Side, set[str]] = {"train": set(), "validation": set()}
        for what in uses["train"].keys() & uses["validation"].keys():
            train_loss = uses["train"][what] * sizes["validation"]
            losing["train" if train_loss <= uses["validation"][what] * sizes["train"] else "validation"].add(what)
        for content in contents:
            side = sides.get(content.id)
            if side is not None and not losing[side].isdisjoint(select[side](content)):
                del sides[content.id]
                dropped[content.id] = _REASONS[kind]


def _hash(seed: int, key: str) -> float:
    """A number in [0, 1) that depends on the seed and the text alone."""
    digest = hashlib.sha256(f"{seed}\0{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
