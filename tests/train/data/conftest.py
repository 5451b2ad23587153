"""A suite that is quick to play: half of the shipped envs that were made from tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from astra_gym.registration import SHIPPED
from astra_gym.suite import open_suite, write_suite

SMALL = 48


@pytest.fixture(scope="session")
def small_suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSONL suite of `SMALL` certified envs in eight domains."""
    path = tmp_path_factory.mktemp("suite") / "small.jsonl"
    write_suite(path, [spec for spec in open_suite(SHIPPED) if spec.provenance.door == "tables"][::2])
    assert len(open_suite(path)) == SMALL
    return path
