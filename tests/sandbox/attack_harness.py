"""Runs lists of attacks in processes that may hang or die, and says of each attack what came of it."""

from __future__ import annotations

import json
import os
import re
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.sandbox.attacks import replace

ROOT = Path(__file__).parents[2]
SECRET = "canary-7f3a-do-not-read"
PATIENCE_S = 20.0
"""How long one call may take before the harness kills the process: far beyond any budget of the sandbox."""
LEAKS = re.compile(
    rf"BREACH|{SECRET}| at 0x[0-9a-f]{{4,}}|Traceback \(most recent|{re.escape(str(ROOT))}|{re.escape(sys.prefix)}"
    rf"|site-packages|/lib/python|<module|<frame|<code object|<class 'object'>|root:x:0"
)
"""What no result of an attack may show: a marker that it got through, the canary, addresses, paths, inner objects."""


@dataclass
class Report:
    """What came of one attack in one process."""

    id: str
    refused: str | None = None
    """Why the source was refused, when it was."""
    outcomes: list[list[list[str]]] = field(default_factory=list)
    """Of an episode, of the first call in an executor beside it, of a second episode: code and text of each call."""
    breaches: list[str] = field(default_factory=list)
    """What the attack reached or changed, and how the process ended when it did not survive."""

    @property
    def timed_out(self) -> bool:
        """Whether the clock stopped it: the one outcome that may differ from run to run."""
        return any(outcome[:2] == ["error", "tool_timeout"] for episode in self.outcomes for outcome in episode)

    def findings(self) -> list[str]:
        """Everything that is wrong with this outcome."""
        found = list(self.breaches)
        texts = [self.refused or ""] + [text for episode in self.outcomes for outcome in episode for text in outcome]
        found += [f"shows {match.group()!r}" for text in texts if (match := LEAKS.search(text))]
        errors = [outcome for episode in self.outcomes for outcome in episode if outcome[0] == "error"]
        found += [f"error {code}: {text}" for _, code, text in errors if code in ("internal_error", "tool_crashed")]
        if len(self.outcomes) == 3 and not self.timed_out:
            first, alone, second = self.outcomes
            if first != second:
                found.append(f"the second episode differs: {first} then {second}")
            if first[: len(alone)] != alone:
                found.append(f"another executor's first call differs: {first[:1]} and {alone}")
        return found


class Playground:
    """A folder of its own with a canary file, in which nothing may appear and from which nothing may be read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.canary = folder / "canary.txt"
        self.canary.write_text(SECRET)

    def prepare(self, record: dict[str, Any]) -> dict[str, Any]:
        """A record with the real paths in place of its placeholders."""
        record = replace(record, "CANARY_FILE", str(self.canary))
        return replace(record, "TMP_", str(self.folder / "made_"))  # type: ignore[no-any-return]

    def findings(self) -> list[str]:
        """What was written here."""
        found = [f"wrote {path.name}" for path in self.folder.iterdir() if path.name.startswith("made_")]
        return found + ([] if self.canary.read_text() == SECRET else ["changed the canary file"])


def run_attacks(records: Iterable[dict[str, Any]], isolation: str, hash_seed: int) -> dict[str, Report]:
    """Play every record in child processes; one that hangs or dies is replaced and the rest go on."""
    reports: dict[str, Report] = {}
    waiting = list(records)
    with tempfile.TemporaryDirectory() as folder:
        playground = Playground(Path(folder))
        while waiting:
            with _Child(isolation, hash_seed, playground.folder) as child:
                while waiting and child.alive:
                    report = child.play(playground.prepare(waiting.pop(0)))
                    report.breaches += playground.findings()
                    report = Report(**replace(vars(report), str(playground.folder), "FOLDER"))
                    reports[report.id] = report
    return reports


class _Child:
    """One process that plays attacks until one of them ends it."""

    def __init__(self, isolation: str, hash_seed: int, folder: Path) -> None:
        self.errors = (folder / f"stderr-{os.urandom(4).hex()}").open("w+")
        environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": str(ROOT), "TZ": _zone(hash_seed)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.sandbox.attacks.child", isolation],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
        )
        self.alive = True
        self.buffer = b""
        self.selector = selectors.DefaultSelector()
        assert self.process.stdout is not None
        self.selector.register(self.process.stdout, selectors.EVENT_READ)
        ready = self.read(60.0)
        if ready is None or "ready" not in ready:
            raise RuntimeError(f"the child did not start: {self.last_words()}")

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream is not None:
                stream.close()
        self.selector.close()

    def play(self, record: dict[str, Any]) -> Report:
        """Report on one attack, also when the process did not survive it."""
        step = "load"
        try:
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps(record).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return self.ended(record["id"], step)
        while True:
            message = self.read(PATIENCE_S)
            if message is None:
                return self.ended(record["id"], step)
            if "report" in message:
                return Report(**message["report"])
            step = message["step"]

    def read(self, patience_s: float) -> dict[str, Any] | None:
        """The next message; None when the process hangs or has ended."""
        assert self.process.stdout is not None
        while b"\n" not in self.buffer:
            if not self.selector.select(patience_s):
                return None
            more = os.read(self.process.stdout.fileno(), 1 << 16)
            if not more:
                return None
            self.buffer += more
        line, _, self.buffer = self.buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def ended(self, attack: str, step: str) -> Report:
        """The report on an attack that ended the process, or had to be ended with it."""
        self.alive = False
        try:
            status = self.process.wait(1.0)
        except subprocess.TimeoutExpired:
            return Report(attack, breaches=[f"hung at {step}: killed by the harness after {PATIENCE_S:.0f} s"])
        return Report(attack, breaches=[f"ended the process (status {status}) at {step}: {self.last_words()}"])

    def last_words(self) -> str:
        self.errors.flush()
        self.errors.seek(0)
        return self.errors.read()[-600:]


def _zone(hash_seed: int) -> str:
    return "UTC" if hash_seed == 0 else "Asia/Tokyo"
