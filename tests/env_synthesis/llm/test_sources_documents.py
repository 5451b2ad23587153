"""Documents: which files are read, and how they are cut."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_gym.env_synthesis.llm.items import LlmItem
from astra_gym.env_synthesis.llm.sources import SourceOptions, read_items
from astra_gym.env_synthesis.llm.sources.documents import chunks
from astra_gym.types import Rejected

GUIDE = """# Harbour guide

General words about the harbour.

## Ferries

The *Heron* sails at 8:15.

```
timetable

8:15 Heron
```

The *Plover* sails at 9:40.

## Parking

### North lot

40 places, 3 EUR an hour.
"""


def read(folder: Path, **options) -> list[LlmItem | Rejected]:
    return list(read_items("context", [folder], SourceOptions(**options)))


def test_a_folder_gives_chunks_that_can_be_found_again(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "guide.md").write_text("".join(GUIDE.replace("8:15", f"{hour}:15") for hour in range(8)))
    (tmp_path / "sub" / "rules.txt").write_text("Dogs pay half.\n\nBicycles go free.\n")
    found = read(tmp_path, chunk_chars=300)
    assert {item.domain for item in found} == {"guide", "rules"}
    for item in found:
        text = (tmp_path / item.origin.file).read_text()
        assert text[item.origin.offset : item.origin.offset + item.origin.length] == item.knowledge
        assert text.count("\n", 0, item.origin.offset) + 1 == item.origin.line
        assert len(item.knowledge) <= 300
    assert found[-1].origin.file == "sub/rules.txt"


def test_sections_begin_chunks_and_headings_are_told():
    found = list(chunks(GUIDE, 200))
    assert [chunk.text.splitlines()[0] for chunk in found] == ["# Harbour guide", "## Parking"]
    assert found[1].heading == "Harbour guide > Parking > North lot"


def test_a_block_of_code_is_not_torn():
    texts = [chunk.text for chunk in chunks(GUIDE, 60)]
    assert any("timetable\n\n8:15 Heron" in text for text in texts)


def test_a_paragraph_longer_than_a_chunk_is_cut_at_sentences():
    text = "One sentence here. " * 40
    found = list(chunks(text, 100))
    assert all(chunk.text.endswith("here.") for chunk in found)
    assert max(len(chunk.text) for chunk in found) <= 100


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(["# A\n", "## B\n", "word word. ", "\n", "```\n", "句子。", "x" * 30, "\r\n", "~~~\n", "#\n"])
    ).map("".join),
    st.integers(5, 80),
)
def test_no_word_of_a_document_is_lost_or_given_twice(text, most):
    found = list(chunks(text, most))
    assert "".join("".join(chunk.text for chunk in found).split()) == "".join(text.split())
    ends = [(chunk.offset, chunk.offset + len(chunk.text)) for chunk in found]
    assert all(text[start:end] == chunk.text for (start, end), chunk in zip(ends, found, strict=True))
    assert all(before[1] <= after[0] for before, after in pairwise(ends))
    assert all(len(chunk.text) <= most for chunk in found)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("scan.pdf", b"%PDF-1.4", "expected one of"),
        ("tool.txt", b"text\x00text", "found a binary file"),
        ("old.txt", "Grüße".encode("latin-1"), "expected UTF-8"),
        ("wide.txt", "Hello".encode("utf-16"), "found UTF-16 text"),
        ("late.txt", b"a" * 9000 + b"\x00", "found a NUL byte at offset 9000"),
        ("empty.md", b"  \n", "an empty document"),
    ],
)
def test_a_file_that_is_no_document_is_rejected_and_the_others_are_read(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    (tmp_path / "good.md").write_text("# Ferry\n\nIt sails at nine.\n")
    (tmp_path / ".hidden.md").write_text("not for us")
    found = read(tmp_path)
    (rejected,) = (item for item in found if isinstance(item, Rejected))
    assert rejected.reason.startswith(f"{name}: ")
    assert said in rejected.reason
    assert [item.origin.file for item in found if isinstance(item, LlmItem)] == ["good.md"]


def test_one_document_may_be_named_by_itself(tmp_path):
    (tmp_path / "ferry.md").write_text("# Ferry\n\nIt sails at nine.\n")
    (item,) = read(tmp_path / "ferry.md", domain="harbour")
    assert (item.domain, item.knowledge) == ("harbour", "# Ferry\n\nIt sails at nine.")
