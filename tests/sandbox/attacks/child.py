"""The process in which attacks run: `python -m tests.sandbox.attacks.child ISOLATION` reads attacks, writes reports.

It says on its standard output, one JSON line each: which call it is about to make (so that the parent knows where it
hangs), and at the end of each attack a report.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from typing import Any

import orjson

from astra_gym.errors import PolicyError, SpecError
from astra_gym.sandbox import Limits, Program, ToolExecutor, make_executor
from astra_gym.sandbox.executor import Isolation
from astra_gym.types import ToolCall, ToolFunction, ToolResult
from tests.sandbox.attacks import Attack, attack_of
from tests.sandbox.attacks.witness import (
    MEMORY_GROWTH,
    AuditLog,
    changes,
    forget_peak,
    open_files,
    peak_memory,
    record,
    resident_memory,
)

ADDRESS_SPACE = 6 << 30
LIMITS = Limits(wall_s=1.0)
SEED = 7
HEALTHY = ToolFunction(
    name="healthy",
    description="Shows that the interpreter still works.",
    parameters={"type": "object"},
    source=(
        "import json, math, re, decimal, datetime, collections, random\n"
        "def healthy():\n"
        "    words = sorted({'b', 'a'}, key=lambda w: w.upper())\n"
        "    third = str(decimal.Decimal(1) / 3)\n"
        "    found = re.findall(r'[a-z]+', 'ab cd')\n"
        "    now = datetime.datetime.now().isoformat()\n"
        "    count = collections.Counter('aab').most_common(1)\n"
        "    return [words, third, found, now, count, json.dumps({'a': [1, None]}), math.pi, random.random()]\n"
    ),
)


class Stage:
    """Runs attacks one after another and watches what they leave behind."""

    def __init__(self, isolation: Isolation, report_to: int) -> None:
        self.isolation = isolation
        self.report_to = report_to
        self.log = AuditLog()
        self.health = make_executor(Program((HEALTHY,)), "inprocess")
        self.sane = self.check_health()
        make_executor(Program((HEALTHY,)), isolation).close()
        gc.collect()
        gc.freeze()
        self.before = record()

    def say(self, message: dict[str, Any]) -> None:
        os.write(self.report_to, json.dumps(message).encode() + b"\n")

    def check_health(self) -> ToolResult:
        self.health.reset(SEED)
        return self.health(ToolCall("healthy", {}))

    def run(self, attack: Attack) -> dict[str, Any]:
        files = open_files()
        forget_peak()
        memory = resident_memory()
        self.log.events.clear()
        refused, outcomes, breaches = None, [], []
        try:
            self.log.armed = self.isolation == "inprocess"
            program = program_of(attack)
            executor = make_executor(program, self.isolation)
            try:
                outcomes = self.play(attack, program, executor)
            finally:
                executor.close()
                self.log.armed = False
        except (PolicyError, SpecError) as error:
            refused = str(error)
        except BaseException as error:  # noqa: BLE001 - an attack that got an exception out is what we look for
            breaches.append(f"raised {type(error).__name__}: {str(error)[:300]}")
        finally:
            self.log.armed = False
        breaches += [f"did: {event}" for event in self.log.events[:5]]
        program = executor = None  # type: ignore[assignment]
        gc.collect()
        after = record()
        breaches += changes(self.before, after)
        self.before = after
        if self.isolation == "inprocess" and (left_open := files_left_open(files)) > 0:  # else: a worker replaced
            breaches.append(f"left open: {left_open} file descriptors")
        if peak_memory() - memory > MEMORY_GROWTH:
            breaches.append(f"grew the process by {(peak_memory() - memory) >> 20} MiB")
        if self.check_health() != self.sane:
            breaches.append("another program gives other results afterwards")
        return {"id": attack.id, "refused": refused, "outcomes": outcomes, "breaches": breaches}

    def play(self, attack: Attack, program: Program, executor: ToolExecutor) -> list[list[Any]]:
        """Outcomes of one episode, of the first call in an executor beside it, and of a second episode."""
        first = self.episode(attack, executor, attack.calls)
        if any(outcome[:2] == ["error", "tool_timeout"] for outcome in first):
            return [first]
        beside = make_executor(program, self.isolation)
        try:
            alone = self.episode(attack, beside, 1)
        finally:
            beside.close()
        return [first, alone, self.episode(attack, executor, attack.calls)]

    def episode(self, attack: Attack, executor: ToolExecutor, calls: int) -> list[Any]:
        self.say({"at": attack.id, "step": "reset"})
        executor.reset(SEED)
        outcomes = []
        for number in range(calls):
            for name in self.names(attack, number):
                self.say({"at": attack.id, "step": f"call {number + 1} of {name[:40]!r}"})
                arguments = json_copy(attack.arguments[number % len(attack.arguments)])
                outcomes.append(outcome_of(executor(ToolCall(name, arguments))))
            if outcomes[-1][:2] == ["error", "tool_timeout"]:
                break
        return outcomes

    def names(self, attack: Attack, number: int) -> list[str]:
        if attack.call_names:
            return [attack.call_names[number % len(attack.call_names)]]
        return [attack.entry, *(tool["name"] for tool in attack.also)]


def files_left_open(before: int) -> int:
    """How many descriptors there are more than before; looked at again, since the watchdog opens one now and then."""
    for _ in range(20):
        if open_files() <= before:
            return 0
        time.sleep(0.01)
    return open_files() - before


def program_of(attack: Attack) -> Program:
    """The program that an attack hands in. Raises: SpecError, PolicyError."""
    sources = [(attack.entry, attack.source), *((tool["name"], tool["source"]) for tool in attack.also)]
    tools = tuple(
        ToolFunction.model_construct(name=name, description="", parameters=attack.parameters, source=source)
        for name, source in sources
    )
    return Program(tools, attack.library, json_copy(attack.data), limits=LIMITS)


def json_copy(value: Any) -> Any:
    """A copy of plain data that shares nothing with it, however deep."""
    if isinstance(value, dict):
        return {key: json_copy(item) for key, item in value.items()}
    if isinstance(value, list) and len(value) == 1:
        return deep_copy(value)
    return [json_copy(item) for item in value] if isinstance(value, list) else value


def deep_copy(value: list[Any]) -> list[Any]:
    """A copy of a list that holds one list that holds one list and so on."""
    top: list[Any] = []
    here, there = top, value
    while len(there) == 1 and isinstance(there[0], list):
        here.append([])
        here, there = here[0], there[0]
    here.extend(json_copy(item) for item in there)
    return top


def outcome_of(result: ToolResult) -> list[Any]:
    """A result as plain data, with what is wrong with it."""
    if result.error is not None:
        return ["error", result.error.code, result.error.message]
    orjson.dumps(result.output)
    text = json.dumps(result.output, ensure_ascii=False)
    text.encode()
    return ["output", text]


def main() -> None:
    report_to = os.dup(1)
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    isolation: Isolation = "worker" if sys.argv[1] == "worker" else "inprocess"
    stage = Stage(isolation, report_to)
    stage.say({"ready": os.getpid()})
    for line in sys.stdin:
        attack = attack_of(json.loads(line))
        stage.say({"at": attack.id, "step": "load"})
        stage.say({"report": stage.run(attack)})


if __name__ == "__main__":
    main()
