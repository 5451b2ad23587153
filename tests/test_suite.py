"""Suites on disk: what is written is what is read, and what is damaged is named."""

from __future__ import annotations

import gzip
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_gym.errors import CertificateError, MissingExtraError, SuiteError, UnknownEnvError
from astra_gym.suite import Skipped, SuiteWriter, open_suite, spec_bytes, write_suite
from tests.specs import ALL, CHAIN, JOIN
from tests.suites import certified, copies

FORMS = ["suite.jsonl", "suite.parquet", "folder"]


@pytest.fixture
def jsonl(tmp_path: Path) -> Path:
    """Three specs, one a line."""
    path = tmp_path / "suite.jsonl"
    write_suite(path, copies(3))
    return path


def edit(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


# --- writing and reading -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_back_what_was_written(tmp_path: Path, form: str) -> None:
    specs = [certified(spec) for spec in ALL]
    assert write_suite(tmp_path / form, specs) == len(specs)
    suite = open_suite(tmp_path / form)
    assert set(suite.ids) == {spec.id for spec in specs}
    assert sorted(suite, key=lambda s: s.id) == sorted(specs, key=lambda s: s.id)
    assert [suite.load(spec.id) for spec in specs] == specs
    assert suite.skipped == ()


@pytest.mark.parametrize("form", FORMS)
def test_the_same_specs_give_the_same_bytes(tmp_path: Path, form: str) -> None:
    def written(where: str) -> dict[str, bytes]:
        target = tmp_path / where / form
        write_suite(target, copies(3))
        files = sorted(target.iterdir()) if target.is_dir() else [target]
        return {file.name: file.read_bytes() for file in files}

    assert written("once") == written("again")


def test_files_keep_the_order_given_and_folders_that_of_the_names(tmp_path: Path) -> None:
    backwards = copies(12)[::-1]
    for form in FORMS:
        write_suite(tmp_path / form, backwards)
    order = [spec.id for spec in backwards]
    assert list(open_suite(tmp_path / "suite.jsonl").ids) == order
    assert list(open_suite(tmp_path / "suite.parquet").ids) == order
    assert list(open_suite(tmp_path / "folder").ids) == sorted(order)


def test_tables_keep_their_order(tmp_path: Path) -> None:
    data = {"ZEBRAS": {"b": 1, "a": 2}, "APES": {"z": 1, "c": 2}}
    write_suite(tmp_path / "s.jsonl", [certified(CHAIN.model_copy(update={"data": {**CHAIN.data, **data}}))])
    read = open_suite(tmp_path / "s.jsonl").load(CHAIN.id).data
    assert list(read) == [*CHAIN.data, "ZEBRAS", "APES"]
    assert list(read["ZEBRAS"]) == ["b", "a"]


def test_the_id_stands_at_the_head_of_the_line() -> None:
    assert spec_bytes(CHAIN).startswith(b'{"id":"test-chain-v0",')
    assert b"\n" not in spec_bytes(CHAIN)


@given(st.text(min_size=1, max_size=40).filter(str.strip))
@settings(max_examples=50)
def test_any_question_survives_the_file(tmp_path_factory: pytest.TempPathFactory, question: str) -> None:
    path = tmp_path_factory.mktemp("any") / "s.jsonl"
    spec = certified(CHAIN.model_copy(update={"question": question}))
    write_suite(path, [spec])
    assert list(open_suite(path)) == [spec]


@pytest.mark.parametrize("changes", [{"data": {"BIG": 2**70}}, {"question": "\ud800"}, {"data": {"ODD": object()}}])
def test_a_value_that_json_cannot_hold_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(SuiteError, match=r"test-chain-v0: cannot be written as JSON"):
        write_suite(tmp_path / "s.jsonl", [CHAIN.model_copy(update=changes)])
    assert list(tmp_path.iterdir()) == []


def test_parquet_can_be_queried_without_reading_specs(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    write_suite(tmp_path / "s.parquet", [certified(spec) for spec in ALL])
    table = pq.read_table(tmp_path / "s.parquet", columns=["id", "domain", "scenario_type", "hops", "question"])
    assert table.to_pylist()[1] == {
        "id": JOIN.id,
        "domain": JOIN.domain,
        "scenario_type": JOIN.scenario_type,
        "hops": JOIN.hops,
        "question": JOIN.question,
    }


def test_parquet_rows_are_found_across_row_groups(tmp_path: Path) -> None:
    specs = copies(300)
    write_suite(tmp_path / "s.parquet", specs)
    suite = open_suite(tmp_path / "s.parquet")
    for i in (299, 0, 127, 128, 256, 255):
        assert suite.load(f"copy-{i}-v0") == specs[i]


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from astra_gym.suite import open_suite\n"
        f"open_suite({str(tmp_path / 's.parquet')!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert MissingExtraError.__name__ in done.stderr
    assert "astra-gym[parquet]" in done.stderr


# --- opening -------------------------------------------------------------------------------------------------------


def test_opening_reads_no_spec(jsonl: Path) -> None:
    edit(jsonl, lambda lines: [lines[0], lines[1].replace(b'"question"', b'"quest!on"'), lines[2]])
    suite = open_suite(jsonl)
    assert suite.ids == ("copy-0-v0", "copy-1-v0", "copy-2-v0")
    assert suite.load("copy-2-v0").id == "copy-2-v0"
    with pytest.raises(SuiteError, match=r"suite\.jsonl:2: .*: not an environment spec: question: Field"):
        suite.load("copy-1-v0")


def test_lines_of_another_writer_are_read_too(tmp_path: Path) -> None:
    import json

    records = [orjson.loads(spec_bytes(spec)) for spec in copies(3)]
    spaced = json.dumps(records[0])
    id_last = json.dumps({**{k: v for k, v in records[1].items() if k != "id"}, "id": records[1]["id"]})
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + f"{spaced}\r\n\r\n{id_last}\r\n   \n{json.dumps(records[2])}".encode())
    suite = open_suite(path)
    assert list(suite) == copies(3)
    assert suite.where("copy-1-v0") == f"{path}:3"


def test_a_suite_has_a_length_and_members_and_can_be_pickled(jsonl: Path) -> None:
    suite = open_suite(jsonl)
    again = pickle.loads(pickle.dumps(suite))
    assert len(again) == 3
    assert "copy-1-v0" in again
    assert "copy-9-v0" not in again
    assert list(again) == list(suite)


def test_an_unknown_id_is_answered_with_the_nearest(jsonl: Path) -> None:
    with pytest.raises(UnknownEnvError, match=r"no spec 'copy-7-v0' among 3; the nearest are \['copy-0-v0'"):
        open_suite(jsonl).load("copy-7-v0")


def test_a_suite_can_be_read_from_many_threads(jsonl: Path) -> None:
    suite = open_suite(jsonl)
    loaded: list[str] = []
    threads = [threading.Thread(target=lambda i=i: loaded.append(suite.load(f"copy-{i % 3}-v0").id)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(loaded) == sorted(f"copy-{i % 3}-v0" for i in range(12))


# --- certificates --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_changed_spec_does_not_load(tmp_path: Path, form: str) -> None:
    spec = copies(1)[0]
    write_suite(tmp_path / form, [spec.model_copy(update={"question": "Which country?"})])
    with pytest.raises(CertificateError, match=r"'copy-0-v0': the certificate was given to other content"):
        open_suite(tmp_path / form, require_certificate=False).load("copy-0-v0")


def test_a_spec_without_certificate_loads_only_when_asked_for(tmp_path: Path) -> None:
    write_suite(tmp_path / "s.jsonl", [CHAIN])
    with pytest.raises(CertificateError, match=r"s\.jsonl:1: spec 'test-chain-v0': no certificate"):
        open_suite(tmp_path / "s.jsonl").load(CHAIN.id)
    assert open_suite(tmp_path / "s.jsonl", require_certificate=False).load(CHAIN.id) == CHAIN


# --- damage --------------------------------------------------------------------------------------------------------

DAMAGE: list[tuple[str, Callable[[list[bytes]], list[bytes]], int, str]] = [
    ("cut off", lambda ls: [*ls[:2], ls[2][:500]], 3, "the last line is cut off after 500 bytes"),
    ("cut after a brace", lambda ls: [*ls[:2], ls[2][: ls[2].index(b"}") + 1]], 3, "the last line is cut off"),
    ("cut in the middle", lambda ls: [ls[0], ls[1][:90] + b"\n", ls[2]], 2, "not JSON at column 91: unexpected"),
    ("text", lambda ls: [ls[0], b"hello\n", ls[2]], 2, "not JSON"),
    ("an array", lambda ls: [ls[0], b"[1, 2]\n", ls[2]], 2, r"expected an object with an id .* found \[1, 2\]"),
    ("no id", lambda ls: [ls[0], b'{"question": "?"}\n', ls[2]], 2, "expected an object with an id"),
    ("a poor id", lambda ls: [ls[0], b'{"id":"no version"}\n', ls[2]], 2, "found 'no version'"),
    ("twice", lambda ls: [*ls[:2], ls[0]], 3, "id 'copy-0-v0' stands in line 1 already"),
    ("not UTF-8", lambda ls: [ls[0], b'{"name":"\xff\xfe"}\n', ls[2]], 2, "not valid UTF-8"),
    ("NUL bytes", lambda ls: [ls[0], b"\0" * 64 + b"\n", ls[2]], 2, "not JSON"),
]


@pytest.mark.parametrize(("change", "line", "message"), [d[1:] for d in DAMAGE], ids=[d[0] for d in DAMAGE])
def test_a_damaged_line_is_named_at_opening_and_the_rest_can_be_read(
    jsonl: Path, change: Callable[[list[bytes]], list[bytes]], line: int, message: str
) -> None:
    edit(jsonl, change)
    with pytest.raises(SuiteError, match=rf"suite\.jsonl:{line}: .*{message}.*skip_bad=True"):
        open_suite(jsonl)
    suite = open_suite(jsonl, skip_bad=True)
    assert [skipped.line for skipped in suite.skipped] == [line]
    assert len(list(suite)) == len(suite) == 2


DEEP_DAMAGE = [
    ("JSON", b'"max_turns":8', b'"max_turns":8,,', "not JSON"),
    ("UTF-8", b"Winter", b"W\xe9nter", "not valid UTF-8"),
    ("another id", b'{"id":"copy-1-v0",', b'{"id":"copy-1-v0","id":"copy-5-v0",', "expected the spec 'copy-1-v0'"),
    ("a field", b'"max_turns":8', b'"max_turns":0', "max_turns: Input should be greater"),
    ("unknown field", b'"max_turns":8', b'"max_turn":8', "max_turn: Extra inputs are not permitted"),
    ("content", b"Winter Ferry", b"Summer Ferry", "the certificate was given to other content"),
]


@pytest.mark.parametrize(("old", "new", "message"), [d[1:] for d in DEEP_DAMAGE], ids=[d[0] for d in DEEP_DAMAGE])
def test_damage_inside_a_line_is_named_when_it_is_loaded(jsonl: Path, old: bytes, new: bytes, message: str) -> None:
    edit(jsonl, lambda lines: [lines[0], lines[1].replace(old, new), lines[2]])
    with pytest.raises((SuiteError, CertificateError), match=rf"suite\.jsonl:2: .*{message}"):
        list(open_suite(jsonl))
    suite = open_suite(jsonl, skip_bad=True)
    assert suite.skipped == ()
    for _ in range(2):  # once is enough to know
        assert [spec.id for spec in suite] == ["copy-0-v0", "copy-2-v0"]
    assert [skipped.line for skipped in suite.skipped] == [2]
    assert message.split(":")[0] in suite.skipped[0].reason


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.jsonl", b"", "no spec in it"),
        ("s.jsonl", b"\n \n", "no spec in it"),
        ("s.jsonl", gzip.compress(b"{}", mtime=0), "this is gzip data"),
        ("s.jsonl", '{"id":"a-v0"}'.encode("utf-16"), "this is UTF-16 text"),
        ("s.jsonl", b"PAR1....", "this is Parquet"),
        ("s.parquet", b"", "not a whole Parquet file"),
        ("s.parquet", b"PAR1 and then nothing", "not a whole Parquet file"),
        ("s.json", b"{}", "expected a folder of <id>.json files, a .jsonl or a .parquet file"),
    ],
)
def test_a_file_that_is_no_suite_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SuiteError, match=rf"{name}: {message}"):
        open_suite(tmp_path / name, skip_bad=True)


