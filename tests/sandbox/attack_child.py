"""Runs attacks one after another in a process that may be lost to them; reports one JSON line each.

Usage: python attack_child.py {inprocess|worker} SCRATCH_FOLDER, attacks as JSON lines on standard input.
"""

from __future__ import annotations

import builtins
import calendar
import copyreg
import decimal
import gc
import json
import locale
import math
import os
import random
import signal
import string
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

from astra_gym.errors import PolicyError
from astra_gym.sandbox import InProcessExecutor, Program, WorkerExecutor
from astra_gym.types import ToolCall, ToolFunction

HARMLESS_EVENTS = ("builtins.id", "compile", "exec", "object.__", "code.__new__", "time.sleep", "function.__new__")
events: list[str] = []
watching = False


def hook(event: str, args: tuple[Any, ...]) -> None:
    """Notes what the interpreter was asked to do on the main thread while an attack ran."""
    if watching and threading.current_thread() is threading.main_thread() and not event.startswith(HARMLESS_EVENTS):
        events.append(f"{event}{args!r}"[:200])


def interpreter_state() -> dict[str, Any]:
    """What no tool may change."""
    return {
        "recursion limit": sys.getrecursionlimit(),
        "decimal": repr(decimal.getcontext()),
        "random": hash(random.getstate()),
        "builtins": {name: id(value) for name, value in vars(builtins).items() if name != "_"},
        "math": {name: id(value) for name, value in vars(math).items()},
        "json": {name: id(value) for name, value in vars(json).items()},
        "string": {name: id(value) for name, value in vars(string).items()},
        "environment": dict(os.environ),
        "directory": str(Path.cwd()),
        "locale": locale.setlocale(locale.LC_ALL),
        "signal": repr([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGALRM, signal.SIGTERM)]),
        "pickling": len(copyreg.dispatch_table),
        "warnings": list(map(repr, warnings.filters)),
        "calendar": (calendar.firstweekday(), list(calendar.month_name)),
        "collector": (gc.isenabled(), gc.get_threshold()),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "hooks": (
            repr(sys.excepthook),
            repr(sys.unraisablehook),
            repr(sys.displayhook),
            sys.gettrace(),
            sys.getprofile(),
        ),
        "digits": sys.get_int_max_str_digits(),
    }


def run(attack: dict[str, Any], kind: Any) -> list[list[Any]]:
    """The outcome of each episode: ["ok", output], [code, message] or ["refused", message]."""
    tool = ToolFunction(name=attack["entry"], description="", parameters={"type": "object"}, source=attack["source"])
    try:
        executor = kind(Program((tool,), name="attack"))
    except PolicyError as error:
        return [["refused", str(error)]]
    outcomes = []
    for _ in range(attack["calls"]):
        executor.reset(7)
        result = executor(ToolCall(attack["entry"], {}))
        outcomes.append(["ok", result.output] if result.error is None else [result.error.code, result.error.message])
    executor.close()
    return outcomes


def main() -> None:
    global watching
    kind, scratch = sys.argv[1], Path(sys.argv[2])
    in_process = kind == "inprocess"
    warm_up = {"entry": "f", "source": "import decimal, re\ndef f():\n    return 1\n", "calls": 2}
    executor = InProcessExecutor if in_process else WorkerExecutor
    run(warm_up, executor)
    canary = scratch / "canary.txt"
    canary.write_text("untouched")
    accessed = canary.stat().st_mtime_ns
    if in_process:
        sys.addaudithook(hook)
    for line in sys.stdin:
        attack = json.loads(line)
        source = attack["source"].replace("CANARY_FILE", str(canary)).replace("PWNED_FILE", str(scratch / "pwned"))
        attack["source"] = source.replace("TMP_sbx_pwn26", str(scratch / "pwned"))
        before = interpreter_state()
        events.clear()
        watching = in_process
        outcomes = run(attack, executor)
        watching = False
        after = interpreter_state()
        changed = sorted(name for name in before if before[name] != after[name])
        touched = list(events)
        if canary.stat().st_mtime_ns != accessed or "untouched" in json.dumps(outcomes):
            touched.append("the canary file was read or written")
        if extra := sorted(path.name for path in scratch.iterdir() if path != canary):
            touched.append(f"files appeared: {extra}")
        report = {"id": attack["id"], "outcomes": outcomes, "changed": changed, "touched": touched}
        sys.stdout.write(json.dumps(report).replace(str(scratch), "SCRATCH") + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
