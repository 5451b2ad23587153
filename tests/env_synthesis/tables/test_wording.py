"""Questions in English: phrases, nesting, what is masked when frames are counted."""

from __future__ import annotations

import re
from functools import cache
from itertools import islice
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_gym.env_synthesis.sources.base import Item
from astra_gym.env_synthesis.sources.tables import TablesSource, load_domain
from astra_gym.env_synthesis.sources.tables.completing import plural_of, singular
from astra_gym.env_synthesis.sources.tables.framing import body
from astra_gym.env_synthesis.sources.tables.kinds import COUNT, POSITION, Kind
from astra_gym.env_synthesis.sources.tables.measuring import frame_of
from astra_gym.env_synthesis.sources.tables.operation import Operation
from astra_gym.env_synthesis.sources.tables.operators import operations
from astra_gym.env_synthesis.sources.tables.phrases import cardinal, enumerated, fill, ordinal, sentence, show
from astra_gym.env_synthesis.sources.tables.programs import Program
from astra_gym.env_synthesis.sources.tables.telling import precision_note
from astra_gym.env_synthesis.sources.tables.world import WorldMaker
from astra_gym.types import ToolEnvSpec


@cache
def specs() -> tuple[ToolEnvSpec, ...]:
    source = TablesSource(seed=21, max_hops=6)
    built = [source.build(item) for item in islice(source.items(), 320) if isinstance(item, Item)]
    return tuple(spec for spec in built if isinstance(spec, ToolEnvSpec))


@cache
def airports() -> dict[str, Operation]:
    return {operation.name: operation for operation in operations(load_domain("airports").description)}


@pytest.mark.parametrize(
    ("phrases", "expected"),
    [
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
        (["a, or so", "b"], "a, or so; and b"),
        (["a, or so", "b", "c"], "a, or so; b; and c"),
    ],
)
def test_enumerations(phrases: list[str], expected: str) -> None:
    assert enumerated(phrases) == expected


def test_values_are_shown_as_people_write_them() -> None:
    assert show(Kind("number", "elevation", "ft"), 12345.0) == "12,345 feet"
    assert show(Kind("number", "count"), 7) == "7"
    assert show(POSITION, 3) == "third"
    assert show(COUNT, 4) == "four"
    assert show(Kind("entities", "x"), ["a", "b"]) == "a and b"
    assert (ordinal(11), cardinal(40)) == ("11th", "40")


@given(st.text(), st.text())
def test_what_is_filled_in_is_never_filled_again(a: str, b: str) -> None:
    assert fill("{x} and {y}", {"x": "{y}" + a, "y": b}) == "{y}" + a + " and " + b


def test_a_sentence_keeps_the_case_of_a_name() -> None:
    assert sentence("the height of iron-56") == "The height of iron-56."
    assert sentence("iron-56 is what?") == "iron-56 is what?"
    assert sentence("is iron denser?") == "Is iron denser?"


@pytest.mark.parametrize(
    ("one", "many"), [("city", "cities"), ("day", "days"), ("box", "boxes"), ("church", "churches"), ("bus", "buses")]
)
def test_guessed_plurals(one: str, many: str) -> None:
    assert plural_of(one) == many


@pytest.mark.parametrize(
    ("many", "one"), [("cities", "city"), ("orders", "order"), ("boxes", "box"), ("status", "status"), ("bus", "bus")]
)
def test_guessed_singulars(many: str, one: str) -> None:
    assert singular(many) == one


def test_literal_arguments_stand_in_the_question_as_they_are() -> None:
    for spec in specs():
        for sub in spec.needed:
            assert sub.call is not None
            for value in sub.call.arguments.values():
                if isinstance(value, str):
                    assert value in spec.question, (spec.id, value, spec.question)


def test_no_slot_is_left_open_and_nothing_is_doubled() -> None:
    for spec in specs():
        for text in (spec.question, *(sub.question for sub in spec.sub_questions)):
            assert not re.search(r"[{}]|  |\.\.|\?\.|\.\?|,,| ,| \.|\bthe the\b|\bof of\b|\bin in\b", text), text
            assert text[-1] in ".?!:", text
            assert not re.search(r"\bthe ([a-z]+ ?[a-z]+) (that|this|the) \1\b", text), text


def test_numbers_are_asked_for_with_their_unit_and_rounding() -> None:
    asked = [spec for spec in specs() if spec.answer.kind == "number" and spec.answer.unit == "km"]
    assert asked
    for spec in asked:
        assert "kilometres" in spec.question
        assert "rounded to" in spec.question


def test_two_phrases_side_by_side_are_not_run_together() -> None:
    """ "between the country that A belongs to and B" would leave open where the inner phrase ends."""
    world = WorldMaker(load_domain("airports")).draw(Random(4))
    program = Program(world)
    names = list(world["airports"])
    nearest = program.add(airports()["nearest_airport_to"], {"airport": names[0]})
    other = next(name for name in names if name not in (names[0], nearest.value))
    given_names = {"first_airport": nearest, "second_airport": other}
    program.add(airports()["distance_between_airports_km"], given_names)
    told = [body(program, Random(seed)) for seed in range(60)]
    assert not any(re.search(rf"{re.escape(names[0])}[^.?;:]* and {re.escape(other)}", text) for text in told)
    assert len(set(told)) > 40


def test_what_a_converted_figure_is_given_in_is_said_once() -> None:
    world = WorldMaker(load_domain("airports")).draw(Random(4))
    program = Program(world)
    key = next(name for name, row in world["airports"].items() if (row["elevation_ft"] or 0) > 10)
    height = program.add(airports()["airport_elevation"], {"airport": key})
    metres = program.add(airports()["convert_ft_to_m"], {"ft": height})
    assert precision_note(height) == "in feet"
    assert precision_note(metres) == "rounded to two decimals"


def test_a_frame_masks_names_figures_and_number_words() -> None:
    spec = next(spec for spec in specs() if spec.domain == "weather" and re.search(r"\d{4}-\d\d-\d\d", spec.question))
    frame = frame_of(spec)
    assert not re.search(r"\d", frame)
    assert "<X>" in frame or "<N>" in frame
