"""Nothing that validation asks about is trained on."""

from __future__ import annotations

import os
import subprocess
import sys
from random import Random

import pytest

from astra_gym.registration import SHIPPED
from astra_gym.suite import open_suite
from astra_train.data.content import Content, content_of
from astra_train.data.errors import DataError, LeakageError
from astra_train.data.split import Split, check_leakage, common_texts, refuse_leakage, split_contents


def content(
    number: int, entities: set[str], calls: set[str] | None = None, question: str = "", **more: object
) -> Content:
    texts = frozenset(entities)
    made = frozenset(calls if calls is not None else {f"look_up {sorted(entities)} {number}"})
    values = {"mentions": texts, "domain": "towns", "hops": 1, **more}
    return Content(f"env-{number}-v0", question or f"question {number}", texts, calls=made, **values)  # type: ignore[arg-type]


def random_suite(count: int, seed: int = 0) -> list[Content]:
    """Envs over 400 towns, with a continent in a third of them and calls that several envs share."""
    rng = Random(seed)
    made = []
    for number in range(count):
        towns = {f"town {rng.randrange(400)}" for _ in range(rng.choice([1, 1, 1, 2, 3]))}
        common = {f"continent {rng.randrange(4)}"} if rng.random() < 0.3 else set()
        calls = {f"look_up {town}" for town in towns} | {f"list {c} {rng.randrange(6)}" for c in common}
        met = frozenset({f"town {rng.randrange(400)}"}) if rng.random() < 0.2 else frozenset()
        made.append(content(number, towns | common, calls, mentions=frozenset(towns | common) | met))
    return made


def sides(split: Split) -> tuple[list[Content], list[Content]]:
    return [split.contents[i] for i in split.train], [split.contents[i] for i in split.validation]


@pytest.mark.parametrize("seed", range(4))
def test_the_sides_share_nothing_and_every_env_is_accounted_for(seed: int) -> None:
    given = random_suite(1500, seed)
    split = split_contents(given, validation=0.25, seed=seed)
    assert check_leakage(*sides(split), common=split.common) == []
    named = [*split.train, *split.validation, *split.dropped]
    assert sorted(named) == sorted(c.id for c in given)
    assert min(len(split.train), len(split.validation)) > 100
    held_out = {text for c in sides(split)[1] for text in c.entities - split.common}
    assert held_out.isdisjoint(text for c in sides(split)[0] for text in c.mentions)


def test_common_texts_stand_on_both_sides_and_rare_ones_do_not() -> None:
    split = split_contents(random_suite(1500), validation=0.25)
    assert split.common == {f"continent {i}" for i in range(4)}
    trained, measured = sides(split)
    for part in (trained, measured):
        assert {text for c in part for text in c.entities} >= split.common


def test_without_common_texts_everything_is_held_out() -> None:
    split = split_contents(random_suite(1500), validation=0.25, common_share=1.0)
    assert split.common == frozenset()
    assert check_leakage(*sides(split), common=()) == []


def test_what_is_held_out_stays_so_when_the_suite_grows() -> None:
    small = split_contents(random_suite(400), validation=0.3, seed=5)
    large = split_contents(random_suite(3000), validation=0.3, seed=5)
    held_out = {text for c in sides(small)[1] for text in c.entities - small.common}
    trained = {text for c in sides(large)[0] for text in c.entities}
    assert held_out
    assert held_out.isdisjoint(trained)


def test_another_seed_holds_out_other_entities() -> None:
    given = random_suite(600)
    assert split_contents(given, seed=1).validation != split_contents(given, seed=2).validation


def test_envs_without_entities_follow_their_gold_calls() -> None:
    given = [content(i, set(), {f"multiply {i // 3}"}) for i in range(300)]  # three envs a call
    split = split_contents(given, validation=0.3)
    assert not split.dropped
    assert 45 < len(split.validation) < 135
    assert check_leakage(*sides(split), common=split.common) == []


