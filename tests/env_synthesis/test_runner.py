"""The corridor: order, rejection, repeats, limits, resuming, refusing to overwrite."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from astra_gym.env_synthesis.report import RunReport
from astra_gym.env_synthesis.runner import run
from astra_gym.errors import PipelineError
from astra_gym.suite import open_suite
from tests.env_synthesis.sums import Sums

CONFIG = {"seed": 1}
FLAWED = {"sum-3": "replay", "sum-4": "build", "sum-5": "duplicate", "sum-6": "read"}


def files(output: Path) -> tuple[bytes, bytes]:
    return output.read_bytes(), output.with_suffix(".rejected.jsonl").read_bytes()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    output = tmp_path_factory.mktemp("run") / "suite.jsonl"
    run(Sums(20), output, config=CONFIG, workers=1)
    return files(output)


def test_every_item_ends_as_one_line_in_one_of_the_two_files(undisturbed: tuple[bytes, bytes]) -> None:
    kept = [orjson.loads(line)["id"] for line in undisturbed[0].splitlines()]
    rejected = {line["id"]: line["stage"] for line in map(orjson.loads, undisturbed[1].splitlines())}
    assert kept == [f"sum-{i}-v0" for i in range(20) if i % 10 not in (3, 4, 5, 6)]
    assert {key: rejected[key] for key in FLAWED} == FLAWED
    assert len(kept) + len(rejected) == 20


def test_the_suite_can_be_opened_and_carries_certificates(tmp_path: Path) -> None:
    output = tmp_path / "suite.jsonl"
    report = run(Sums(10), output, config=CONFIG, workers=1)
    suite = open_suite(output)
    assert len(suite) == report.kept == 6
    assert all(spec.certificate is not None for spec in suite)


def test_the_number_of_workers_does_not_change_a_byte(tmp_path: Path, undisturbed: tuple[bytes, bytes]) -> None:
    output = tmp_path / "suite.jsonl"
    run(Sums(20), output, config=CONFIG, workers=2)
    assert files(output) == undisturbed


def test_a_limit_ends_an_endless_source(tmp_path: Path) -> None:
    report = run(Sums(), tmp_path / "suite.jsonl", config=CONFIG, limit=9, workers=1)
    assert report.kept == 9
    assert report.exhausted


def test_a_source_that_ends_before_the_limit_says_so(tmp_path: Path) -> None:
    report = run(Sums(5), tmp_path / "suite.jsonl", config=CONFIG, limit=9, workers=1)
    assert report.kept == 3
    assert not report.exhausted


def test_a_second_run_finds_everything_there(tmp_path: Path, undisturbed: tuple[bytes, bytes]) -> None:
    output = tmp_path / "suite.jsonl"
    first = run(Sums(20), output, config=CONFIG, workers=1)
    second = run(Sums(20), output, config=CONFIG, workers=1)
    assert second.resumed == 20
    assert (second.kept, second.rejected_by_stage) == (first.kept, first.rejected_by_stage)
    assert files(output) == undisturbed


KILLED = """
import sys
from pathlib import Path
from astra_gym.env_synthesis.runner import run
from tests.env_synthesis.sums import Sums
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    run(Sums(20, int(sys.argv[2]), folder / "killed"), folder / "suite.jsonl", config={"seed": 1}, workers=1)
"""


@pytest.mark.parametrize("at", [0, 7, 15])
def test_a_killed_run_goes_on_with_the_same_bytes(tmp_path: Path, undisturbed: tuple[bytes, bytes], at: int) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(at)]
    assert subprocess.run(command, timeout=120).returncode == -9
    report = run(Sums(20), tmp_path / "suite.jsonl", config=CONFIG, workers=1)
    assert report.resumed == at
    assert files(tmp_path / "suite.jsonl") == undisturbed


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("cut", [1, 40])
def test_a_line_cut_short_is_made_again(tmp_path: Path, undisturbed: tuple[bytes, bytes], which: int, cut: int) -> None:
    output = tmp_path / "suite.jsonl"
    run(Sums(17), output, config=CONFIG, workers=1)
    path = (output, output.with_suffix(".rejected.jsonl"))[which]
    content = path.read_bytes()
    if which == 1:  # the last item of the run is the one that is half written: 16 was rejected, 17 items are done
        path.write_bytes(content[:-cut])
    else:  # the last kept item is 12; what came after it cannot have been written
        rejected = output.with_suffix(".rejected.jsonl")
        rejected.write_bytes(b"".join(rejected.read_bytes().splitlines(keepends=True)[:4]))
        path.write_bytes(content[:-cut])
    run(Sums(20), output, config=CONFIG, workers=1)
    assert files(output) == undisturbed


def test_a_worker_that_dies_is_reported_and_nothing_is_lost(tmp_path: Path, undisturbed: tuple[bytes, bytes]) -> None:
    output = tmp_path / "suite.jsonl"
    with pytest.raises(PipelineError, match="run the same command"):
        run(Sums(20, 12, tmp_path / "killed"), output, config=CONFIG, workers=2)
    run(Sums(20), output, config=CONFIG, workers=2)
    assert files(output) == undisturbed


def test_another_runs_output_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    output = tmp_path / "suite.jsonl"
    run(Sums(3), output, config=CONFIG, workers=1)
    before = files(output)
    with pytest.raises(PipelineError, match="--overwrite"):
        run(Sums(3), output, config={"seed": 2}, workers=1)
    assert files(output) == before
    assert run(Sums(2), output, config={"seed": 2}, workers=1, overwrite=True).resumed == 0


def test_a_file_that_no_run_wrote_is_not_touched(tmp_path: Path) -> None:
    output = tmp_path / "suite.jsonl"
    output.write_text("mine\n")
    with pytest.raises(PipelineError, match="another run"):
        run(Sums(3), output, config=CONFIG, workers=1)
    assert output.read_text() == "mine\n"


def test_progress_sees_every_item(tmp_path: Path) -> None:
    seen: list[int] = []

    def note(report: RunReport) -> None:
        seen.append(report.kept + report.rejected)

    run(Sums(5), tmp_path / "suite.jsonl", config=CONFIG, workers=1, progress=note)
    assert seen == [1, 2, 3, 4, 5, 5]
