"""The leakage check on files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astra_gym.registration import SHIPPED, unregister_suite
from astra_gym.suite import open_suite, write_suite
from astra_train.data.content import content_of
from astra_train.data.errors import DataError, LeakageError
from astra_train.data.leakage import check_files, contents_of_file, refuse_leaking_files
from astra_train.data.oracle_data import oracle_trajectories
from astra_train.data.rl import write_rl
from astra_train.data.sft import write_sft
from astra_train.data.split import Split, split_contents
from tests.specs import CHAIN, JOIN, STATEFUL
from tests.suites import certified


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "suite.jsonl"
    write_suite(path, [certified(spec) for spec in (CHAIN, JOIN, STATEFUL)])
    yield path
    unregister_suite("train")


def shipped_split() -> Split:
    return split_contents([content_of(spec) for spec in open_suite(SHIPPED)], validation=0.3)


def test_files_of_one_split_share_nothing(tmp_path: Path) -> None:
    split = shipped_split()
    notes = {"common": sorted(split.common)}
    specs = [open_suite(SHIPPED).load(i) for i in split.train]
    write_sft(tmp_path / "sft.parquet", oracle_trajectories(specs, seed=1, per_spec=2), notes=notes)
    for part in ("train", "validation"):
        write_rl(tmp_path / f"{part}.parquet", None, getattr(split, part), notes=notes)
    trained = [tmp_path / "sft.parquet", tmp_path / "train.parquet"]
    assert check_files(trained, tmp_path / "validation.parquet") == []
    refuse_leaking_files(trained, tmp_path / "validation.parquet")
    assert {c.id for c in contents_of_file(tmp_path / "train.parquet")} == set(split.train)


def test_a_conversation_about_a_validation_env_is_a_leak(tmp_path: Path) -> None:
    split = shipped_split()
    notes = {"common": sorted(split.common)}
    stolen = [open_suite(SHIPPED).load(i) for i in (*split.train, split.validation[0])]
    write_sft(tmp_path / "sft.parquet", oracle_trajectories(stolen, ["sequential"]), notes=notes)
    write_rl(tmp_path / "validation.parquet", None, split.validation, notes=notes)
    leaks = check_files([tmp_path / "sft.parquet"], tmp_path / "validation.parquet")
    assert {leak.kind for leak in leaks} >= {"question", "gold call"}
    assert {leak.validation for leak in leaks} == {split.validation[0]}
    with pytest.raises(LeakageError, match=split.validation[0]):
        refuse_leaking_files([tmp_path / "sft.parquet"], tmp_path / "validation.parquet")


def test_other_files_are_refused(tmp_path: Path, suite: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    write_rl(tmp_path / "rl.parquet", suite, [JOIN.id])
    with pytest.raises(DataError, match="expected a file that `astra data` wrote"):
        check_files([tmp_path / "other.parquet"], tmp_path / "rl.parquet")
    with pytest.raises(DataError, match="no such file"):
        check_files([tmp_path / "none.parquet"], tmp_path / "rl.parquet")
