"""The locks hold against unrestricted Python: what the policy would have to miss for them to matter."""

from __future__ import annotations

import ctypes
import json
import platform
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from astra_gym.errors import SandboxError
from astra_gym.sandbox import Program, isolation_report, make_executor
from astra_gym.sandbox.worker import executor as worker_executor
from astra_gym.sandbox.worker import seccomp
from astra_gym.sandbox.worker.lockdown import LOCKS, REQUIRED, missing
from astra_gym.types import ToolCall

HERE = Path(__file__).parent
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="these locks are Linux's")


def jailed(code: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(HERE / "jailed.py")],
        input=code,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=HERE.parents[1],
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def has(lock: str) -> bool:
    return sys.platform.startswith("linux") and bool(jailed("answer = 1")["report"][lock])


FORBIDDEN = {
    "open a file": "open('/etc/passwd').read()",
    "write a file": "open('/tmp/astra-jail', 'w').write('x')",
    "list a folder": "os.listdir('/')",
    "a socket": "socket.socket()",
    "a local socket": "socket.socketpair()",
    "fork": "os.fork()",
    "exec": "os.execv('/bin/true', ['true'])",
    "spawn": "os.posix_spawn('/bin/true', ['true'], {})",
    "system": "os.system('true')",
    "a thread": "__import__('threading').Thread(target=print).start()",
    "kill another process": "os.kill(os.getppid(), 9)",
    "kill itself by name": "os.kill(1, 0)",
    "who am I": "os.getuid()",
    "change the mask": "os.umask(0)",
    "a pipe": "os.pipe()",
    "executable memory": "__import__('mmap').mmap(-1, 4096, prot=7)",
    "raise a limit": "__import__('resource').setrlimit(0, (1, 1))",
    "write to a descriptor": "os.write(1, b'x')",
    "duplicate a descriptor": "os.dup(1)",
    "rename": "os.rename('/tmp/a', '/tmp/b')",
    "chroot": "os.chroot('/')",
    "late import": "import xml.dom.minidom",
    "sleep": "__import__('time').sleep(1)",
}


@linux
@pytest.mark.parametrize("code", [pytest.param(code, id=name) for name, code in FORBIDDEN.items()])
def test_the_kernel_kills_whoever_asks_for_more(code: str) -> None:
    outcome = jailed(f"import resource, mmap, time\nanswer = ({code})" if "import xml" not in code else code)
    if not outcome["report"]["seccomp"]:
        pytest.skip("this platform grants no seccomp filter")
    assert outcome["killed_by"] == signal.SIGSYS


@linux
def test_allocating_without_end_is_a_memory_error() -> None:
    outcome = jailed("answer = len(bytearray(3 << 30))")
    assert outcome["answer"].startswith("MemoryError")
    assert outcome["killed_by"] == 0


@linux
def test_what_answering_calls_needs_is_allowed() -> None:
    code = "import random\nxs = [str(i) * 100 for i in range(200_000)]\nanswer = [len(xs), len(os.urandom(4))]"
    assert jailed(code)["answer"] == "[200000, 4]"


@linux
def test_the_environment_is_empty_and_nothing_is_open_but_the_socket() -> None:
    outcome = jailed("answer = dict(os.environ)")
    assert outcome["answer"] == "{}"


def test_landlock_alone_closes_the_files() -> None:
    code = (
        "import ctypes\n"
        "from astra_gym.sandbox.worker import landlock, seccomp\n"
        "libc = ctypes.CDLL(None)\n"
        "if not (seccomp.no_new_privileges(libc) and landlock.install(libc)): print('absent')\n"
        "else:\n"
        "    try: print(open('/etc/hostname').read())\n"
        "    except PermissionError: print('denied')\n"
    )
    if not has("landlock"):
        pytest.skip("this platform grants no landlock")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "denied"


@pytest.mark.parametrize("machine", sorted(seccomp.MACHINES))
def test_the_filter_decides_as_listed(machine: str) -> None:
    """The BPF program, run by a small interpreter of its own."""
    architecture, numbers = seccomp.MACHINES[machine]
    code = seccomp.build_filter(machine)
    assert code is not None
    lines = list(struct.iter_unpack("<HBBI", code))

    def decide(arch: int, number: int, third: int = 0) -> int:
        data = struct.pack("<iIQ6Q", number, arch, 0, 0, 0, third, 0, 0, 0)
        at = accumulator = 0
        while True:
            operation, yes, no, operand = lines[at]
            at += 1
            if operation == seccomp.LOAD:
                accumulator = struct.unpack_from("<I", data, operand)[0]
            elif operation == seccomp.RETURN:
                return int(operand)
            else:
                test = {
                    seccomp.JUMP_EQUAL: accumulator == operand,
                    seccomp.JUMP_GREATER_EQUAL: accumulator >= operand,
                    seccomp.JUMP_SET: bool(accumulator & operand),
                }[operation]
                at += yes if test else no

    allowed = set(numbers.values())
    for number in range(600):
        expected = seccomp.ALLOW if number in allowed else seccomp.KILL
        assert decide(architecture, number) == expected, number
    for name in seccomp.CHECKED:
        assert decide(architecture, numbers[name], third=seccomp.PROT_EXEC | 1) == seccomp.KILL
        assert decide(architecture, numbers[name], third=3) == seccomp.ALLOW
    assert decide(architecture ^ 1, numbers["close"]) == seccomp.KILL
    assert decide(architecture, numbers["close"] | seccomp.X32_BIT) == seccomp.KILL


def test_an_unknown_machine_has_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert seccomp.build_filter("riscv64") is None
    assert seccomp.install(ctypes.CDLL(None)) is False


def test_missing_locks_are_named_in_order() -> None:
    assert missing({}) == LOCKS
    assert missing(dict.fromkeys(LOCKS, True)) == ()
    assert missing({**dict.fromkeys(LOCKS, True), "seccomp": False}) == ("seccomp",)


def test_the_report_tells_locks_and_what_is_missing() -> None:
    report = isolation_report()
    assert set(report["locks"]) == set(LOCKS)
    assert report["missing_locks"] == [lock for lock, held in report["locks"].items() if not held]
    assert report["require_os"] is (not set(REQUIRED) & set(report["missing_locks"]))
    assert report["required"] == list(REQUIRED)


def test_require_os_refuses_when_a_required_lock_is_missing(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_executor, "REQUIRED", (*REQUIRED, "a lock that no platform has"))
    granted = make_executor(program, "require-os") if not isolation_report()["missing_locks"] else None
    assert granted is None or granted(ToolCall("population", {"city": "Oslo"})).ok
    worker = worker_executor.WorkerExecutor(program)._live_worker()
    monkeypatch.setattr(worker, "missing_locks", ("a lock that no platform has",))
    with pytest.raises(SandboxError, match="does not grant a lock that no platform has"):
        make_executor(program, "require-os")
