"""The doors on the real files, where a folder beside this repository has them; counts are floors of what they gave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from astra_gym.certify import Certifier
from astra_gym.env_synthesis.sources.base import Source
from astra_gym.env_synthesis.sources.gsm8k import Gsm8kSource
from astra_gym.env_synthesis.sources.two_wiki import TwoWikiSource
from astra_gym.types import Certificate, Rejected, ToolEnvSpec

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = 23
"""Every so-manieth env is certified here; the import command does all."""


def find(name: str) -> Path:
    found = sorted(ROOT.parent.glob(f"*/data/{name}"))
    if not found:
        pytest.skip(f"no folder beside {ROOT.name} has data/{name}")
    return found[0]


@pytest.fixture(scope="module")
def gsm8k() -> list[ToolEnvSpec | Rejected]:
    return walk(Gsm8kSource(find("gsm8k_socratic/test_socratic.jsonl")))


@pytest.fixture(scope="module")
def two_wiki() -> list[ToolEnvSpec | Rejected]:
    return walk(TwoWikiSource(find("2wiki_decomp/2wiki_train_500_qa_pairs.jsonl")))


def walk(source: Source) -> list[ToolEnvSpec | Rejected]:
    return [item if isinstance(item, Rejected) else source.build(item) for item in source.items()]


def specs(outcomes: Sequence[ToolEnvSpec | Rejected]) -> list[ToolEnvSpec]:
    return [outcome for outcome in outcomes if isinstance(outcome, ToolEnvSpec)]


def stages(outcomes: Sequence[ToolEnvSpec | Rejected]) -> Counter[str]:
    return Counter(outcome.stage for outcome in outcomes if isinstance(outcome, Rejected))


def test_gsm8k_gives_envs_of_most_records_and_a_reason_for_the_rest(gsm8k):
    assert len(gsm8k) == 1319
    assert len(specs(gsm8k)) >= 1080
    assert stages(gsm8k).keys() <= {"parse", "flow", "tools"}
    assert all(outcome.reason for outcome in gsm8k if isinstance(outcome, Rejected))


def test_gsm8k_envs_are_graphs_of_several_kinds(gsm8k):
    kinds = Counter(spec.scenario_type for spec in specs(gsm8k))
    assert kinds["Multi-Hop"] > 500
    assert kinds["Parallel Multi-Hop"] > 350
    assert max(spec.hops for spec in specs(gsm8k)) >= 6


def test_plain_gsm8k_records_give_envs_too():
    outcomes = walk(Gsm8kSource(find("gsm8k_socratic/train.jsonl"), limit=500))
    assert len(specs(outcomes)) >= 380


def test_two_wiki_gives_an_env_of_every_record(two_wiki):
    assert len(specs(two_wiki)) == 500
    kinds = Counter(spec.scenario_type for spec in specs(two_wiki))
    assert min(kinds["Multi-Hop"], kinds["Parallel Multi-Hop"]) >= 240


@pytest.mark.parametrize("outcomes", ["gsm8k", "two_wiki"])
def test_a_sample_of_them_is_certified(outcomes, request):
    sample = specs(request.getfixturevalue(outcomes))[::SAMPLE]
    with Certifier() as certifier:
        judged = [certifier.certify(spec) for spec in sample]
    refused = [verdict for verdict in judged if not isinstance(verdict, Certificate)]
    # An entity named in the title of another ("Imagine (John Lennon song)") is a leak, and right to be refused.
    assert {verdict.stage for verdict in refused} <= {"leak"}
    assert len(refused) <= 0.1 * len(sample)
