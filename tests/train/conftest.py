"""A tiny untrained policy that the training tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

import astra_gym
from astra_gym.registration import SHIPPED
from astra_gym.suite import open_suite


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained tiny policy as a Hugging Face folder; its tokenizer has read the shipped envs."""
    from astra_train.policies.tiny import TinyShape, build_tiny

    texts = [text for spec in open_suite(SHIPPED) for text in (spec.question, *(t.name for t in spec.tools))]
    folder = tmp_path_factory.mktemp("policy") / "tiny"
    build_tiny(folder, texts, TinyShape(hidden=32, layers=2, heads=2, vocabulary=600, copying=False))
    return folder


@pytest.fixture(scope="session")
def long_env_ids() -> list[str]:
    """Shipped envs of two hops or more."""
    specs = {spec.id: spec for spec in open_suite(SHIPPED)}
    ids = [env_id for env_id in astra_gym.shipped_ids() if specs[env_id.split("/")[1]].hops > 1]
    assert len(ids) >= 8
    return ids[:8]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start verl run one after the other, on one worker: two at a time starve each other on two cores."""
    for item in items:
        if item.path.name in {"test_end_to_end.py", "test_resume.py", "test_verl_sampler.py", "test_demo.py"}:
            item.add_marker(pytest.mark.xdist_group("verl"))
