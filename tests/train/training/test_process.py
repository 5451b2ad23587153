"""The child process: its end, its signals, its log."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from astra_train.training.process import run_child

PATIENCE_S = 60


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def wait_for(path: Path) -> str:
    for _ in range(PATIENCE_S * 20):
        if path.is_file() and (text := path.read_text()):
            return text
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")


def gone(pid: int) -> bool:
    for _ in range(PATIENCE_S * 20):
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.05)
                continue
        return True
    return False


@pytest.mark.parametrize("code", [0, 3])
def test_the_exit_code_and_all_output_are_kept(tmp_path: Path, code):
    log, polls = tmp_path / "log.txt", []
    text = f"import os, sys; print('out'); print(os.environ['MINE'], file=sys.stderr); sys.exit({code})"
    outcome = run_child(python(text), {"MINE": "given"}, log, lambda: polls.append(1))
    assert (outcome.exit_code, outcome.stopped_by) == (code, None)
    assert sorted(log.read_text().split()) == ["given", "out"]
    assert polls


def test_the_log_of_a_former_attempt_stays(tmp_path: Path):
    log = tmp_path / "log.txt"
    for word in ("one", "two"):
        run_child(python(f"print('{word}')"), {}, log, lambda: None)
    assert log.read_text().split() == ["one", "two"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_child_and_what_it_started(tmp_path: Path, number):
    started = tmp_path / "pids"
    code = (
        "import subprocess, sys, time, os; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
        f" start_new_session=True); open({str(started)!r}, 'w').write(f'{{os.getpid()}} {{p.pid}}'); time.sleep(600)"
    )

    def interrupt() -> None:
        wait_for(started)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    outcome = run_child(python(code), {}, tmp_path / "log.txt", lambda: None, end_s=1.0)
    thread.join()
    assert outcome.stopped_by == number
    assert all(gone(int(pid)) for pid in started.read_text().split())


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path):
    ready = tmp_path / "ready"
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"open({str(ready)!r}, 'w').write('1'); time.sleep(600)"
    )

    def interrupt() -> None:
        wait_for(ready)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    outcome = run_child(python(code), {}, tmp_path / "log.txt", lambda: None, end_s=0.5)
    thread.join()
    assert outcome.exit_code == -signal.SIGKILL


def test_our_own_handlers_are_back_afterwards(tmp_path: Path):
    before = signal.getsignal(signal.SIGINT)
    run_child(python("pass"), {}, tmp_path / "log.txt", lambda: None)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_the_child_ends_when_we_are_killed(tmp_path: Path):
    started = tmp_path / "pid"
    child = f"import os, time; open({str(started)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    parent = (
        "import sys; from pathlib import Path; from astra_train.training.process import run_child;"
        f"run_child([sys.executable, '-c', {child!r}], {{}}, Path({str(tmp_path / 'log.txt')!r}), lambda: None)"
    )
    process = subprocess.Popen(python(parent))
    pid = int(wait_for(started))
    process.kill()
    process.wait()
    assert gone(pid)
