"""A vet record counts on this machine alone, for exactly what was vetted, and only while nobody touched it."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from astra_gym.sandbox import Limits, Program, record_vet, vetted
from astra_gym.sandbox.vet import VetRecord, VetStore


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    chosen = tmp_path / "cache"
    monkeypatch.setenv("ASTRA_CACHE_DIR", str(chosen))
    return chosen


def fresh(folder: Path, program: Program) -> VetRecord | None:
    """What a process that starts now would find."""
    return VetStore(folder).get(program.key)


def test_what_was_recorded_is_found(folder: Path, program: Program) -> None:
    assert vetted(program) is None
    record_vet(program, stateless=False, fuel=12)
    assert vetted(program) == fresh(folder, program) == VetRecord(program.key, False, 12)


def test_files_are_closed_to_others(folder: Path, program: Program) -> None:
    record_vet(program, stateless=True)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"vets.sqlite": 0o600, "vets.key": 0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE vets SET record = replace(record, 'false', 'true')",
        "UPDATE vets SET mac = zeroblob(32)",
        "UPDATE vets SET mac = 'x'",
        "UPDATE vets SET record = '{'",
        "UPDATE vets SET record = NULL WHERE 0; DROP TABLE vets",
    ],
)
def test_a_tampered_row_counts_as_absent(folder: Path, program: Program, change: str) -> None:
    record_vet(program, stateless=False)
    with sqlite3.connect(folder / "vets.sqlite") as connection:
        connection.executescript(change)
    connection.close()
    assert fresh(folder, program) is None


def test_a_row_for_another_program_does_not_verify(folder: Path, program: Program) -> None:
    other = Program(program.tools, data={"cities": {}}, name="other")
    record_vet(program, stateless=True)
    with sqlite3.connect(folder / "vets.sqlite") as connection:
        connection.execute("UPDATE vets SET key = ?", (other.key,))
    connection.close()
    assert fresh(folder, other) is None


def test_records_of_another_machine_do_not_verify(folder: Path, program: Program) -> None:
    record_vet(program, stateless=True)
    (folder / "vets.key").write_bytes(b"k" * 32)
    assert fresh(folder, program) is None


def test_files_that_others_can_write_are_not_believed(folder: Path, program: Program) -> None:
    record_vet(program, stateless=True)
    (folder / "vets.sqlite").chmod(0o666)
    assert fresh(folder, program) is None


def test_a_damaged_file_is_not_an_error(folder: Path, program: Program) -> None:
    record_vet(program, stateless=True)
    (folder / "vets.sqlite").write_bytes(b"not a database, whatever its name says" * 100)
    assert fresh(folder, program) is None
    assert record_vet(program, stateless=True).key == program.key


def test_an_unusable_cache_folder_means_not_vetted(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("ASTRA_CACHE_DIR", str(blocked / "cache"))
    record_vet(program, stateless=True)
    assert vetted(program) is None


def test_the_key_changes_with_everything_that_matters(program: Program) -> None:
    tool = program.tools[0]
    variants = [
        program,
        Program(program.tools, data=program.data, name="other name"),
        Program(program.tools, data={}, name=program.name),
        Program(program.tools, data=program.data, name=program.name, library="X = 1"),
        Program(program.tools, data=program.data, name=program.name, clock="2024-01-01"),
        Program(program.tools, data=program.data, name=program.name, limits=Limits(fuel=5)),
        Program(program.tools[:1], data=program.data, name=program.name),
        Program((tool.model_copy(update={"source": tool.source + "\n"}),), data=program.data, name=program.name),
        Program((tool.model_copy(update={"parameters": {"type": "object"}}),), data=program.data, name=program.name),
    ]
    assert len({variant.key for variant in variants}) == len(variants)
    assert Program(program.tools, data=dict(program.data), name=program.name).key == program.key


def test_many_processes_may_record_at_once(folder: Path) -> None:
    code = (
        "import sys; from astra_gym.sandbox.vet import VetStore, VetRecord; from pathlib import Path\n"
        "store = VetStore(Path(sys.argv[1]))\n"
        "assert all(store.put(VetRecord(f'{sys.argv[2]}-{i}', True)) for i in range(10))\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(folder), str(n)]) for n in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    store = VetStore(folder)
    assert all(store.get(f"{n}-{i}") is not None for n in range(4) for i in range(10))
