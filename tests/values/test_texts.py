"""What is folded away between texts that mean the same, and what is not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_gym.values.texts import fold, readings_as_list, well_formed

ANY = settings(deadline=None, database=None)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Paris", "  paris\n"),
        ("São Paulo", "SAO PAULO"),
        ("Ｐａｒｉｓ", "Paris"),
        ("Straße", "STRASSE"),
        ("Łódź", "Lodz"),
        ("Ærø", "AERO"),
        ("U.S.A.", "USA"),
        ("Washington, D.C.", "Washington DC"),
        ("Jean-Luc Godard", "Jean Luc Godard"),
        ("O'Brien", "O’Brien"),
        ("The Beatles", "beatles"),
        ("an apple", "apple"),
        ("Simon & Garfunkel", "Simon and Garfunkel"),
        ("1,500 miles", "1500 miles"),
        ("“quoted”", "quoted"),
        ("zero\u200bwidth", "zerowidth"),
        ("北京。", "北京"),
        ("snake_case", "snake case"),
        ("St. Louis", "St Louis"),
    ],
)
def test_spellings_of_one_thing_fold_alike(left, right):
    assert fold(left) == fold(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("C", "C++"),
        ("C", "C#"),
        ("-5", "5"),
        ("3.5", "35"),
        ("10²", "102"),
        ("か", "が"),
        ("Paris", "Paris Hilton"),
        ("The Who", "The What"),
        ("12", "12%"),
        ("a", "b"),
        ("$5", "5"),
        ("?", "!"),
        ("1,50", "150"),
    ],
)
def test_different_things_fold_apart(left, right):
    assert fold(left) != fold(right)


def test_a_lone_surrogate_folds_as_what_replaces_it_in_files():
    assert fold("a\ud800") == fold(well_formed("a\ud800")) == "a\ufffd"


def test_an_article_alone_stays():
    assert fold("The") == "the"
    assert fold("A") == "a"


@ANY
@given(st.text(st.characters(), max_size=400))
def test_folding_never_raises_and_is_blank_only_for_blank_text(text):
    folded = fold(text)
    assert bool(folded) or not text.strip()
    assert fold(f" {text.upper().lower()}\t") == fold(text.upper().lower())


@ANY
@given(st.text(st.characters(categories=["Lu", "Ll", "N", "Cs"]), max_size=30))
def test_text_with_lone_surrogates_becomes_writable(text):
    well_formed(text).encode()
    assert well_formed(well_formed(text)) == well_formed(text)


def test_a_written_list_is_cut_in_every_way():
    assert ["a", "b", "c"] in readings_as_list("a, b and c")
    assert ["a", "b and c"] in readings_as_list("a; b and c")
    assert ["Crouching Tiger, Hidden Dragon", "Up"] in readings_as_list("- Crouching Tiger, Hidden Dragon\n- Up")
    assert ["x, y"] in readings_as_list("x, y")
