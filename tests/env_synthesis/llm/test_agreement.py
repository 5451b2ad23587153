"""Agreement of judges, thresholds and the percentile gate."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from astra_gym.env_synthesis.llm.agreement import agreement, agreement_by_check, cohen_kappa, fleiss_kappa
from astra_gym.env_synthesis.llm.thresholds import DIMENSIONS, Thresholds, gated, overall, percentile_gate
from astra_gym.types import Verdict

T, F = True, False


@pytest.mark.parametrize(
    ("first", "second", "kappa"),
    [
        ([T, T, F, F], [T, T, F, F], 1.0),
        ([T, T, F, F], [F, F, T, T], -1.0),
        # A worked example of the textbooks: 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no.
        ([T] * 25 + [F] * 25, [T] * 20 + [F] * 5 + [T] * 10 + [F] * 15, 0.4),
        ([T, T], [T, T], None),
        ([], [], None),
        ([T, None, F], [T, F, None], None),
        ([T, F, None], [T, F, T], 1.0),
    ],
)
def test_cohens_kappa(first, second, kappa):
    assert cohen_kappa(first, second) == pytest.approx(kappa)


def test_cohens_kappa_is_of_the_same_units():
    with pytest.raises(ValueError, match="found 1 and 2"):
        cohen_kappa([T], [T, F])


@pytest.mark.parametrize(
    ("units", "kappa"),
    [
        ([[T, T, T], [F, F, F]], 1.0),
        ([[T, T, F], [T, F, F]], -1 / 3),
        ([[T, T, T], [T, T, T]], None),
        ([[T], [F]], None),
        ([[T, T, None], [F, F, None], [None, None, T]], 1.0),
    ],
)
def test_fleiss_kappa(units, kappa):
    assert fleiss_kappa(units) == pytest.approx(kappa)


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1))
def test_agreement_is_at_most_one_and_does_not_depend_on_who_is_asked_first(units):
    found = agreement(units)
    turned = agreement([unit[::-1] for unit in units])
    assert (found.units, found.judges) == (len(units), 3)
    assert found == turned
    assert found.kappa is None or found.kappa <= 1 + 1e-12


def test_agreement_over_a_run_is_by_check():
    def verdict(check: str, votes: dict[str, list[bool | None]]) -> Verdict:
        return Verdict(check=check, status="pass", evidence={"votes": votes})

    found = agreement_by_check(
        [
            verdict("atomicity", {"q1": [T, T], "q2": [F, F]}),
            verdict("atomicity", {"q1": [T, F]}),
            verdict("completeness", {"whole": [T]}),
            Verdict(check="final_answer", status="pass", evidence={"answer_from": "q1"}),
        ]
    )
    assert found.keys() == {"atomicity", "completeness"}
    assert (found["atomicity"].units, found["atomicity"].observed) == (3, pytest.approx(2 / 3))
    assert found["completeness"].units == 0


@pytest.mark.parametrize("bad", [{"dependency": 0}, {"atomicity": 1.2}, {"completeness": -1}, {"soundness": 1}])
def test_a_minimum_is_a_share_above_nothing(bad):
    with pytest.raises(ValidationError):
        Thresholds(**bad)


def test_the_overall_score_needs_all_four():
    four = [Verdict(check=name, status="pass", evidence={"score": 0.5 + i / 8}) for i, name in enumerate(DIMENSIONS)]
    assert overall(four) == pytest.approx(0.6875)
    assert overall(four[:3]) is None
    assert overall([*four[:3], four[3].model_copy(update={"status": "unknown"})]) is None
    assert overall([*four[:3], four[3].model_copy(update={"evidence": {"score": None}})]) is None


def test_the_percentile_gate_keeps_its_share_of_equals():
    scores = {f"item-{i}": 1.0 if i < 260 else 0.9 for i in range(1000)}
    kept = percentile_gate(scores, 90)
    assert len(kept) == 100
    assert all(scores[key] == 1.0 for key in kept)
    backwards = dict(reversed(scores.items()))
    assert percentile_gate(backwards, 90) == kept


@given(st.dictionaries(st.text(max_size=4), st.floats(0, 1)), st.floats(0, 99.9))
def test_the_gate_keeps_the_best(scores, percentile):
    kept = percentile_gate(scores, percentile)
    assert len(kept) <= math.ceil(len(scores) * (100 - percentile) / 100)
    lost = [score for key, score in scores.items() if key not in kept]
    assert not lost or not kept or max(lost) <= min(scores[key] for key in kept)


@pytest.mark.parametrize(("scores", "percentile"), [({"a": 1.0}, 100), ({"a": 1.0}, -1), ({"a": math.nan}, 50)])
def test_a_gate_that_makes_no_sense_is_refused(scores, percentile):
    with pytest.raises(ValueError, match=r"percentile|finite"):
        percentile_gate(scores, percentile)


def test_what_the_gate_leaves_out_is_told_its_score():
    rejected = gated("item-1", 0.75, 90)
    assert (rejected.stage, rejected.reason) == (
        "percentile",
        "its mean score 0.750 is not among the best 10 % of the run",
    )
