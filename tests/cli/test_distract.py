"""`astra distract` as a user meets it: a certified suite with its bands recorded, or one readable line."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest

from astra_gym.cli import main
from astra_gym.distractors import BANDS
from astra_gym.suite import open_suite, write_suite
from tests.distractors.specs import POOL_SPECS
from tests.suites import certified


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def astra(*arguments: str | Path) -> Done:
    """The command in this process: to start one each time would take longer than all else."""
    before, sys.argv = sys.argv, ["astra", *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as ended:
        return Done(int(ended.code or 0), out.getvalue(), err.getvalue())
    finally:
        sys.argv = before
    return Done(0, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("distract") / "suite.jsonl"
    # All hold by themselves but the one whose document gives its own answer away.
    write_suite(path, [certified(spec) for spec in POOL_SPECS])
    return path


@pytest.fixture(scope="module")
def mixed(suite: Path) -> tuple[Path, dict[str, object]]:
    path = suite.with_name("mixed.jsonl")
    done = astra("distract", suite, "-o", path, "--workers", "1", "--json")
    assert done.returncode == 0, done.stderr
    return path, orjson.loads(done.stdout)


def test_every_env_is_mixed_and_certified(mixed: tuple[Path, dict[str, object]]) -> None:
    path, report = mixed
    specs = list(open_suite(path))
    assert report["kept"] == len(specs) == len(POOL_SPECS)
    assert report["rejected"] == 0
    assert report["pool"] == sum(len(spec.tools) for spec in POOL_SPECS)
    assert [spec.provenance.details["distractors"]["of"] for spec in specs] == [spec.id for spec in POOL_SPECS]
    bands = [spec.distractor_band for spec in specs]
    assert report["envs_by_band"] == {band: bands.count(band) for band in BANDS if band in bands}
    assert report["refused_by_reason"]["leak"] >= 1
    assert astra("check", path, "--workers", "1").returncode == 0


def test_two_processes_write_the_same_bytes(suite: Path, mixed: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    again = tmp_path / "again.jsonl"
    assert astra("distract", suite, "-o", again, "--workers", "2").returncode == 0
    assert again.read_bytes() == mixed[0].read_bytes()


def test_a_second_run_goes_on_and_other_options_are_refused(suite: Path, mixed: tuple[Path, dict[str, object]]) -> None:
    path = mixed[0]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]) + lines[3][:50])
    done = astra("distract", suite, "-o", path, "--workers", "1", "--json")
    assert orjson.loads(done.stdout)["resumed"] == 3
    assert path.read_bytes() == b"".join(lines)
    other = astra("distract", suite, "-o", path, "--seed", "1")
    assert other.returncode == 2
    assert "--overwrite" in other.stderr


def test_the_ablations_arms_and_a_pool_from_elsewhere(suite: Path, tmp_path: Path) -> None:
    one = tmp_path / "one.jsonl"
    write_suite(one, [certified(POOL_SPECS[0])])
    options = ("--variant", "random", "--k", "1", "--bands", "high,low", "--workers", "1")
    done = astra("distract", one, "-o", tmp_path / "random.jsonl", "--pool", suite, *options)
    assert done.returncode == 0, done.stderr
    assert "2 tools of a pool of" in done.stdout
    (spec,) = open_suite(tmp_path / "random.jsonl")
    assert spec.distractor_band == "random"
    assert len(spec.tools) == len(POOL_SPECS[0].tools) + 2
    plain = astra("distract", one, "-o", tmp_path / "none.jsonl", "--variant", "none", "--workers", "1", "--json")
    assert orjson.loads(plain.stdout)["envs_by_band"] == {"none": 1}
    assert [spec.id for spec in open_suite(tmp_path / "none.jsonl")] == [POOL_SPECS[0].id]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--bands", "high,higher"), 2, "found 'higher'"),
        (("--k", "0"), 2, "--k"),
        (("--variant", "some"), 2, "--variant"),
        (("--embedding", "word2vec"), 2, "there are tfidf"),
    ],
)
def test_bad_usage_is_one_message(
    suite: Path, tmp_path: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    done = astra("distract", suite, "-o", tmp_path / "out.jsonl", *options)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_a_suite_of_one_domain_needs_a_pool(tmp_path: Path) -> None:
    write_suite(tmp_path / "one.jsonl", [certified(POOL_SPECS[0])])
    done = astra("distract", tmp_path / "one.jsonl", "-o", tmp_path / "out.jsonl")
    assert done.returncode == 1
    assert "--pool" in done.stderr


def test_what_is_mixed_already_is_refused(mixed: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    done = astra("distract", mixed[0], "-o", tmp_path / "out.jsonl")
    assert done.returncode == 1
    assert "has distractors already" in done.stderr
