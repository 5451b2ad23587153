"""Sources: what each mode reads, what it asks for, and what it says of input that is none."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError

from astra_gym.env_synthesis.llm.items import LlmItem
from astra_gym.env_synthesis.llm.sources import SourceOptions, read_items
from astra_gym.env_synthesis.llm.sources.lines import MAX_LINE_BYTES
from astra_gym.errors import PipelineError
from astra_gym.suite import write_suite
from astra_gym.types import Rejected
from tests.specs import CHAIN
from tests.suites import copies

ROWS = [
    {"domain": "rail", "knowledge_corpus": "The 7:40 to Ost leaves from platform 3."},
    {"domain": "bank", "knowledge_corpus": "Plan Blue costs 4 EUR a month.", "language": "en"},
]


def rows(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


def read(mode, *paths: Path, **options) -> list[LlmItem | Rejected]:
    return list(read_items(mode, paths, SourceOptions(**options)))


def items(found: list[LlmItem | Rejected]) -> list[LlmItem]:
    assert all(isinstance(item, LlmItem) for item in found), found
    return found


def the_rejected(found: list[LlmItem | Rejected]) -> Rejected:
    (rejected,) = (item for item in found if isinstance(item, Rejected))
    return rejected


def test_a_corpus_is_asked_about_once_a_hop_value_and_repeat(tmp_path):
    found = items(read("corpus", rows(tmp_path / "k.jsonl", *ROWS), min_hops=2, max_hops=4, repeats=2))
    assert [(item.domain, item.min_hops, item.max_hops, item.repeat) for item in found[:6]] == [
        ("rail", hops, hops, repeat) for hops in (2, 3, 4) for repeat in (0, 1)
    ]
    assert len(found) == len({item.id for item in found}) == 12
    assert all(item.grounded for item in found)


def test_a_context_is_asked_about_once_with_a_range(tmp_path):
    found = items(read("context", rows(tmp_path / "k.jsonl", *ROWS)))
    assert [(item.min_hops, item.max_hops, item.grounded) for item in found] == [(3, 5, False)] * 2
    assert found[0].origin.line == 1
    assert found[0].origin.file == "k.jsonl"


def test_a_domain_needs_no_file():
    (item,) = items(read("domain", domain="ferries", language="zh", min_hops=2, max_hops=2))
    assert (item.domain, item.language, item.knowledge) == ("ferries", "zh", "")


def test_domains_come_from_rows_or_lines(tmp_path):
    lines = tmp_path / "domains.txt"
    lines.write_text("rail\n\n海运\n", encoding="utf-8")
    by_line = items(read("domain", lines, min_hops=3, max_hops=3))
    by_row = items(read("domain", rows(tmp_path / "d.jsonl", {"domain": "rail"}, {"domain": "海运"}), max_hops=3))
    assert [item.domain for item in by_line] == [item.domain for item in by_row] == ["rail", "海运"]


def test_questions_come_from_rows_or_lines_and_are_as_deep_as_they_are(tmp_path):
    lines = tmp_path / "q.txt"
    lines.write_text("Who runs the Ost ferry?\nWhen does it leave?\n", encoding="utf-8")
    plain = items(read("question", lines))
    assert [item.question for item in plain] == ["Who runs the Ost ferry?", "When does it leave?"]
    assert {(item.domain, item.min_hops, item.max_hops) for item in plain} == {("general", 1, 10)}
    (row,) = items(
        read("question", rows(tmp_path / "q.jsonl", {"question": "谁经营渡轮？", "domain": "海运"}), language="zh")
    )
    assert (row.question, row.domain, row.language) == ("谁经营渡轮？", "海运", "zh")


def test_a_taxonomy_gives_its_leaves_by_path(tmp_path):
    file = tmp_path / "tree.json"
    leaf = {"description": "Opening times", "examples": [{"query": "When does the zoo open?"}]}
    file.write_text(json.dumps({"leisure": {"zoo": leaf, "pool": {"description": "Prices"}, "park": {"x": 3}}}))
    found = read("taxonomy", file)
    assert [item.domain for item in found if isinstance(item, LlmItem)] == ["leisure-zoo", "leisure-pool"]
    assert found[0].examples == ("When does the zoo open?",)
    assert (found[0].min_hops, found[0].max_hops) == (2, 2)
    assert the_rejected(found).reason.startswith("tree.json:/leisure/park/x: expected an object of further levels")
    assert all(item.examples == () for item in read("taxonomy", file, mask_examples=1.0) if isinstance(item, LlmItem))


def test_augmenting_takes_the_envs_of_a_suite(tmp_path):
    write_suite(tmp_path / "suite.jsonl", copies(3))
    found = items(read("augment", tmp_path / "suite.jsonl", repeats=2))
    assert [(item.tool_spec.id, item.repeat) for item in found] == [
        (f"copy-{i}-v0", repeat) for i in range(3) for repeat in (0, 1)
    ]


def test_given_decompositions_may_come_with_their_env(tmp_path):
    bare = {name: CHAIN.to_json()[name] for name in ("id", "question", "answer", "sub_questions", "domain")}
    found = items(read("given", rows(tmp_path / "g.jsonl", CHAIN.to_json(), {**bare, "answer_from": "q3"})))
    assert [item.tool_spec is None for item in found] == [False, True]
    assert [item.answer_from for item in found] == ["", "q3"]
    assert found[0].decomposition.question == CHAIN.question


def test_scenarios_are_drawn_by_content_and_fit_the_depth(tmp_path):
    path = rows(tmp_path / "k.jsonl", *({"domain": "rail", "knowledge_corpus": f"Train {i}."} for i in range(60)))
    mix = {"Single-Hop": 1.0, "Multi-Hop": 3.0}
    found = items(read("context", path, scenarios=mix))
    shapes = Counter(item.scenario for item in found)
    assert 5 <= shapes["Single-Hop"] <= 28
    assert {(item.min_hops, item.max_hops) for item in found if item.scenario == "Single-Hop"} == {(1, 1)}
    backwards = rows(tmp_path / "back.jsonl", *reversed([json.loads(line) for line in path.read_text().splitlines()]))
    assert {item.id for item in read("context", backwards, scenarios=mix)} == {item.id for item in found}


def test_a_swept_depth_never_makes_two_items_of_one_shape_the_same(tmp_path):
    path = rows(tmp_path / "k.jsonl", *ROWS)
    found = items(read("corpus", path, scenarios={"Single-Hop": 1.0}, min_hops=1, max_hops=4, repeats=2))
    assert len({item.id for item in found}) == len(found) == 16


def test_a_second_equal_row_is_a_duplicate_of_the_first(tmp_path):
    found = read("context", rows(tmp_path / "k.jsonl", ROWS[0], ROWS[1], ROWS[0]))
    rejected = the_rejected(found)
    assert rejected.stage == "duplicate"
    assert rejected.reason == "k.jsonl:3: the same content as k.jsonl:1"
    assert rejected.id == f"{found[0].id}-twin1"


def test_the_same_files_give_the_same_items(tmp_path):
    path = rows(tmp_path / "k.jsonl", *ROWS, {"domain": "x"})
    assert read("corpus", path, scenarios={"Multi-Hop": 1}) == read("corpus", path, scenarios={"Multi-Hop": 1})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"domain": "rail"}', "bad.jsonl:2: knowledge_corpus: Field required; the row has the fields ['domain']"),
        (b'{"domain": "rail", "text_corpus": "x"}', "['domain', 'text_corpus']"),
        (b'{"domain": "rail", "knowledge_corpus": "  "}', "is empty; mode 'domain' asks without a corpus"),
        (b'{"domain": "rail", "knowledge_corpus": 7}', "knowledge_corpus: Input should be a valid string, found 7"),
        (b'{"knowledge_corpus": "A text."}', "no `domain`; name it in the row, or for all rows with --domain"),
        (b'{"domain": "rail", "knowledge_corpus": "x", "language": "fr"}', "language: Input should be 'en' or 'zh'"),
        (b"[1, 2]", "expected a JSON object, found '[1, 2]'"),
        (b'{"domain": "rail",', 'expected a JSON object, found \'{"domain": "rail",\''),
        ("Grüße aus Köln".encode("latin-1"), "expected UTF-8, found the bytes fc df 65 20 at offset 2"),
        ("列车".encode("gb18030"), "expected UTF-8, found the bytes"),
        (b'{"domain": "ra\x00il"}', "expected text, found a NUL byte at offset 14"),
    ],
)
def test_a_bad_line_is_rejected_by_file_and_line_and_the_next_one_is_read(tmp_path, line, said):
    path = tmp_path / "bad.jsonl"
    good = [json.dumps(row).encode() for row in ROWS]
    path.write_bytes(b"\n".join([good[0], line, good[1]]) + b"\n")
    found = read("context", path)
    assert [isinstance(item, Rejected) for item in found] == [False, True, False]
    rejected = the_rejected(found)
    assert rejected.stage == "read"
    assert rejected.reason.startswith("bad.jsonl:2: ")
    assert said in rejected.reason


def test_a_line_of_many_megabytes_is_passed_over(tmp_path):
    path = tmp_path / "long.jsonl"
    good = json.dumps(ROWS[0]).encode() + b"\n"
    path.write_bytes(good + b'{"domain": "' + b"x" * (12 << 20) + b'"}\n' + json.dumps(ROWS[1]).encode())
    found = read("context", path)
    assert [isinstance(item, Rejected) for item in found] == [False, True, False]
    limit = MAX_LINE_BYTES >> 20
    assert the_rejected(found).reason.startswith(f"long.jsonl:2: a line of 12.0 MB; {limit} MB at most make a row")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x1f\x8b\x08\x00rest", "found gzip data"),
        (b"PAR1\x15\x04", "found Parquet"),
        ("{}".encode("utf-16"), "found UTF-16 text"),
        (b"MZ\x90\x00\x03", "found a binary file (a NUL byte at offset 3)"),
    ],
)
def test_a_binary_file_is_one_rejection(tmp_path, content, said):
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)
    (rejected,) = read("question", path)
    assert isinstance(rejected, Rejected)
    assert said in rejected.reason


def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path):
    path = tmp_path / "bom.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(ROWS[0]).encode())
    assert items(read("context", path))[0].knowledge == ROWS[0]["knowledge_corpus"]


@pytest.mark.parametrize(
    ("mode", "name", "options", "said"),
    [
        ("corpus", None, {}, "mode 'corpus' reads at least one file"),
        ("domain", None, {}, "or a domain by --domain"),
        ("corpus", "nothing.jsonl", {}, "no such file or folder"),
        ("question", ".", {}, "is a folder, mode 'question' reads files"),
        ("question", "k.jsonl", {"scenarios": {"Multi-Hop": 1}}, "takes questions as they are"),
        ("corpus", "k.jsonl", {"scenarios": {"Multi-Hop": 1}, "max_hops": 1}, "need max_hops of at least 2"),
    ],
)
def test_input_that_makes_no_run_is_said_at_once(tmp_path, mode, name, options, said):
    rows(tmp_path / "k.jsonl", *ROWS)
    paths = [] if name is None else [tmp_path / name]
    with pytest.raises(PipelineError) as error:
        read_items(mode, paths, SourceOptions(**options))
    assert said in str(error.value)


@pytest.mark.parametrize(
    "options",
    [
        {"min_hops": 4, "max_hops": 3},
        {"scenarios": {"Multi-Hop": -1}},
        {"scenarios": {"Multi-Hop": 0}},
        {"scenarios": {"Zigzag": 1}},
        {"chunk_chars": 3},
    ],
)
def test_options_that_contradict_themselves_are_refused(options):
    with pytest.raises(ValidationError):
        SourceOptions(**options)


def test_a_broken_decomposition_is_named_by_line(tmp_path):
    broken = {**CHAIN.to_json(), "sub_questions": []}
    found = read("given", rows(tmp_path / "g.jsonl", broken, CHAIN.to_json()))
    assert the_rejected(found).reason.startswith("g.jsonl:1: no decomposition: sub_questions: ")
