"""Near-duplicates and contamination by word 5-grams."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from astra_gym.env_synthesis.screen import ALIKE, Contamination, NearDuplicates, ngrams
from astra_gym.errors import PipelineError
from tests.specs import CHAIN

FERRY = "Which harbour does the evening ferry that leaves Ystad at seven reach first, and how long does it take?"
BUS = "How many passengers did the night bus from Lund carry in the first week of March, all stops together?"
CHINESE = "从上海虹桥站出发的第一班高铁几点到达南京南站，票价是多少元？"


def test_case_accents_and_punctuation_do_not_matter() -> None:
    assert ngrams("Où est l'été — à  CAEN, dit-on?") == ngrams("ou est l ete a caen dit on")


def test_a_short_text_is_one_ngram_and_a_chinese_sign_is_a_word() -> None:
    assert len(ngrams("two words")) == 1
    assert len(ngrams("上海虹桥站到南京")) == 4
    assert ngrams("...") == frozenset()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (FERRY, "ferry"),
        (FERRY.upper().replace(",", " -"), "ferry"),
        (FERRY + " Please say", "ferry"),
        (CHINESE.replace("？", "。"), "chinese"),
    ],
)
def test_what_is_nearly_the_same_is_found(text: str, name: str) -> None:
    seen = NearDuplicates()
    for other, question in (("bus", BUS), ("ferry", FERRY), ("chinese", CHINESE)):
        seen.add(other, question)
    found = seen.nearest(text)
    assert found is not None
    assert found[0] == name
    assert found[1] >= ALIKE


@pytest.mark.parametrize(
    "text",
    [
        FERRY.replace("Ystad", "Malmö").replace("seven", "nine"),
        CHINESE.replace("上海虹桥", "北京南").replace("南京南", "天津西"),
        "Something else entirely",
    ],
)
def test_other_entities_make_another_question(text: str) -> None:
    seen = NearDuplicates()
    seen.add("ferry", FERRY)
    seen.add("chinese", CHINESE)
    found = seen.nearest(text)
    assert found is None or found[1] < ALIKE


def test_a_repeat_is_rejected_with_evidence() -> None:
    seen = NearDuplicates()
    assert seen.against(CHAIN, "item-1") is None
    seen.add("first-v0", CHAIN.question)
    rejected = seen.against(CHAIN, "item-1")
    assert rejected is not None
    assert (rejected.id, rejected.stage) == ("item-1", "duplicate")
    assert "first-v0" in rejected.reason
    assert rejected.evidence["jaccard"] == 1.0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"x": 1}\n{"messages": [{"role": "user", "content": "Hello. %s Thanks."}]}\n'),
        ("a.txt", "nothing\nBefore it. %s And after.\n"),
    ],
)
def test_a_question_inside_a_longer_line_is_found(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content % FERRY)
    found = Contamination([path]).find(FERRY)
    assert found is not None
    assert (found.file, found.line, found.share) == (name, 2, 1.0)
    rejected = Contamination([path]).against(CHAIN.model_copy(update={"question": FERRY}), "item-1")
    assert rejected is not None
    assert rejected.stage == "contamination"
    assert f"{name}:2" in rejected.reason


def test_a_question_pieced_together_from_many_lines_is_not_contaminated(tmp_path: Path) -> None:
    words = FERRY.split()
    path = tmp_path / "pieces.txt"
    path.write_text("".join(" ".join(words[i : i + 6]) + "\n" for i in range(0, len(words), 3)))
    assert Contamination([path]).against(CHAIN.model_copy(update={"question": FERRY}), "item-1") is None


def test_files_without_a_word_or_none_at_all_find_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_bytes(b"\n\n\xff\xfe\n")
    assert Contamination([path]).find(FERRY) is None
    assert Contamination([]).find(FERRY) is None
    assert Contamination([path]).find("?") is None


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"gone\.jsonl: cannot be screened against: No such file"):
        Contamination([tmp_path / "gone.jsonl"])


def test_hashes_are_the_same_in_every_process() -> None:
    code = "from astra_gym.env_synthesis.screen import ngrams; print(sorted(ngrams('one two three four five six')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == str(sorted(ngrams("one two three four five six")))
