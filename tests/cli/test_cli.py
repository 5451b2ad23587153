"""The command `astra` as a user meets it: in a process of its own, by exit code and by what is printed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

import astra_gym

SHIPPED_ID = astra_gym.shipped_ids()[0]

RECORDS = [
    {
        "question": "Mia packs 6 boxes with 14 apples each. She sells 30 apples. How many apples are left?",
        "answer": "How many apples does Mia pack? ** She packs 6*14=<<6*14=84>>84 apples.\n"
        "How many apples are left? ** 84-30=<<84-30=54>>54 apples are left.\n#### 54",
    },
    {
        "question": "A train has 9 cars of 40 seats, and 215 seats are taken. How many seats are free?",
        "answer": "How many seats are there? ** There are 9*40=<<9*40=360>>360 seats.\n"
        "How many seats are free? ** 360-215=<<360-215=145>>145 are free.\n#### 145",
    },
    {"question": "No steps here.", "answer": "#### 1"},
]


def astra(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "astra_gym.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=cwd)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("records") / "mini.jsonl"
    path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in RECORDS))
    return path


@pytest.fixture(scope="module")
def suite(records: Path) -> Path:
    path = records.parent / "mini_suite.jsonl"
    done = astra("import", "gsm8k", records, "-o", path, "--workers", "1", "--json")
    assert done.returncode == 0, done.stderr
    report = orjson.loads(done.stdout)
    assert (report["kept"], report["rejected"]) == (2, 1)
    return path


def test_help_names_every_command() -> None:
    done = astra("--help")
    assert done.returncode == 0
    for command in ("import", "synthesize", "list", "check", "play", "eval", "bench", "demo"):
        assert command in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [("import", "gsm8k"), ("import", "nowhere"), ("check", "--wrong"), ("synthesize", "tables", "-n", "0"), ("sing",)],
    ids=lambda a: " ".join(a),
)
def test_bad_usage_exits_with_2_and_no_traceback(arguments: tuple[str, ...]) -> None:
    done = astra(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_rejected_record_is_in_its_own_file_with_stage_and_reason(suite: Path) -> None:
    lines = suite.with_suffix(".rejected.jsonl").read_bytes().splitlines()
    rejected = [orjson.loads(line) for line in lines]
    assert len(rejected) == 1
    assert rejected[0]["stage"]
    assert rejected[0]["reason"]


def test_a_second_import_finds_everything_there(records: Path, suite: Path) -> None:
    before = suite.read_bytes()
    done = astra("import", "gsm8k", records, "-o", suite, "--workers", "1")
    assert done.returncode == 0
    assert "3 items were there already" in done.stdout
    assert suite.read_bytes() == before


def test_an_import_refuses_to_write_over_another_one(records: Path, suite: Path) -> None:
    before = suite.read_bytes()
    done = astra("import", "gsm8k", records, "-o", suite, "--limit", "1")
    assert done.returncode == 2
    assert "--overwrite" in done.stderr
    assert suite.read_bytes() == before


def test_a_corrupt_line_is_named_and_can_be_skipped(records: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    lines = records.read_bytes().splitlines(keepends=True)
    bad.write_bytes(lines[0] + b'{"question": "cut o\n' + lines[1])
    done = astra("import", "gsm8k", bad, "-o", tmp_path / "a.jsonl", "--workers", "1")
    assert done.returncode == 1
    assert "bad.jsonl:2" in done.stderr
    assert "Traceback" not in done.stderr
    done = astra("import", "gsm8k", bad, "-o", tmp_path / "b.jsonl", "--workers", "1", "--skip-bad", "--json")
    assert done.returncode == 0
    assert orjson.loads(done.stdout)["kept"] == 2


def test_check_passes_a_sound_suite_and_names_a_tampered_spec(suite: Path, tmp_path: Path) -> None:
    done = astra("check", suite)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all 2 envs hold" in done.stdout
    tampered = tmp_path / "tampered.jsonl"
    tampered.write_bytes(suite.read_bytes().replace(b"14 apples", b"15 apples"))
    done = astra("check", tampered, "--json")
    assert done.returncode == 1
    failed = orjson.loads(done.stdout)["failed"]
    assert [row["stage"] for row in failed] == ["read"]
    assert "certificate" in failed[0]["reason"]


def test_the_oracle_scores_one_and_the_random_policy_hardly(suite: Path) -> None:
    played = orjson.loads(astra("eval", suite, "--model", "oracle", "--model", "random", "--json").stdout)
    oracle, random = (found["all"] for found in played["models"])
    assert oracle["f1"] == pytest.approx(1.0)
    assert oracle["solve_rate"] == 1.0
    assert random["f1"] < 0.1


def test_play_shows_an_episode_and_keeps_its_trajectory(suite: Path, tmp_path: Path) -> None:
    name = orjson.loads(suite.read_bytes().splitlines()[0])["id"]
    kept = tmp_path / "t.jsonl"
    done = astra("play", f"mine/{name}", "--suite", suite, "--model", "oracle", "-o", kept)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 sub-questions solved with 2 calls" in done.stdout
    (trajectory,) = astra_gym.read_trajectories(kept)
    assert trajectory.total_reward == pytest.approx(1.0)


def test_an_unknown_env_is_answered_with_the_nearest_ids() -> None:
    wrong = SHIPPED_ID[:-4] + SHIPPED_ID[-3:]
    done = astra("play", wrong, "--model", "oracle")
    assert done.returncode == 2
    assert SHIPPED_ID in done.stderr.replace("\n", "")


def test_an_unknown_model_is_answered_with_the_known_ones() -> None:
    done = astra("play", SHIPPED_ID, "--model", "orakel")
    assert done.returncode == 2
    assert "oracle" in done.stderr


def test_the_same_seed_gives_the_same_suite_twice(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        done = astra("synthesize", "tables", "-n", "8", "--seed", "5", "-o", tmp_path / name, "--workers", "1")
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_list_shows_the_shipped_suite() -> None:
    listed = orjson.loads(astra("list", "--json").stdout)
    assert [row["id"] for row in listed] == sorted(astra_gym.shipped_ids())


def test_a_small_demo_tells_the_whole_story(tmp_path: Path) -> None:
    done = astra("demo", "-n", "12", "-o", tmp_path / "suite.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "12 certified envs" in done.stdout
    assert "sub-questions solved" in done.stdout
    assert "oracle F1" in done.stdout
