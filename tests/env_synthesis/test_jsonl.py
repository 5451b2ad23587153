from __future__ import annotations

import pytest

from astra_gym.env_synthesis.sources.base import Item
from astra_gym.env_synthesis.sources.jsonl import read_lines, record_items, stem_prefix
from astra_gym.errors import SuiteError
from astra_gym.types import Rejected


@pytest.fixture
def write(tmp_path):
    def write(content: bytes):
        path = tmp_path / "records.jsonl"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize(
    "content",
    [
        b'{"a":1}\n{"a":2}\n',
        b'\xef\xbb\xbf{"a":1}\r\n\r\n{"a":2}',
        b'\n\n{"a":1}\n  \n{"a":2}\n',
        b'[{"a":1},\n{"a":2}]',
    ],
)
def test_blank_lines_line_ends_and_marks_do_not_matter(write, content):
    assert [line.record for line in read_lines(write(content))] == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b"[]"])
def test_an_empty_file_has_no_records(write, content):
    assert list(read_lines(write(content))) == []


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        (b'{"a": 1', "'{\"a\": 1'"),
        (b"[1, 2]", "an array"),
        (b"null", "null"),
        (b'"text"', "a string"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": "\xff\xfe"}', "expected a JSON object"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(write, bad, found):
    path = write(b'{"a":1}\n\n' + bad + b'\n{"a":2}\n')
    with pytest.raises(SuiteError) as error:
        list(read_lines(path))
    assert "records.jsonl:3: expected a JSON object, found" in str(error.value)
    assert found in str(error.value)


def test_with_skip_bad_a_bad_line_is_a_rejected_in_its_place(write):
    path = write(b'{"a":1}\n{oops\n{"a":2}\n')
    first, bad, last = record_items(path, "set", skip_bad=True, limit=None)
    assert first == Item("set-00000-v0", {"line": 1, "record": {"a": 1}})
    assert isinstance(bad, Rejected)
    assert (bad.id, bad.stage) == ("set-00001-v0", "read")
    assert "jsonl:2:" in bad.reason
    assert last == Item("set-00002-v0", {"line": 3, "record": {"a": 2}})


def test_a_limit_stops_before_the_lines_behind_it_are_read(write):
    path = write(b'{"a":1}\n{"a":2}\n{oops\n')
    assert len(list(record_items(path, "set", skip_bad=False, limit=2))) == 2


def test_a_missing_file_and_a_broken_array_say_so(write, tmp_path):
    with pytest.raises(SuiteError, match="No such file"):
        list(read_lines(tmp_path / "nothing.jsonl"))
    with pytest.raises(SuiteError, match="not one JSON array"):
        list(read_lines(write(b'[{"a":1}')))


@pytest.mark.parametrize(
    ("stem", "prefix"),
    [("train", "gsm8k-train"), ("test_socratic", "gsm8k-test"), ("GSM8K Test", "gsm8k-test"), ("gsm8k", "gsm8k")],
)
def test_ids_start_with_the_door_and_the_file(tmp_path, stem, prefix):
    assert stem_prefix("gsm8k", tmp_path / f"{stem}.jsonl", drop=("socratic",)) == prefix
