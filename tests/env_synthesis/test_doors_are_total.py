"""Whatever a record holds, a door answers with an env or a reason: it never raises and never hangs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra_gym.env_synthesis.sources.base import Item
from astra_gym.env_synthesis.sources.gsm8k import Gsm8kSource
from astra_gym.env_synthesis.sources.musique import MusiqueSource
from astra_gym.env_synthesis.sources.two_wiki import TwoWikiSource
from astra_gym.records import canonical_json
from astra_gym.types import Rejected, ToolEnvSpec
from tests.env_synthesis.musique_records import GOOD

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 30) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
PIECES = [
    "<<3*4=12>>",
    "<<",
    ">>",
    "=",
    "12",
    "3",
    " ** ",
    "How many nuts?",
    "\n",
    "$",
    "%",
    "x",
    "1/2 of",
    "#### 12",
    " - ",
]
SOLUTIONS = st.lists(st.sampled_from(PIECES), max_size=20).map("".join) | st.text(max_size=60)
TRIPLE = st.lists(
    st.sampled_from(["Ida", "Tin Moon", "director", "date of birth", "1950", "", "country"]), min_size=2, max_size=4
)
HOP = st.fixed_dictionaries(
    {
        "question": st.sampled_from(
            ["Tin Moon >> author", "#1 >> spouse", "Who is #2 of #1?", "#9", ">>", "Who is Ida?"]
        )
    },
    optional={"answer": st.sampled_from(["Ida", "Jon", "1950", "", "3,000"]), "paragraph_support_idx": JSON},
)


def build(source: Any, record: Any) -> None:
    outcome = source.build(Item("any-00000-v0", {"line": 1, "record": record}))
    assert isinstance(outcome, ToolEnvSpec | Rejected)
    canonical_json(outcome.to_json())


@given(st.fixed_dictionaries({"question": st.text(max_size=40) | JSON, "answer": SOLUTIONS | JSON}))
def test_gsm8k(record):
    build(Gsm8kSource(Path("any.jsonl")), record)


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    path = tmp_path_factory.mktemp("doors") / "empty.jsonl"
    path.write_bytes(b"")
    return path


@given(record=st.data())
def test_two_wiki(empty, record):
    fields = {
        "question": st.sampled_from(["Who is older, Ida or Tin Moon?", "Is Ida in the same country as Tin Moon?", ""])
        | JSON,
        "answer": st.sampled_from(["Ida", "yes", "1950"]) | JSON,
        "evidences": st.lists(TRIPLE, max_size=4) | JSON,
    }
    optional = {"evidences_id": JSON, "supporting_facts": JSON, "qa_pairs": JSON, "_id": JSON, "type": JSON}
    build(TwoWikiSource(empty), record.draw(st.fixed_dictionaries(fields, optional=optional)))


@given(record=st.data())
def test_musique(empty, record):
    fields = {
        "question": st.sampled_from(["Who is the spouse of the author of Tin Moon?", "Ida?"]) | JSON,
        "answer": st.sampled_from(["Ida", "Jon", "1950"]) | JSON,
        "question_decomposition": st.lists(HOP, max_size=4) | JSON,
    }
    optional = {"paragraphs": JSON, "answer_aliases": JSON, "answerable": JSON, "id": JSON}
    build(MusiqueSource(empty), record.draw(st.fixed_dictionaries(fields, optional=optional)))


@pytest.mark.parametrize(
    "said",
    [
        *(
            "1" * 9000,
            "1 - " * 2000,
            "1 -  " * 2000 + "x",
            "a " * 4000,
            "3*" * 2000,
            "(" * 4000,
            "1 a b c d / " * 900,
            ", " * 4000,
        ),
        *("<<" * 3000, "<<1+1=2>>" * 900, "2 of 3 and " * 900, "hundred and " * 900, f"<<{'9' * 300}/3={'3' * 300}>>"),
    ],
    ids=range(13),
)
def test_long_and_repetitive_texts_end_quickly(empty, said):
    for text in (said, said[:1900]):
        build(Gsm8kSource(Path("any.jsonl")), {"question": text, "answer": f"How many? ** {text}\n#### 2"})
        build(Gsm8kSource(Path("any.jsonl")), {"question": "How many?", "answer": f"{text}= <<1+1=2>>2 {text}\n#### 2"})
        hops = [{"question": f"Who is {text}?", "answer": text}, {"question": "#1 >> author", "answer": "Ida"}]
        musique = {"question": text, "answer": "Ida", "question_decomposition": hops}
        build(MusiqueSource(empty), musique)
        build(TwoWikiSource(empty), {"question": text, "answer": "Ida", "evidences": [[text, "author", "Ida"]]})


def test_records_with_fields_swapped_about(tmp_path):
    """Every good record with one field replaced by another record's field."""
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, GOOD)))
    source = MusiqueSource(path)
    rng = random.Random(7)
    for record in GOOD:
        for field in record:
            build(source, {**record, field: rng.choice(GOOD)[rng.choice(list(record))]})
