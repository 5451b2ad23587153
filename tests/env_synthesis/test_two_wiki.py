"""The 2WikiMultihopQA door on records made up here; the real file is walked in `test_data_sets.py`."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from astra_gym.certify import Certifier
from astra_gym.env_synthesis.sources.two_wiki import TwoWikiSource
from astra_gym.types import Certificate, Rejected, ToolEnvSpec

Triples = Sequence[tuple[str, str, str]]


def record(question: str, answer: str, evidences: Triples, **more: Any) -> dict[str, Any]:
    return {"_id": "made-up", "type": "", "question": question, "answer": answer, "evidences": evidences, **more}


BORN = record(
    "When was the director of film Salt And Ivory born?",
    "4 May 1911",
    [("Salt and Ivory", "director", "Berta Ström"), ("Berta Ström", "date of birth", "May 4, 1911")],
)
OLDER = record(
    "Which film has the director who is older, Tin Moon (Film) or Salt And Ivory?",
    "Salt And Ivory",
    [
        ("Tin Moon (film)", "director", "Oskar Lind"),
        ("Salt and Ivory", "director", "Berta Ström"),
        ("Oskar Lind (director)", "date of birth", "1930"),
        ("Berta Ström", "date of birth", "May 4, 1911"),
    ],
)
SAME = record(
    "Are Aune Falls and Lake Veldar located in the same country?",
    "no",
    [("Lake Veldar", "country", "Ardenian"), ("Aune Falls", "country", "Veldmark")],
    evidences_id=[["Q1", "country", "Q10"], ["Q2", "country", "Q11"]],
)
ALSO_SAME = record(
    "Are Gull Rock and Pine Bay both located in the same country?",
    "yes",
    [("Gull Rock", "country", "Ardenia"), ("Pine Bay", "country", "Ardenian")],
    evidences_id=[["Q3", "country", "Q10"], ["Q4", "country", "Q10"]],
)
GRANDMOTHER = record(
    "Who is the maternal grandmother of Runa Falk?",
    "Embla Storm",
    [("Runa Falk", "mother", "Lady Signe"), ("Signe Falk", "mother", "Embla Storm")],
    evidences_id=[["Q20", "mother", "Q21"], ["Q21", "mother", "Q22"]],
    qa_pairs=[
        {"question": "Who is the mother of Runa Falk?", "answer": "The mother of Runa Falk is Lady Signe."},
        {"question": "Who is the mother of Signe Falk?", "answer": "The mother of Signe Falk is Embla Storm."},
    ],
)
LANGUAGES = record(
    "Which prizes did the author of The Grey Ferry win?",
    "Ekko Prize and Blue Shell",
    [
        ("The Grey Ferry", "author", "Jon Ravn"),
        ("Jon Ravn", "award received", "Blue Shell"),
        ("Jon Ravn", "award received", "Ekko Prize"),
    ],
)
GOOD = [BORN, OLDER, SAME, ALSO_SAME, GRANDMOTHER, LANGUAGES]


@pytest.fixture
def source(tmp_path):
    def source(*records: Any, **options: Any) -> TwoWikiSource:
        path = tmp_path / "facts.jsonl"
        path.write_bytes(b"\n".join(map(orjson.dumps, records)))
        return TwoWikiSource(path, **options)

    return source


@pytest.fixture
def build(source):
    def build(one: dict[str, Any], *others: dict[str, Any]) -> Any:
        door = source(one, *others)
        return door.build(next(door.items()))

    return build


@pytest.fixture(scope="module")
def certifier():
    with Certifier() as certifier:
        yield certifier


def calls(spec: ToolEnvSpec) -> list[tuple[str, dict[str, Any]]]:
    return [(sub.call.tool, sub.call.arguments) for sub in spec.sub_questions]


@pytest.mark.parametrize("index", range(len(GOOD)))
def test_every_kind_of_question_is_certified(source, certifier, index):
    door = source(*GOOD)
    built = door.build(list(door.items())[index])
    assert isinstance(built, ToolEnvSpec), built
    assert isinstance(certifier.certify(built), Certificate)


def test_a_triple_about_another_ones_object_refers_to_it(build):
    spec = build(BORN)
    assert calls(spec) == [
        ("get_director", {"film": "Salt and Ivory"}),
        ("get_date_of_birth", {"person": {"$ref": "q1"}}),
    ]
    assert spec.edges == (("q1", "q2"),)
    assert (spec.answer.kind, spec.answer.value) == ("date", "1911-05-04")
    assert (spec.provenance.dataset, spec.provenance.license, spec.provenance.record) == (
        "2WikiMultihopQA",
        "Apache-2.0",
        "made-up",
    )


def test_a_comparison_ends_in_a_call_that_compares_what_was_looked_up(build):
    spec = build(OLDER)
    assert calls(spec)[-1] == (
        "compare_dates",
        {
            "candidates": [
                {"name": "Tin Moon (film)", "date": {"$ref": "q3"}},
                {"name": "Salt and Ivory", "date": {"$ref": "q4"}},
            ],
            "pick": "earliest",
        },
    )
    assert set(spec.answer.choices) == {"Tin Moon (film)", "Salt and Ivory"}
    assert spec.answer.matches("Salt And Ivory")
    assert spec.scenario_type == "Parallel Multi-Hop"


def test_yes_and_no_come_from_a_tool_that_knows_the_spellings(build):
    spec = build(ALSO_SAME, SAME)
    assert calls(spec)[-1] == ("same_country", {"first": {"$ref": "q1"}, "second": {"$ref": "q2"}})
    assert (spec.answer.kind, spec.answer.value) == ("bool", True)
    assert spec.data["COUNTRY_NAMES"] == {"ardenia": "ardenian", "ardenian": "ardenian", "veldmark": "veldmark"}


def test_entities_are_joined_by_id_where_their_names_differ(build):
    spec = build(GRANDMOTHER)
    assert calls(spec)[1] == ("get_mother", {"person": {"$ref": "q1"}})
    assert spec.data["MOTHER_BY_PERSON"]["lady signe"] == spec.data["MOTHER_BY_PERSON"]["signe falk"]
    assert [sub.question for sub in spec.sub_questions] == [pair["question"] for pair in GRANDMOTHER["qa_pairs"]]


def test_several_objects_are_one_answer_in_any_order(build):
    spec = build(LANGUAGES)
    assert (spec.answer.kind, spec.answer.value) == ("set", ["Blue Shell", "Ekko Prize"])


def test_names_are_taken_as_the_question_and_its_article_have_them(build):
    built = build(
        record(
            "Who directed Blue Tide (1929 Film)?",
            "Oskar Lind",
            [("Blue Tide", "director", "Oskar Lind")],
            supporting_facts=[["Blue Tide (1929 film)", 0], ["Blue Tide", 0]],
        )
    )
    assert calls(built) == [("get_director", {"film": "Blue Tide (1929 film)"})]
    assert {"blue tide", "blue tide 1929 film"} <= set(built.data["DIRECTOR_BY_FILM"])


def test_a_table_holds_other_facts_of_the_file_but_none_with_the_same_answer(source):
    films = [
        record(f"Who directed Film {i}?", director, [(f"Film {i}", "director", director)])
        for i, director in enumerate(["Anna Berg", "Anna Berg", *(f"Person {n}" for n in range(70))])
    ]
    door = source(*films)
    spec = door.build(next(door.items()))
    rows = spec.data["DIRECTOR_BY_FILM"]
    assert len(rows) == 41
    assert [film for film, row in rows.items() if row["director"] == "Anna Berg"] == ["film 0"]
    assert list(rows) == sorted(rows)


def test_names_are_found_whatever_their_case_accents_and_punctuation(source):
    door = source(
        record("Where was Ólöf Þórðar-Bergström born?", "Vík", [("Ólöf Þórðar-Bergström", "place of birth", "Vík")])
    )
    spec = door.build(next(door.items()))
    namespace: dict[str, Any] = dict(spec.data)
    exec(spec.library + spec.tools[0].source, namespace)  # our own source, to see what it accepts
    for name in (
        "Ólöf Þórðar-Bergström",
        "ÓLÖF ÞÓRÐAR BERGSTRÖM",
        "olof þorðar-bergstrom",
        "  Olöf   Þorðar Bergström ",
    ):
        assert namespace["get_place_of_birth"](name)["place_of_birth"] == "Vík"
    with pytest.raises(ValueError, match="nothing on record for person 'Olof'"):
        namespace["get_place_of_birth"]("Olof")


@pytest.mark.parametrize(
    ("one", "stage", "reason"),
    [
        (record("Who directed it?", "A", []), "parse", "expected a list `evidences`"),
        (record("Who directed Tin Moon?", "A", [("Tin Moon", "director")]), "parse", "[subject, relation, object]"),
        (record("", "A", [("Tin Moon", "director", "A")]), "parse", "expected a text `question`"),
        (record("Who directed it?", "A", [("Tin Moon", "director", "A")]), "flow", "does not name 'Tin Moon'"),
        (record("Who directed Tin Moon?", "B", [("Tin Moon", "director", "A")]), "answer", "the record says 'B'"),
        (
            record("Is Tin Moon by A or B?", "A", [("Tin Moon", "director", "A"), ("Tin Moon", "author", "B")]),
            "flow",
            "found 2",
        ),
        (
            record(
                "Who is older, Ida Berg or Jon Ravn?",
                "Ida Berg",
                [("Ida Berg", "date of birth", "1950"), ("Jon Ravn", "date of birth", "4 May 1950")],
            ),
            "answer",
            "do not tell",
        ),
        (
            record(
                "Who is older, Ida Berg or Jon Ravn?",
                "Ida Berg",
                [("Ida Berg", "date of birth", "1960"), ("Jon Ravn", "date of birth", "4 May 1950")],
            ),
            "answer",
            "is that of 'Jon Ravn'",
        ),
        (
            record(
                "Ida Berg or Jon Ravn?",
                "Ida Berg",
                [("Ida Berg", "date of birth", "1940"), ("Jon Ravn", "date of birth", "4 May 1950")],
            ),
            "flow",
            "first or the last",
        ),
        (
            record(
                "Were Ida Berg and Jon Ravn trained by the same man?",
                "no",
                [("Ida Berg", "student of", "A"), ("Jon Ravn", "student of", "B")],
            ),
            "tools",
            "no tool tells",
        ),
        (record(**{**SAME, "answer": "yes"}), "answer", "give False"),
        (
            record(
                "Who is the spouse of Ida Berg, the spouse of Jon Ravn?",
                "Jon Ravn",
                [("Ida Berg", "spouse", "Jon Ravn"), ("Jon Ravn", "spouse", "Ida Berg")],
            ),
            "flow",
            "circle",
        ),
        (
            record(
                "When was the director of Tin Moon and Grey Ferry born?",
                "1950",
                [
                    ("Tin Moon", "director", "Ida Berg"),
                    ("Grey Ferry", "director", "Ida Berg"),
                    ("Ida Berg", "date of birth", "1950"),
                ],
            ),
            "flow",
            "object of 2 triples",
        ),
    ],
)
def test_a_record_that_does_not_hold_is_rejected_with_its_reason(build, one, stage, reason):
    built = build(one)
    assert isinstance(built, Rejected)
    assert built.stage == stage
    assert reason in built.reason


def test_an_answer_that_the_question_tells_is_no_env(build, certifier):
    spec = build(
        record(
            "When was the performer of song Low (Ida Berg Song) born?",
            "1950",
            [("Low", "performer", "Ida Berg"), ("Ida Berg", "date of birth", "1950")],
            supporting_facts=[["Low (Ida Berg song)", 0], ["Ida Berg", 0]],
        )
    )
    rejected = certifier.certify(spec)
    assert isinstance(rejected, Rejected)
    assert rejected.stage == "leak"


def test_the_door_is_the_same_on_every_run_can_be_pickled_and_takes_a_seed(source):
    many = [record(f"Who directed Film {i}?", f"P {i}", [(f"Film {i}", "director", f"P {i}")]) for i in range(80)]
    door = source(*many, prefix="mine", version="abc")
    copied = pickle.loads(pickle.dumps(door))
    item = next(door.items())
    assert item.id == "mine-00000-v0"
    assert door.build(item) == copied.build(item)
    assert door.build(item).provenance.version == "abc"
    assert door.build(item).data != source(*many, seed=1).build(item).data
