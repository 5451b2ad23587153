"""`astra eval` as a user meets it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from astra_gym.rollout import read_trajectories
from astra_gym.suite import write_suite
from tests.cli.test_cli import astra
from tests.models.chat_server import completion, failure, serving
from tests.suites import copies


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite") / "s.jsonl"
    write_suite(path, copies(20))
    return path


def test_models_stand_side_by_side_with_the_measures_that_belong_together(suite: Path) -> None:
    done = astra("eval", suite, "--model", "first-tool", "--model", "every-tool", "--baselines", "--n-samples", "2")
    assert done.returncode == 0, done.stderr
    for words in ("by hops", "by scenario", "by domain", "20 envs, 2 episodes each", "every-tool minus first-tool"):
        assert words in done.stdout
    assert "by distractors" not in done.stdout, "there are none"
    header = next(line for line in done.stdout.splitlines() if "episodes" in line and "F1" in line)
    assert all(column in header for column in ("solved all", "calls", "final right"))
    rows = [line for line in done.stdout.splitlines() if "oracle" in line and "1.000 [1.00, 1.00]" in line]
    assert len(rows) == 1
    assert "pass@2" in done.stdout


def test_json_is_for_machines(suite: Path) -> None:
    done = astra("eval", suite, "--model", "oracle", "--model", "first-tool", "--limit", "5", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = orjson.loads(done.stdout)
    assert found["settings"]["envs"] == 5
    oracle, first = found["models"]
    assert (oracle["model"], oracle["all"]["f1"], oracle["all"]["failed"]) == ("oracle", 1.0, 0)
    assert oracle["all"]["intervals"]["f1"] == [1.0, 1.0]
    assert first["by_hops"]["3"]["calls"] == 1.0
    assert {d["metric"] for d in found["differences"]} == {"f1", "solve_rate", "calls", "final_answer_accuracy"}


def test_an_evaluation_that_was_killed_goes_on(suite: Path, tmp_path: Path) -> None:
    arguments = ["eval", str(suite), "--model", "random", "--n-samples", "8", "--concurrency", "4", "-o"]
    whole, torn = tmp_path / "whole.jsonl", tmp_path / "torn.jsonl"
    assert astra(*arguments, whole).returncode == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "astra_gym.cli", *arguments, str(torn)], stdout=subprocess.DEVNULL
    )
    while process.poll() is None and not (torn.exists() and torn.stat().st_size > 50_000):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with torn.open("ab") as file:
        file.write(b'{"env_id": "cop')
    done = astra(*arguments, torn)
    assert done.returncode == 0, done.stderr
    assert "160 trajectories, " in done.stdout
    assert torn.read_bytes() == whole.read_bytes()


def test_another_evaluation_does_not_go_on_with_the_file(suite: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    assert astra("eval", suite, "--limit", "3", "-o", path).returncode == 0
    before = path.read_bytes()
    done = astra("eval", suite, "--limit", "3", "--seed", "1", "-o", path)
    assert done.returncode == 2
    assert "seed was 0, now 1" in done.stderr
    assert path.read_bytes() == before
    assert astra("eval", suite, "--limit", "3", "--seed", "1", "-o", path, "--overwrite").returncode == 0
    assert {t.seed for t in read_trajectories(path)} == {1}


def test_the_suite_is_not_written_over(suite: Path) -> None:
    done = astra("eval", suite, "-o", suite, "--overwrite")
    assert done.returncode == 2
    assert "is the suite itself" in done.stderr


@pytest.mark.parametrize(
    ("replies", "exit_code", "message"),
    [
        ([completion("Oslo")], 0, ""),
        ([completion("Oslo")] * 19 + [failure(401, "expired")], 0, "1 of 20 episodes failed and do not count"),
        ([completion("Oslo")] * 10 + [failure(401, "expired")], 1, "10 of 20 episodes failed"),
        ([failure(401, "expired")], 1, "16 episodes failed one after the other"),
    ],
)
def test_failed_episodes_are_told_and_too_many_fail_the_command(
    suite: Path, replies: list[Any], exit_code: int, message: str
) -> None:
    with serving(*replies) as server:
        options = ("--model", "openai:m", "--base-url", server.base_url, "--concurrency", "1")
        done = astra("eval", suite, *options)
    assert done.returncode == exit_code, done.stdout + done.stderr
    assert message in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "orakel"), "did you mean oracle"),
        (("--model", "oracle", "--temperature", "0.5"), "they are rules"),
        (("--ids", "copy-99-v0"), "the nearest are copy-9-v0"),
        (("--n-samples", "0"), "Invalid value"),
    ],
)
def test_bad_usage_is_one_message(suite: Path, arguments: tuple[str, ...], message: str) -> None:
    done = astra("eval", suite, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