@pytest.mark.parametrize("name", ["s.jsonl", "s.parquet", "folder"])
def test_a_missing_suite_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SuiteError, match=rf"{name}: "):
        open_suite(tmp_path / name)


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("astra_gym.suite.stores.MAX_LINE_BYTES", 1 << 20)
    (tmp_path / "s.jsonl").write_bytes(b" " * (1 << 20) + b"{}\n")
    with pytest.raises(SuiteError, match=r"s\.jsonl:1: the line is longer than 1 MiB"):
        open_suite(tmp_path / "s.jsonl")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(jsonl: Path) -> None:
    jsonl.chmod(0)
    with pytest.raises(SuiteError, match="Permission denied"):
        open_suite(jsonl)


@pytest.mark.parametrize("form", ["suite.jsonl", "suite.parquet"])
@pytest.mark.parametrize("change", ["appended", "replaced", "removed"])
def test_a_file_that_changed_under_us_is_not_read(tmp_path: Path, form: str, change: str) -> None:
    path = tmp_path / form
    write_suite(path, copies(3))
    suite = open_suite(path, skip_bad=True)
    assert not suite.changed()
    if change == "appended":
        path.write_bytes(path.read_bytes() + b"\n")
    elif change == "replaced":
        write_suite(path, copies(4), overwrite=True)
    else:
        path.unlink()
    assert suite.changed()
    with pytest.raises(SuiteError, match=r"since the suite was opened"):
        suite.load("copy-0-v0")
    with pytest.raises(SuiteError):  # skip_bad is for damaged specs, not for a file that is another
        list(suite)


