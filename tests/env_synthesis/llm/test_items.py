"""Items: what each mode needs, and ids that depend on content alone."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from astra_gym.env_synthesis.llm.items import LlmItem, Origin, unread_id
from tests.specs import CHAIN

CORPUS = {"domain": "rail", "knowledge": "The 7:40 leaves from platform 3.", "grounded": True}


@pytest.mark.parametrize(
    ("mode", "fields", "said"),
    [
        ("corpus", {"domain": "rail"}, "needs ['knowledge']"),
        ("context", {"domain": "rail"}, "needs ['knowledge']"),
        ("question", {"domain": "rail"}, "needs ['question']"),
        ("augment", {"domain": "rail"}, "needs ['tool_spec']"),
        ("given", {"domain": "rail"}, "needs ['decomposition']"),
        ("domain", {"domain": "  "}, "needs a domain"),
        ("domain", {"domain": "rail", "min_hops": 4, "max_hops": 3}, "min_hops 4 is above max_hops 3"),
        ("domain", {"domain": "rail", "grounded": True}, "grounded answers need knowledge"),
    ],
)
def test_an_item_says_what_its_mode_lacks(mode, fields, said):
    with pytest.raises(ValidationError) as error:
        LlmItem.make(mode, **fields)
    assert said in str(error.value)


def test_the_id_is_of_the_content_and_not_of_its_place():
    here = LlmItem.make("corpus", origin=Origin(file="a.jsonl", line=1), **CORPUS)
    there = LlmItem.make("corpus", origin=Origin(file="b.jsonl", line=900), **CORPUS)
    assert here.id == there.id
    assert here.id.startswith("corpus-rail-")
    assert here.content_id() == here.id


@pytest.mark.parametrize(
    "change", [{"knowledge": "The 7:41."}, {"domain": "bus"}, {"repeat": 1}, {"min_hops": 2}, {"language": "zh"}]
)
def test_any_other_content_has_another_id(change):
    assert LlmItem.make("corpus", **(CORPUS | change)).id != LlmItem.make("corpus", **CORPUS).id


def test_the_id_of_an_augmented_env_follows_what_is_played():
    other = CHAIN.model_copy(update={"max_turns": 5})
    ids = {LlmItem.make("augment", domain="film", tool_spec=spec).id for spec in (CHAIN, other, CHAIN)}
    assert len(ids) == 2


def test_ids_in_other_scripts_are_plain():
    item = LlmItem.make("domain", domain="电子商务", language="zh")
    assert item.id.isascii()
    assert item.id.startswith("domain-")


def test_an_item_survives_a_file():
    item = LlmItem.make("augment", domain="film", tool_spec=CHAIN, scenario="Multi-Hop", origin=Origin(file="s.jsonl"))
    assert LlmItem.model_validate_json(item.model_dump_json()) == item


def test_what_cannot_be_read_is_known_by_its_bytes():
    assert unread_id("a.jsonl", b"x") == unread_id("a.jsonl", b"x")
    assert len({unread_id("a.jsonl", b"x"), unread_id("a.jsonl", b"y"), unread_id("b.jsonl", b"x")}) == 3
