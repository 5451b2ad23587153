"""The MuSiQue door on the made-up records of `musique_records.py`."""

from __future__ import annotations

import pickle
from typing import Any

import orjson
import pytest

from astra_gym.certify import Certifier
from astra_gym.env_synthesis.sources.musique import MusiqueSource
from astra_gym.types import Certificate, Rejected, ToolEnvSpec
from tests.env_synthesis.musique_records import BAD, GOOD, LEAKS, record


@pytest.fixture
def build(tmp_path):
    def build(*records: dict[str, Any]) -> list[Any]:
        path = tmp_path / "hops.jsonl"
        path.write_bytes(b"\n".join(map(orjson.dumps, records)))
        source = MusiqueSource(path)
        return [source.build(item) for item in source.items()]

    return build


@pytest.fixture(scope="module")
def certifier():
    with Certifier() as certifier:
        yield certifier


def built(build: Any, name: str) -> ToolEnvSpec:
    return next(spec for spec, good in zip(build(*GOOD), GOOD, strict=True) if good["id"] == name)


def calls(spec: ToolEnvSpec) -> list[tuple[str, dict[str, Any]]]:
    return [(sub.call.tool, sub.call.arguments) for sub in spec.sub_questions]


@pytest.mark.parametrize("good", GOOD, ids=lambda good: good["id"])
def test_every_kind_of_hop_is_certified(build, certifier, good):
    spec = built(build, good["id"])
    assert isinstance(spec, ToolEnvSpec), spec
    assert spec.answer.matches(good["answer"])
    assert isinstance(certifier.certify(spec), Certificate)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "chain-of-relations",
            [("get_performer", {"song": "Lantern Street"}), ("get_spouse", {"person": {"$ref": "q1"}})],
        ),
        (
            "words-with-a-title",
            [("find_town_stand", {"name": "Quarry Museum"}), ("find_time_founded", {"name": {"$ref": "q1"}})],
        ),
        (
            "words-with-a-quoted-name",
            [("find_shot", {"name": "the Glass Mill"}), ("find_people_live", {"name": {"$ref": "q1"}})],
        ),
        (
            "two-references-in-one-hop",
            [
                ("get_place_of_birth", {"person": "Ada Lindqvist"}),
                ("get_capital", {"entity": "Veldmark"}),
                ("find_kilometres", {"first_name": {"$ref": "q1"}, "second_name": {"$ref": "q2"}}),
            ],
        ),
        (
            "same-relation-twice",
            [("get_mother", {"person": "Runa Falk"}), ("get_mother", {"person": {"$ref": "q1"}})],
        ),
    ],
)
def test_hops_become_look_ups_by_name_or_by_reference(build, name, expected):
    assert calls(built(build, name)) == expected


def test_dependencies_make_the_graph(build):
    spec = built(build, "a-join-in-four-hops")
    assert set(spec.edges) == {("q1", "q3"), ("q3", "q4"), ("q2", "q4")}
    assert spec.scenario_type == "Parallel Multi-Hop"


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("relation-then-words", "date", "1871"),
        ("words-with-a-title", "date", "1902-05-03"),
        ("words-with-a-quoted-name", "number", 48210),
        ("chain-of-relations", "text", "Tomas Reyk"),
    ],
)
def test_answers_are_typed(build, name, kind, value):
    answer = built(build, name).answer
    assert (answer.kind, answer.value) == (kind, value)


def test_an_answer_that_is_passed_on_stays_a_text(build):
    (spec,) = build(
        record(
            "x",
            "Who led the state in the year in which Blue Tide appeared?",
            [("When did Blue Tide appear?", "3 May 1902"), ("Who led the state in #1?", "Jon Ekko")],
        )
    )
    assert (spec.sub_questions[0].answer.kind, spec.sub_questions[0].answer.value) == ("text", "3 May 1902")


def test_tables_are_filled_from_like_hops_of_other_records(build):
    spec = built(build, "chain-of-relations")
    assert set(spec.data["PERFORMER_BY_SONG"]) == {"lantern street", "salt harbour", "tin orchard"}


def test_accepted_spellings_of_the_final_answer_are_aliases(build):
    spec = built(build, "an-alias-is-the-answer")
    assert (spec.answer.value, spec.answer.aliases) == ("Republic of Ardenia", ("Ardenia",))


@pytest.mark.parametrize(
    ("what", "stage"),
    [
        ("a reference to a later hop", "flow"),
        ("a hop that nothing uses", "flow"),
        ("a name that the question does not have", "flow"),
        ("an answer that is not the last hop's", "answer"),
        ("an unanswerable record", "parse"),
        ("no decomposition", "parse"),
        ("a hop without an answer", "parse"),
        ("no name to look up by", "tools"),
    ],
)
def test_a_record_that_does_not_hold_is_rejected_at_its_stage(build, what, stage):
    (rejected,) = build(BAD[what])
    assert isinstance(rejected, Rejected)
    assert rejected.stage == stage
    assert rejected.reason


def test_a_bad_record_does_not_spoil_the_others(build):
    outcomes = build(GOOD[0], *BAD.values(), GOOD[1])
    assert [isinstance(outcome, ToolEnvSpec) for outcome in outcomes] == [True, *[False] * len(BAD), True]


def test_an_answer_that_the_question_tells_is_no_env(build, certifier):
    (spec,) = build(LEAKS)
    rejected = certifier.certify(spec)
    assert isinstance(rejected, Rejected)
    assert rejected.stage == "leak"


def test_the_source_and_its_licence_are_stated(build):
    provenance = built(build, "chain-of-relations").provenance
    assert (provenance.dataset, provenance.license, provenance.record) == ("MuSiQue", "CC-BY-4.0", "chain-of-relations")


def test_the_door_can_be_pickled_and_gives_the_same_again(tmp_path):
    path = tmp_path / "hops.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, GOOD)))
    source = MusiqueSource(path, prefix="mine")
    copied = pickle.loads(pickle.dumps(source))
    for item in source.items():
        assert source.build(item) == copied.build(item)