# --- folders -------------------------------------------------------------------------------------------------------


def test_a_folder_may_hold_a_schema_and_a_readme(tmp_path: Path) -> None:
    write_suite(tmp_path, copies(2))
    (tmp_path / "schema.json").write_text("{}")
    (tmp_path / "README.md").write_text("# hello")
    assert open_suite(tmp_path).ids == ("copy-0-v0", "copy-1-v0")


def test_a_file_name_that_is_no_id_is_named(tmp_path: Path) -> None:
    write_suite(tmp_path, copies(1))
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(SuiteError, match=r"notes\.json: the file name is no env id, expected <name>-v<N>\.json"):
        open_suite(tmp_path)
    reason = "notes.json: the file name is no env id, expected <name>-v<N>.json"
    assert open_suite(tmp_path, skip_bad=True).skipped == (Skipped(None, reason),)


def test_a_file_whose_name_is_not_its_id_is_named(tmp_path: Path) -> None:
    write_suite(tmp_path, copies(2))
    (tmp_path / "copy-1-v0.json").rename(tmp_path / "other-v0.json")
    with pytest.raises(SuiteError, match=r"other-v0\.json: expected the spec 'other-v0', found 'copy-1-v0'"):
        open_suite(tmp_path).load("other-v0")
    suite = open_suite(tmp_path, skip_bad=True)
    assert [spec.id for spec in suite] == ["copy-0-v0"]
    assert suite.skipped[0].reason.startswith("other-v0.json: expected the spec")


