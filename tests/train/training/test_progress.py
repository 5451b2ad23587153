"""Following a run's metrics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from astra_train.training.progress import MetricsFile, Step, StepLines, duration, phase, read_metrics

GRPO = {
    "training/global_step": 3,
    "critic/score/mean": 0.5,
    "episode/f1": 0.5,
    "episode/solve_rate": 0.25,
    "episode/calls": 1.75,
    "timing_s/step": 20.0,
    "perf/total_num_tokens": 4000,
}
VALIDATION = {
    "val-core/astra_gym/reward/mean@1": 0.4,
    "val-aux/astra_gym/f1/mean@1": 0.4,
    "val-aux/astra_gym/solve_rate/mean@1": 0.125,
    "val-aux/astra_gym/calls/mean@1": 2.0,
    "val-aux/num_turns/mean": 5.0,
}


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        stream.writelines(lines)


def logged(step: int, **data: float) -> str:
    return json.dumps({"step": step, "data": data}) + "\n"


def follower(tmp_path: Path, number: int = 1) -> MetricsFile:
    return MetricsFile(tmp_path / "attempts" / f"{number}.jsonl", tmp_path / "metrics.jsonl", number)


def test_each_step_is_read_once_and_kept(tmp_path: Path):
    file = follower(tmp_path)
    assert file.read() == []
    write(file.attempt, logged(1, a=1.0), logged(2, a=2.0)[:-5])
    assert [step.step for step in file.read()] == [1]
    write(file.attempt, logged(2, a=2.0)[-5:])
    assert [step.data for step in file.read()] == [{"a": 2.0}]
    assert file.read() == []
    assert list(read_metrics(file.run)) == [{"step": 1, "attempt": 1, "a": 1.0}, {"step": 2, "attempt": 1, "a": 2.0}]


def test_a_resumed_run_forgets_what_came_after_its_checkpoint(tmp_path: Path):
    first = follower(tmp_path)
    write(first.attempt, *(logged(step, a=1.0) for step in range(1, 6)))
    first.read()
    second = follower(tmp_path, 2)
    second.begin(resumed_step=3)
    write(second.attempt, logged(4, a=9.0))
    second.read()
    assert [(line["step"], line["attempt"]) for line in read_metrics(second.run)] == [(1, 1), (2, 1), (3, 1), (4, 2)]


def test_what_was_logged_but_not_taken_over_before_a_kill_is_kept(tmp_path: Path):
    first = follower(tmp_path)
    write(first.attempt, logged(1, a=1.0))
    first.read()
    write(first.attempt, logged(2, a=1.0), logged(3, a=1.0))
    second = follower(tmp_path, 2)
    second.begin(resumed_step=2, former=first.attempt)
    write(second.attempt, logged(3, a=9.0))
    second.read()
    assert [(line["step"], line["attempt"]) for line in read_metrics(second.run)] == [(1, 1), (2, 1), (3, 2)]


def test_a_damaged_line_is_left_out(tmp_path: Path):
    file = follower(tmp_path)
    write(file.attempt, "{broken\n", '{"step": "x"}\n', logged(1, a=1.0))
    assert [step.step for step in file.read()] == [1]


def test_a_line_shows_f1_solved_and_calls_side_by_side():
    line = StepLines(total=10).line(Step(3, GRPO))
    for part in ("step 3/10", "reward 0.500", "F1 0.500", "solved 0.250", "calls 1.75", "200 tokens/s", "ETA 2m 20s"):
        assert part in line


def test_held_out_numbers_are_the_means_by_name():
    step = Step(0, VALIDATION)
    assert not step.trained
    assert step.validation == {"reward": 0.4, "f1": 0.4, "solve_rate": 0.125, "calls": 2.0}
    assert "held out: F1 0.400  solved 0.125  calls 2.000" in StepLines(total=None).line(step)


def test_sft_shows_its_loss_and_no_eta_at_the_end():
    line = StepLines(total=2).line(Step(2, {"train/loss": 1.25, "train/lr": 2e-3, "train/global_tokens": 100}))
    assert "loss 1.2500" in line
    assert "ETA" not in line


@pytest.mark.parametrize(("seconds", "text"), [(5, "5s"), (65, "1m 05s"), (3725, "1h 02m")])
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_the_phase_is_that_of_this_attempt(tmp_path: Path):
    log = tmp_path / "log.txt"
    assert phase(log) == "starting"
    log.write_text("all initialize finished\n")
    start = log.stat().st_size
    assert phase(log) == "first rollout"
    with log.open("a") as stream:
        stream.write("ray init kwargs: {}\n")
    assert phase(log, start) == "starting Ray"
