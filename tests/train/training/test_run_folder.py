"""The run folder: one process at a time, files that are whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from astra_train.errors import TrainingError
from astra_train.training.run_folder import RunFolder, write_text


def test_attempts_are_counted(tmp_path: Path):
    run = RunFolder(tmp_path)
    assert run.next_attempt() == 1
    run.attempt(1).mkdir(parents=True)
    run.attempt(7).mkdir()
    assert run.next_attempt() == 8


def test_a_folder_holds_a_run_once_it_is_described_or_has_checkpoints(tmp_path: Path):
    run = RunFolder(tmp_path / "new")
    assert not run.holds_a_run()
    run.checkpoints.mkdir(parents=True)
    assert run.holds_a_run()


def test_the_status_is_replaced_as_a_whole(tmp_path: Path):
    run = RunFolder(tmp_path)
    assert run.read_status() == {}
    run.write_status("running", step=3)
    run.write_status("stopped", step=4)
    assert {k: v for k, v in run.read_status().items() if k != "updated"} == {"state": "stopped", "step": 4}
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_what_is_no_run_folder_is_named(tmp_path: Path):
    with pytest.raises(TrainingError, match=r"is .* a run folder"):
        RunFolder(tmp_path).describe()


def test_two_processes_do_not_run_one_run(tmp_path: Path):
    run = RunFolder(tmp_path)
    with run.locked(), pytest.raises(TrainingError, match="another process"), run.locked(wait_s=0):
        pass
    with run.locked(wait_s=0):
        pass


def test_a_child_that_inherits_the_lock_keeps_it(tmp_path: Path):
    run = RunFolder(tmp_path)
    with run.locked() as descriptor:
        inherited = os.dup(descriptor)
    with pytest.raises(TrainingError, match="another process"), run.locked(wait_s=0):
        pass
    os.close(inherited)
    with run.locked(wait_s=0):
        pass


def test_a_file_is_never_half_written(tmp_path: Path):
    write_text(tmp_path / "deep" / "file", "one")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "deep" / "file", "\ud800")
    assert (tmp_path / "deep" / "file").read_text() == "one"