def test_a_file_that_went_away_is_named(tmp_path: Path) -> None:
    write_suite(tmp_path, copies(2))
    suite = open_suite(tmp_path)
    (tmp_path / "copy-1-v0.json").unlink()
    with pytest.raises(SuiteError, match=r"copy-1-v0\.json: listed when the suite was opened, now unreadable"):
        suite.load("copy-1-v0")


# --- writing safely ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_overwritten_unasked(tmp_path: Path, form: str) -> None:
    write_suite(tmp_path / form, copies(3))
    with pytest.raises(SuiteError, match="overwrite=True"):
        write_suite(tmp_path / form, copies(1))
    assert len(open_suite(tmp_path / form)) == 3
    write_suite(tmp_path / form, copies(1), overwrite=True)
    assert open_suite(tmp_path / form).ids == ("copy-0-v0",)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("specs", "message"), [([], "no spec to write"), ([CHAIN, CHAIN], "comes twice")])
def test_what_is_no_suite_is_not_written(tmp_path: Path, form: str, specs: list[object], message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        write_suite(tmp_path / form, specs)  # type: ignore[arg-type]
    assert not (tmp_path / form).is_file()
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("form", ["suite.jsonl", "suite.parquet"])
def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, form: str) -> None:
    def broken() -> object:
        yield from copies(2)
        raise RuntimeError("the source failed")

    write_suite(tmp_path / form, copies(3))
    before = (tmp_path / form).read_bytes()
    with pytest.raises(RuntimeError, match="the source failed"):
        write_suite(tmp_path / form, broken(), overwrite=True)  # type: ignore[arg-type]
    assert (tmp_path / form).read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [form]


