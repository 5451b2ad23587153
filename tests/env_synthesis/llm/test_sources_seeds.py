"""The sources on real seeds, where a folder beside this repository has them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from astra_gym.env_synthesis.llm.draft import generate_prompt
from astra_gym.env_synthesis.llm.items import LlmItem
from astra_gym.env_synthesis.llm.sources import SourceOptions, read_items
from astra_gym.types import Rejected

ROOT = Path(__file__).resolve().parents[3]


def find(name: str) -> Path:
    found = sorted(ROOT.parent.glob(f"*/data/astra_env_knowledge/{name}"))
    if not found:
        pytest.skip(f"no folder beside {ROOT.name} has data/astra_env_knowledge/{name}")
    return found[0]


def read(mode, name: str, **options) -> list[LlmItem | Rejected]:
    return list(read_items(mode, [find(name)], SourceOptions(**options)))


def test_every_context_is_an_item_of_its_own():
    found = read("context", "en/context.jsonl")
    assert len(found) == len({item.id for item in found}) == 4063
    assert {type(item) for item in found} == {LlmItem}
    assert Counter(item.domain for item in found).most_common(2) == [("medicine", 622), ("movie", 561)]
    assert found[0].knowledge in generate_prompt(found[0]).messages[1]["content"]


def test_chinese_domains_are_asked_about_in_chinese():
    found = read("domain", "zh/domains.jsonl", language="zh", min_hops=3, max_hops=4)
    assert len(found) == len({item.id for item in found}) == 2 * 113
    assert found[0].domain in generate_prompt(found[0]).messages[1]["content"]


def test_rows_without_a_corpus_are_sent_to_the_mode_that_needs_none():
    found = read("corpus", "en/domains.jsonl")
    assert len(found) == 39
    assert all(isinstance(item, Rejected) and "mode 'domain' asks without a corpus" in item.reason for item in found)


def test_the_taxonomy_has_one_leaf():
    (item,) = read("taxonomy", "taxonomy/weather.json")
    assert (item.domain, len(item.examples)) == ("weather-weather", 1)