def test_one_question_asked_twice_is_on_one_side() -> None:
    given = [content(i, {f"town {i}"}, question=f"question {i // 2}") for i in range(400)]
    split = split_contents(given, validation=0.3)
    assert set(split.dropped.values()) == {"shares a question"}
    questions = [{c.question for c in part} for part in sides(split)]
    assert questions[0].isdisjoint(questions[1])


def test_each_kind_of_leak_is_found_with_both_envs() -> None:
    train = [
        content(1, {"oslo"}, {"a 1"}, "q 1"),
        content(2, {"rome"}, {"b 2"}, "q 2", mentions=frozenset({"bern", "rome"})),
    ]
    validation = [content(3, {"paris"}, {"a 1"}, "q 3"), content(4, {"bern"}, {"c"}, "q 2")]
    leaks = {(leak.kind, leak.what, leak.train, leak.validation) for leak in check_leakage(train, validation)}
    assert leaks == {
        ("gold call", "a 1", "env-1-v0", "env-3-v0"),
        ("question", "q 2", "env-2-v0", "env-4-v0"),
        ("entity", "bern", "env-2-v0", "env-4-v0"),
    }


def test_leaks_are_refused_with_counts_and_examples() -> None:
    train, validation = [content(1, {"oslo"})], [content(2, {"oslo"})]
    with pytest.raises(
        LeakageError, match=r"share 1 things \(1 of kind entity\): entity 'oslo' in env-1-v0 and env-2-v0"
    ):
        refuse_leakage(train, validation)
    refuse_leakage(train, [content(3, {"rome"})])


@pytest.mark.parametrize(
    ("given", "options", "what"),
    [
        ([content(1, {"a"})] * 2, {}, "comes twice"),
        ([content(1, {"a"})], {}, "another validation share"),
        (random_suite(50), {"validation": 1.0}, "expected 0 < validation < 1"),
        (random_suite(50), {"common_share": 0.0}, "common_share"),
    ],
)
def test_splits_that_cannot_be_are_refused(given: list[Content], options: dict[str, float], what: str) -> None:
    with pytest.raises(DataError, match=what):
        split_contents(given, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("common_share", [0.02, 1.0])
def test_the_shipped_suite_splits_without_a_leak(common_share: float) -> None:
    given = [content_of(spec) for spec in open_suite(SHIPPED)]
    split = split_contents(given, validation=0.3, common_share=common_share)
    assert check_leakage(*sides(split), common=split.common) == []
    assert len(split.train) > 25
    assert len(split.validation) > 5


def test_a_text_must_be_named_by_several_envs_to_be_common() -> None:
    few = [content(i, {"oslo"}) for i in range(3)] + [content(i, {f"town {i}"}) for i in range(3, 20)]
    assert common_texts(few) == frozenset()
    assert common_texts([*few, content(20, {"oslo"})]) == {"oslo"}


def test_twenty_thousand_envs_split_alike_under_any_hash_seed() -> None:
    script = (
        "from tests.train.data.test_split import random_suite\n"
        "from astra_train.data.split import split_contents\n"
        "import hashlib\n"
        "split = split_contents(random_suite(20000), validation=0.2)\n"
        "told = repr((split.train, split.validation, sorted(split.dropped.items()))).encode()\n"
        "print(hashlib.sha256(told).hexdigest(), len(split.train), len(split.validation))\n"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert printed[0] == printed[1]
    assert int(printed[0].split()[2]) > 500


def test_parts_of_the_training_envs_share_none_and_validation_stays() -> None:
    split = split_contents(random_suite(1500), validation=0.25)
    low, high = split.training_part(0, 0.7), split.training_part(0.7, 1)
    assert not set(low.train) & set(high.train)
    assert sorted([*low.train, *high.train]) == sorted(split.train)
    assert low.validation == high.validation == split.validation
    assert 0.6 < len(low.train) / len(split.train) < 0.8
    assert split.training_part(0, 1).train == split.train
    for bounds in ((0.5, 0.5), (-0.1, 0.5), (0.5, 1.1), (0.7, 0.2)):
        with pytest.raises(DataError, match="low < high"):
            split.training_part(*bounds)
    with pytest.raises(DataError, match="none of the"):
        split.training_part(0, 1e-9)