def test_a_writer_appends_what_write_suite_writes(tmp_path: Path, jsonl: Path) -> None:
    with SuiteWriter(tmp_path / "appended.jsonl", sync=True) as writer:
        for spec in copies(3):
            writer.write(spec)
            assert open_suite(writer.path).load(spec.id) == spec
    assert (tmp_path / "appended.jsonl").read_bytes() == jsonl.read_bytes()


def test_a_writer_refuses_an_id_twice_and_a_file_that_exists(jsonl: Path) -> None:
    with pytest.raises(SuiteError, match=r"exists already; go on with SuiteWriter\.resume"):
        SuiteWriter(jsonl)
    with SuiteWriter.resume(jsonl) as writer, pytest.raises(SuiteError, match="'copy-1-v0' is in the file already"):
        writer.write(copies(2)[1])
    with pytest.raises(SuiteError, match=r"only a \.jsonl suite can be appended to"):
        SuiteWriter(jsonl.with_suffix(".parquet"))


@pytest.mark.parametrize("cut", [1, 2, 100, 700])
def test_a_writer_goes_on_after_a_half_written_line(jsonl: Path, cut: int) -> None:
    whole = jsonl.read_bytes()
    last_line = len(whole.splitlines(keepends=True)[-1])
    jsonl.write_bytes(whole[:-cut])
    with SuiteWriter.resume(jsonl) as writer:
        assert writer.dropped_bytes == (0 if cut == 1 else last_line - cut)  # without its line end a line is whole
        assert writer.ids == {"copy-0-v0", "copy-1-v0"} | ({"copy-2-v0"} if cut == 1 else set())
        for spec in copies(3):
            if spec.id not in writer.ids:
                writer.write(spec)
    assert jsonl.read_bytes() == whole


def test_resuming_starts_a_file_that_is_not_there(tmp_path: Path) -> None:
    with SuiteWriter.resume(tmp_path / "new" / "s.jsonl") as writer:
        assert writer.ids == set()
        writer.write(copies(1)[0])
    assert len(open_suite(tmp_path / "new" / "s.jsonl")) == 1


def test_resuming_a_damaged_file_is_refused_and_releases_it(jsonl: Path) -> None:
    edit(jsonl, lambda lines: [lines[0], b"hello\n", lines[2]])
    for _ in range(2):
        with pytest.raises(SuiteError, match=r"suite\.jsonl:2: not JSON"):
            SuiteWriter.resume(jsonl)


def test_one_writer_a_file(jsonl: Path) -> None:
    with SuiteWriter.resume(jsonl), pytest.raises(SuiteError, match="another process is writing to it"):
        SuiteWriter.resume(jsonl)
    SuiteWriter.resume(jsonl).close()


def test_a_killed_pipeline_loses_and_repeats_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    code = (
        "import os, signal, sys\n"
        "from astra_gym.suite import SuiteWriter\n"
        "from tests.suites import copies\n"
        "with SuiteWriter(sys.argv[1]) as writer:\n"
        "    for spec in copies(40):\n"
        "        writer.write(spec)\n"
        "        if spec.id == 'copy-24-v0':\n"
        '            os.write(writer._fd, b\'{"id":"copy-25-v0","half":\')\n'
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=root, timeout=120)
    assert done.returncode == -signal.SIGKILL
    with SuiteWriter.resume(path) as writer:
        assert writer.ids == {f"copy-{i}-v0" for i in range(25)}
        for spec in copies(40):
            if spec.id not in writer.ids:
                writer.write(spec)
    assert list(open_suite(path)) == copies(40)
