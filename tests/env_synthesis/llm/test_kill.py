"""kill -9 and ctrl-C at any moment: nothing is lost, repeated or half-written."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from tests.env_synthesis.llm.depots import answer, write_questions
from tests.llm.server import answering

ITEMS = 6
KILLS = 10
AT_ONCE = 3


HEARS_CTRL_C = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from astra_gym.cli import main; main()"
)
"""The command; tests that run in the background of a shell hand on that ctrl-C is ignored."""


@dataclass
class Killer:
    """Sends a signal to a process when the server has been asked so often, or a little later."""

    after: int = -1
    wait_s: float = 0.0
    process: subprocess.Popen[str] | None = None
    with_signal: int = signal.SIGKILL
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self) -> None:
        with self.lock:
            self.after -= 1
            if self.after == 0 and self.process is not None:
                threading.Timer(self.wait_s, self.process.send_signal, [self.with_signal]).start()


def start(folder: Path, url: str) -> subprocess.Popen[str]:
    words = ["synthesize", "envs", "questions.jsonl", "-o", "suite.jsonl", "--mode", "question", "--model", "writer"]
    options = ["--base-url", url, "--concurrency", str(AT_ONCE), "--retries", "0", "--json"]
    command = [sys.executable, "-c", HEARS_CTRL_C, *words, *options]
    return subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finished(folder: Path, url: str) -> tuple[bytes, bytes]:
    process = start(folder, url)
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert orjson.loads(output)["unanswered"] == 0
    return (folder / "suite.jsonl").read_bytes(), (folder / "suite.rejected.jsonl").read_bytes()


def made(folder: Path, name: str) -> Path:
    path = folder / name
    path.mkdir()
    write_questions(path / "questions.jsonl", ITEMS)
    return path


def test_ten_kills_and_a_resume_give_the_bytes_of_an_undisturbed_run(tmp_path: Path) -> None:
    chance = random.Random(20250102)
    killer = Killer()
    with answering(answer, before=killer) as server:
        undisturbed = finished(made(tmp_path, "undisturbed"), server.base_url)
        asked = len(server.requests)
        folder = made(tmp_path, "disturbed")
        for _ in range(KILLS):
            killer.after = chance.randint(1, 12)
            killer.process = start(folder, server.base_url)
            killer.process.communicate(timeout=200)
            assert killer.process.returncode == -signal.SIGKILL
        killer.process = None
        assert finished(folder, server.base_url) == undisturbed
    assert len(undisturbed[0].splitlines()) == 3
    requests = Counter(orjson.dumps(request) for request in server.requests[asked:])
    assert requests.keys() == {orjson.dumps(request) for request in server.requests[:asked]}
    assert requests.total() - asked <= KILLS * AT_ONCE  # only what was under way is asked twice


def test_ctrl_c_keeps_what_is_finished_and_says_so(tmp_path: Path) -> None:
    killer = Killer(after=70, with_signal=signal.SIGINT)
    with answering(answer, before=killer) as server:
        folder = made(tmp_path, "interrupted")
        killer.process = start(folder, server.base_url)
        _, errors = killer.process.communicate(timeout=200)
        assert killer.process.returncode == 130
        assert "interrupted; what was finished is kept" in errors
        assert "Traceback" not in errors
        kept = (folder / "suite.jsonl").read_bytes()
        killer.process = None
        assert set(kept.splitlines()) <= set(finished(folder, server.base_url)[0].splitlines())
    assert len(kept.splitlines()) >= 1
    assert kept.endswith(b"\n")
