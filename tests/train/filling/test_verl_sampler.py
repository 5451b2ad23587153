"""The sampler inside verl: see `verl_run.py`, which plays all scenarios in one process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")
HERE = Path(__file__).parent
pytestmark = pytest.mark.timeout(900)  # starting Ray and importing verl takes its time on a busy machine


@pytest.fixture(scope="module")
def played() -> dict[str, Any]:
    env = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "RAY_AUTH_MODE": "disabled",
        "RAY_worker_niceness": "0",
        "PYTHONPATH": str(HERE.parents[2]),
    }
    done = subprocess.run([sys.executable, HERE / "verl_run.py"], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def keys_of(*uids: str, sessions: int = 4) -> list[str]:
    return [f"{uid}_{session}_0" for uid in uids for session in range(sessions)]


def test_a_batch_is_whole_valid_groups_in_the_order_of_sending_out(played):
    run = played["surplus_waits"]
    assert run["first"] == ["u1", "u2"], run
    assert run["keys"] == keys_of("u1", "u2")
    assert run["sent"] == [2, 2], "verl's own batch and one refill of a batch"


def test_invalid_groups_are_cleared_at_once_and_the_surplus_stays_in_the_queue(played):
    run = played["surplus_waits"]
    assert run["held"] == sorted([*keys_of("u1", "u2", "u3"), "u3"])
    assert run["left"] == []


def test_a_waiting_group_keeps_the_log_probs_and_the_version_of_the_policy_that_sampled_it(played):
    run = played["surplus_waits"]
    assert run["second"] == ["u3", "u5"]
    assert run["tags"] == [0] * 4 + [1] * 4
    assert [row[0] for row in run["recorded"]] == [-1.0, -1.1, -1.2, -1.3, -2.0, -2.1, -2.2, -2.3]


def test_in_bypass_mode_the_trainer_takes_the_recorded_log_probs_as_the_old_ones(played):
    run = played["surplus_waits"]
    assert run["old"] == run["recorded"]


def test_the_statistics_reach_the_trainers_metrics(played):
    first, second = played["surplus_waits"]["metrics"]
    assert (first["groups_fresh"], first["groups_refilled"], first["groups_waiting"]) == (2, 2, 1)
    assert (first["invalid_all_zero"], first["rollouts"], first["rollouts_wasted"]) == (1, 16, 4)
    assert (second["groups_from_buffer"], second["staleness_max"], second["invalid_all_one"]) == (1, 1, 1)


def test_strictly_online_nothing_older_trains(played):
    run = played["strictly_online"]
    assert "u3" in run["waiting"], run
    assert run["second"] == ["u4", "u5"]
    assert run["metrics"]["dropped_stale"] == 1
    assert run["left"] == []


def test_rollouts_lost_to_infrastructure_errors_are_left_out_and_verl_pads(played):
    run = played["infrastructure_errors"]
    assert run["keys"] == ["u0_0_0", "u0_2_0", "u0_3_0", *keys_of("u3")], run
    assert run["padded"] == 8
    assert run["metrics"]["rollouts_masked"] == 5
    assert run["left"] == []


def test_a_failed_group_trains_on_what_is_there_or_is_replaced(played):
    run = played["failed_groups"]
    assert run["keys"] == [*keys_of("u1", sessions=2), *keys_of("u2")], run
    assert run["held"] == sorted(["u3", *keys_of("u3")])


def test_nothing_with_signal_ends_in_a_clear_error(played):
    run = played["no_signal"]
    assert run["error"] == "NoSignalError"
    assert "0 found in 6 groups (24 rollouts" in run["message"]
    assert "all_zero 5, all_one 1" in run["message"]


@pytest.mark.parametrize(("name", "sent"), [("flat", [2, 2, 2]), ("unfiltered", [2])])
def test_groups_without_signal_train_where_that_is_asked_for(played, name, sent):
    run = played[name]
    assert (run["uids"], run["sent"], run["left"]) == (["u0", "u1"], sent, []), run
    assert run["metrics"]["invalid_all_one"] == 1


def test_validation_is_left_to_verl_and_polls_as_often_as_asked_for(played):
    assert played["validation"] == {"keys": 4, "metrics": {}, "poll": 0.01}


def test_an_asynchronous_trainer_does_not_wait_and_every_lost_group_is_replaced(played):
    run = played["asynchronous"]
    assert (run["uids"], run["sent"], run["flying"]) == (["u1", "u2"], [3, 1], ["u3"]), run
    assert run["left"] == ["u3"]


def test_a_metric_that_the_agent_loop_does_not_report_is_an_error(played):
    run = played["missing_reward"]
    assert run["error"] == "RolloutDataError"
    assert "u0_0_0: no 'elegance' in reward_extra_info" in run["message"]


def test_verl_refuses_to_build_the_sampler_where_old_log_probs_would_be_wrong(played):
    run = played["no_bypass"]
    assert run["error"] == "FillingConfigError"
    assert "bypass_mode=true" in run["message"]
