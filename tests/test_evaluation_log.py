"""The file of an evaluation: whole after any kind of end, and never mixed with another's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from astra_gym.errors import PipelineError
from astra_gym.evaluation import EnvMaker, evaluate
from astra_gym.evaluation_log import EvaluationLog, Key
from astra_gym.models import OracleModel
from astra_gym.rollout import TrajectoryError, read_trajectories
from astra_gym.types import Trajectory
from tests.suites import copies

SETTINGS = {"seed": 1, "models": ["oracle"], "sampling": {"temperature": 0.5}}


@pytest.fixture(scope="module")
def played() -> list[Trajectory]:
    return list(evaluate(copies(4), OracleModel, make_env=EnvMaker(isolation="inprocess")))


@pytest.fixture
def path(tmp_path: Path, played: list[Trajectory]) -> Path:
    """A log of three of the four."""
    path = tmp_path / "runs" / "t.jsonl"
    with EvaluationLog(path, SETTINGS) as log:
        for trajectory in played[:3]:
            log.write(trajectory)
    return path


def failed(trajectory: Trajectory) -> Trajectory:
    return trajectory.model_copy(update={"stop_reason": "model_error"})


def test_what_was_written_is_done(path: Path, played: list[Trajectory]) -> None:
    with EvaluationLog(path, SETTINGS) as log:
        assert list(log.done) == [Key.of(trajectory) for trajectory in played[:3]]
        assert all(score.solved for score in log.done.values())
        log.write(played[3])
        assert len(log.done) == 4
    assert list(read_trajectories(path)) == played


@pytest.mark.parametrize("cut", [1, 40, 1000])
def test_a_half_written_last_line_is_dropped(path: Path, played: list[Trajectory], cut: int) -> None:
    path.write_bytes(path.read_bytes()[:-cut])
    with EvaluationLog(path, SETTINGS) as log:
        assert len(log.done) == 2
        for trajectory in played[2:]:
            log.write(trajectory)
    assert list(read_trajectories(path)) == played


def test_a_file_of_half_a_line_is_begun_again(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])
    with EvaluationLog(path, SETTINGS) as log:
        assert not log.done
    assert path.read_bytes() == b""


def test_what_failed_is_to_be_played_again_and_the_order_is_mended(path: Path, played: list[Trajectory]) -> None:
    lines = [orjson.dumps(t.to_json()) + b"\n" for t in (played[0], failed(played[1]), played[2], played[2])]
    path.write_bytes(b"".join(lines))
    with EvaluationLog(path, SETTINGS) as log:
        assert list(log.done) == [Key.of(played[0]), Key.of(played[2])]
        assert list(read_trajectories(path)) == [played[0], played[2]]
        log.write(played[3])
        log.write(played[1])
        log.finish(Key.of(trajectory) for trajectory in played)
        assert list(read_trajectories(path)) == played
        log.write(failed(played[0]).model_copy(update={"seed": 9}))
    assert [t.seed for t in read_trajectories(path)] == [0, 0, 0, 0, 9]
    assert {file.name for file in path.parent.iterdir()} == {"t.jsonl", "t.eval.json"}


def test_a_finished_file_in_order_is_left_alone(path: Path, played: list[Trajectory]) -> None:
    before = path.stat()
    with EvaluationLog(path, SETTINGS) as log:
        log.finish(Key.of(trajectory) for trajectory in played)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**SETTINGS, "seed": 2}, r"t\.jsonl: holds another evaluation: seed was 1, now 2; choose another --output"),
        ({**SETTINGS, "sampling": {}}, r'sampling was \{"temperature":0\.5\}, now \{\}'),
        ({**SETTINGS, "limit": 3}, "limit was null, now 3"),
        ({"seed": 1}, r'models was \["oracle"\], now null; sampling was .*--overwrite'),
        ({**SETTINGS, "models": ["m" * 300]}, r"m\.\.\.; choose"),
    ],
)
def test_other_settings_are_refused_and_named(path: Path, settings: dict[str, Any], message: str) -> None:
    before = path.read_bytes()
    with pytest.raises(PipelineError, match=message):
        EvaluationLog(path, settings)
    assert path.read_bytes() == before


def test_other_settings_may_begin_where_nothing_was_played(path: Path) -> None:
    path.write_bytes(b"")
    with EvaluationLog(path, {"seed": 2}) as log:
        assert not log.done
    assert orjson.loads(path.with_suffix(".eval.json").read_bytes()) == {"seed": 2}


def test_overwrite_begins_again(path: Path) -> None:
    with EvaluationLog(path, {"seed": 2}, overwrite=True) as log:
        assert not log.done
    assert path.read_bytes() == b""
    assert orjson.loads(path.with_suffix(".eval.json").read_bytes()) == {"seed": 2}


def test_a_file_that_no_evaluation_began_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"id": "a-v0"}\n')
    with pytest.raises(PipelineError, match="holds something that no evaluation of this kind began"):
        EvaluationLog(path, SETTINGS)
    assert [file.name for file in tmp_path.iterdir()] == ["t.jsonl"]


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (
            lambda path: path.write_bytes(path.read_bytes().replace(b'"seed"', b'"sead"', 1)),
            TrajectoryError,
            ":1: not a",
        ),
        (lambda path: path.write_bytes(b"{}}\n" + path.read_bytes()), TrajectoryError, r"t\.jsonl:1: not JSON"),
        (
            lambda path: path.with_suffix(".eval.json").write_bytes(b"{"),
            PipelineError,
            r"settings beside it .* damaged",
        ),
    ],
)
def test_damage_is_named(path: Path, damage: Callable[[Path], int], error: type[Exception], message: str) -> None:
    damage(path)
    with pytest.raises(error, match=message):
        EvaluationLog(path, SETTINGS)


def test_two_writers_are_one_too_many(path: Path) -> None:
    with EvaluationLog(path, SETTINGS), pytest.raises(PipelineError, match="another process is writing"):
        EvaluationLog(path, SETTINGS)
    EvaluationLog(path, SETTINGS).close()


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"go to a \.jsonl file; found the suffix '\.json'"):
        EvaluationLog(tmp_path / "t.json", SETTINGS)
    (tmp_path / "file").touch()
    with pytest.raises(PipelineError, match="cannot be written"):
        EvaluationLog(tmp_path / "file" / "t.jsonl", SETTINGS)


def test_a_full_disk_is_an_error_that_keeps_what_was_written(tmp_path: Path) -> None:
    """In a process of its own whose files may not grow: what the file system says then, it says here."""
    code = f"""
import resource, signal
from pathlib import Path
from astra_gym.evaluation_log import EvaluationLog
from astra_gym.types import Trajectory
def trajectory(seed):
    return Trajectory(env_id="e-v0", seed=seed, actions=(), rewards=(), messages=(), tools=(), needed=1, solved=0,
                      calls=0, stop_reason="truncated", metadata={{"x": "y" * 3000}})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = EvaluationLog({str(tmp_path / "t.jsonl")!r}, {{}})
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
log.write(trajectory(1))
log.write(trajectory(2))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert "PipelineError" in done.stderr
    assert "cannot be written: File too large; what was finished is kept" in done.stderr
    assert [t.seed for t in read_trajectories(tmp_path / "t.jsonl")] == [1]
