"""The attack lists, and how they are run: in child processes with a hard limit, under two hash seeds."""

from __future__ import annotations

import json
import os
import re
import selectors
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
HARD_LIMIT_S = 60
"""After this an attack counts as having outlived its budget (a second or two of processor time)."""


def own_attacks() -> list[dict[str, Any]]:
    """The attacks of `attacks_own.txt`."""
    attacks = []
    for block in re.split(r"^=== ", (HERE / "attacks_own.txt").read_text(), flags=re.MULTILINE)[1:]:
        header, _, source = block.partition("\n")
        name, category = header.split(" | ")
        kind, *calls = category.split()
        attack = {"id": name, "category": kind, "entry": "f", "calls": int(calls[0]) if calls else 2, "source": source}
        attacks.append(attack)
    return attacks


def reference_attacks() -> list[dict[str, Any]]:
    """The list that may lie in a folder beside this repository; empty where there is none."""
    attacks = []
    for path in sorted(ROOT.parent.glob("*/reference/sandbox/attacks.jsonl")):
        for line in path.read_text().splitlines():
            attack = json.loads(line)
            attacks.append({**attack, "calls": max(2, attack.get("calls", 1))})
    return attacks


@dataclass
class Child:
    """A process that runs attacks; replaced when one outlives its budget."""

    kind: str
    hash_seed: int

    def run(self, attacks: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Report of each attack by id; {"failed": reason} for one that hung or killed the process."""
        reports: dict[str, dict[str, Any]] = {}
        waiting = list(attacks)
        while waiting:
            done = self._run_until_failure(waiting, reports)
            waiting = waiting[done:]
        return reports

    def _run_until_failure(self, attacks: list[dict[str, Any]], reports: dict[str, dict[str, Any]]) -> int:
        """Run as many as one process survives; returns how many have a report now."""
        environment = {
            **os.environ,
            "PYTHONHASHSEED": str(self.hash_seed),
            "TZ": ("UTC", "Asia/Tokyo")[self.hash_seed % 2],
        }
        with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile() as lines:
            for attack in attacks:
                lines.write(json.dumps(attack).encode() + b"\n")
            lines.seek(0)
            process = subprocess.Popen(
                [sys.executable, str(HERE / "attack_child.py"), self.kind, scratch],
                stdin=lines,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd=ROOT,
            )
            try:
                return self._collect(process, attacks, reports)
            finally:
                process.kill()
                process.communicate()

    def _collect(
        self, process: subprocess.Popen[bytes], attacks: list[dict[str, Any]], reports: dict[str, dict[str, Any]]
    ) -> int:
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            for count, attack in enumerate(attacks, 1):
                ready = selector.select(HARD_LIMIT_S)
                line = process.stdout.readline() if ready else b""
                if not line:
                    stderr = b"" if not ready else (process.stderr.read()[-2000:] if process.stderr else b"")
                    reason = (
                        f"the process died: {stderr.decode(errors='replace')}" if ready else "it outlived its budget"
                    )
                    reports[attack["id"]] = {"failed": reason}
                    return count
                report = json.loads(line)
                assert report["id"] == attack["id"]
                reports[attack["id"]] = report
        return len(attacks)
