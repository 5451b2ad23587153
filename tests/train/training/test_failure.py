"""What a failed run says."""

from __future__ import annotations

from pathlib import Path

import pytest

from astra_train.training.failure import explain_failure, last_error, log_lines

RAY = """\
\x1b[36m(TaskRunnerV1 pid=12)\x1b[0m INFO: fine
Error executing job with overrides: ['a=1']
Traceback (most recent call last):
  File "/x/verl/trainer/main_ppo.py", line 99, in run_ppo
    ray.get(runner.run.remote(config))
  File "/x/ray/_private/worker.py", line 2, in get
ray.exceptions.RayTaskError(ValueError): \x1b[36mray::TaskRunnerV1.run()\x1b[39m (pid=12)
  File "/x/astra_train/agent_loop.py", line 7, in run
    raise ValueError(text)
ValueError: astra/x-v0: the prompt has 99 tokens

Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.
*** SIGTERM received
"""


def test_the_last_error_is_found_without_rays_noise(tmp_path: Path):
    log = tmp_path / "log.txt"
    log.write_text(RAY)
    said = "\n".join(last_error(log_lines(log)))
    assert "astra/x-v0: the prompt has 99 tokens" in said
    assert "\x1b" not in said
    assert "(TaskRunnerV1" not in said


def test_the_message_names_code_log_and_error(tmp_path: Path):
    log = tmp_path / "log.txt"
    log.write_text(RAY)
    message = explain_failure(log, 1)
    assert "exit code 1" in message
    assert str(log) in message
    assert "99 tokens" in message


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("OSError: [Errno 28] No space left on device", 1, "disk is full"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried", 1, "GPU's memory is full"),
        ("astra_train.filling.errors.NoSignalError: step 3", 1, "learning signal"),
        ("nothing", -9, "was killed"),
    ],
)
def test_known_failures_come_with_what_would_help(tmp_path: Path, text, code, hint):
    log = tmp_path / "log.txt"
    log.write_text(f"before\n{text}\n")
    assert hint in explain_failure(log, code)


def test_a_log_without_an_error_ends_with_its_last_lines(tmp_path: Path):
    log = tmp_path / "log.txt"
    log.write_text("\n".join(f"line {i}" for i in range(100)))
    assert last_error(log_lines(log))[-1] == "line 99"
    assert explain_failure(tmp_path / "none.txt", 1).endswith("none.txt")
