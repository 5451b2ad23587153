"""The authored topics through the whole command: sound ones become certified envs, flawed ones end where they must."""

from __future__ import annotations

import importlib.util
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from astra_gym.env_synthesis.llm.replies import JUDGES
from astra_gym.llm.authored import Asked, AuthoredServer
from astra_gym.llm.authored_topics import AuthoredReply, AuthoredTopic, read_topics
from astra_gym.registration import SHIPPED
from astra_gym.suite import open_suite, spec_bytes
from astra_gym.types import Rejected, ToolEnvSpec

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs" / "synthesis.md"
TOPICS = read_topics(ROOT / "examples" / "authored")
SOUND = [topic.id for topic in TOPICS if topic.expected == "sound"]
FLAWED = [topic.id for topic in TOPICS if topic.expected != "sound"]

pytestmark = pytest.mark.xdist_group("authored")


def _example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


EXAMPLE = _example("synthesize_envs")


@dataclass(frozen=True)
class Played:
    """One run over all topics."""

    folder: Path
    results: dict[str, Any]
    """By topic id, the example's `Result`."""
    asked: tuple[Asked, ...]
    server: AuthoredServer

    def spec(self, topic: str) -> ToolEnvSpec:
        outcome = self.results[topic].outcome
        assert isinstance(outcome, ToolEnvSpec), self.results[topic].reason
        return outcome


@pytest.fixture(scope="module", autouse=True)
def _any_key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "none needed")
        yield


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, _any_key: None) -> Iterator[Played]:
    folder = tmp_path_factory.mktemp("authored")
    with AuthoredServer.of(TOPICS) as server:
        results = EXAMPLE.run_all(TOPICS, folder, server.base_url)
        yield Played(folder, {result.topic.id: result for result in results}, server.asked, server)


def test_there_are_topics_enough_of_both_kinds() -> None:
    languages = [str(topic.item.get("language", "en")) for topic in TOPICS]
    assert len(TOPICS) >= 24
    assert languages.count("zh") >= 4
    assert len(FLAWED) >= len(TOPICS) / 3
    assert all(topic.about.startswith("Authored by hand") for topic in TOPICS)
    assert all(topic.flaw for topic in TOPICS if topic.expected != "sound")


@pytest.mark.parametrize("topic", SOUND)
def test_every_sound_topic_becomes_a_certified_env_that_the_oracle_solves(played: Played, topic: str) -> None:
    spec = played.spec(topic)
    assert spec.certificate is not None
    assert spec.certificate.content_hash == spec.content_hash()
    assert {check.status for check in spec.certificate.checks} == {"pass"}
    assert EXAMPLE.oracle_f1(spec) == pytest.approx(1.0)


@pytest.mark.parametrize("topic", FLAWED)
def test_every_flawed_topic_is_rejected_at_its_stage_with_evidence(played: Played, topic: str) -> None:
    result = played.results[topic]
    assert isinstance(result.outcome, Rejected)
    assert result.stage == result.topic.expected, result.reason
    assert result.topic.reason in result.reason
    assert result.outcome.evidence or result.stage in ("generate", "duplicate")


@pytest.mark.parametrize("topic", FLAWED)
def test_the_table_in_the_docs_tells_each_flaw_with_its_stage_and_reason(played: Played, topic: str) -> None:
    result = played.results[topic]
    rows = [line.split(" | ") for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    said = [row[2].removesuffix(" |") for row in rows if row[:2] == [f"| {result.topic.flaw}", f"`{result.stage}`"]]
    assert len(said) == 1, f"no row, or several, for {result.topic.flaw!r} at {result.stage}"
    assert said[0].removesuffix("…").strip() in result.reason.replace("\n", " ")


def test_every_reply_that_was_asked_for_was_authored_and_every_one_that_was_authored_asked_for(played: Played) -> None:
    assert [asked for asked in played.asked if not asked.fitted] == []
    given = {(asked.stage, asked.attempt) for asked in played.asked}
    for topic in TOPICS:
        for reply in topic.replies:
            asked = [one for one in played.asked if _fits(reply, one)]
            assert asked, f"{topic.id}: nobody asked for {reply.stage} {reply.match} (asked were {sorted(given)})"


def _fits(reply: AuthoredReply, asked: Asked) -> bool:
    return (
        reply.stage == asked.stage
        and reply.attempt in (None, asked.attempt)
        and all(text in asked.opening for text in reply.match)
    )


def test_all_modes_end_in_envs_in_english_and_in_chinese(played: Played) -> None:
    kept = {(topic.item["mode"], topic.item.get("language", "en")) for topic in TOPICS if topic.id in SOUND}
    modes = {"corpus", "domain", "context", "question", "taxonomy", "augment"}
    assert kept >= {(mode, language) for mode in modes for language in ("en", "zh")}
    for topic in SOUND:
        assert played.spec(topic).language == played.results[topic].topic.item.get("language", "en")


def test_all_shapes_and_depths_are_among_the_envs(played: Played) -> None:
    specs = [played.spec(topic) for topic in SOUND]
    assert {spec.scenario_type for spec in specs} == {
        "Single-Hop",
        "Parallel Single-Hop",
        "Multi-Hop",
        "Parallel Multi-Hop",
    }
    assert {spec.hops for spec in specs} >= {1, 2, 3, 4}
    assert {len(spec.sub_questions) for spec in specs} >= {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize(
    ("topic", "tools", "merged"),
    [("weather-headland-gusts", 2, "pass"), ("zh-typhoon-rain", 3, "pass"), ("bank-standing-orders", 3, "fail")],
)
def test_like_tools_become_one_and_stay_apart_where_they_will_not_merge(
    played: Played, topic: str, tools: int, merged: str
) -> None:
    spec = played.spec(topic)
    assert len(spec.tools) == tools
    assert merged in {v["status"] for v in spec.provenance.details["verdicts"] if v["check"] == "merge"}


def test_what_is_kept_is_what_is_shipped(played: Played) -> None:
    """Should this fail, run `python examples/make_authored_specs.py`: topics, prompts or checks have changed."""
    shipping = _example("make_authored_specs")
    shipped = {spec.id: spec for spec in open_suite(SHIPPED) if spec.provenance.door == "llm"}
    made = {spec.id: spec for spec in shipping.shipped(played.results.values())}
    assert list(shipped) == sorted(made)
    for name, spec in made.items():
        there = shipped[name].certificate
        assert there is not None
        assert spec.certificate.checks == there.checks
        assert spec.certificate.content_hash == there.content_hash
        same_versions = spec.model_copy(update={"certificate": there})  # the certificate names Python's, too
        assert spec_bytes(same_versions, indent=True) + b"\n" == (SHIPPED / f"{name}.json").read_bytes()


def test_a_run_with_the_same_cache_asks_nothing_and_ends_the_same(played: Played, tmp_path: Path) -> None:
    group = next(group for group in EXAMPLE.groups_of(TOPICS) if group.mode == "question")
    source = EXAMPLE.write_input(group, tmp_path, {})
    cache = played.folder / f"{group.name}.replies.sqlite"
    before = len(played.server.asked)
    EXAMPLE.run_group(group, source, tmp_path, played.server.base_url, ["--cache", str(cache)])
    assert len(played.server.asked) == before > 0
    for suffix in (".jsonl", ".rejected.jsonl"):
        name = f"{group.name}{suffix}"
        assert (tmp_path / name).read_bytes() == (played.folder / name).read_bytes()


def _judged_by(url: str, folder: Path, topics: Sequence[AuthoredTopic]) -> tuple[list[Any], bytes]:
    """All context topics with the authored writer and other judges; the results, and the suite as it stands."""
    group = next(group for group in EXAMPLE.groups_of(topics) if group.mode == "context" and group.language == "en")
    source = EXAMPLE.write_input(group, folder, {})
    with AuthoredServer.of(topics) as server:
        more = ["--judge-model", "judge", "--judge-url", url, "--retries", "0"]
        results = EXAMPLE.run_group(group, source, folder, server.base_url, more)
    return results, (folder / f"{group.name}.jsonl").read_bytes()


def test_with_a_dead_judge_nothing_is_accepted_and_the_command_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, never listening: every connection is refused
        results, suite = _judged_by(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", tmp_path, TOPICS)
    assert suite == b""
    assert {result.stage for result in results} <= {"generate", "rules", "not done"}
    assert "cannot connect" in capsys.readouterr().err


def test_with_a_judge_that_answers_garbage_nothing_is_accepted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with AuthoredServer([AuthoredReply(stage="*", text="Looks great to me, 10/10!")]) as judge:
        results, suite = _judged_by(judge.base_url, tmp_path, TOPICS)
        assert {asked.stage for asked in judge.asked} <= JUDGES
    assert suite == b""
    assert {result.stage for result in results} <= {"generate", "rules", "necessity"}
    assert all(result.reason.startswith("unknown: ") for result in results if result.stage == "necessity")
    assert "nothing was kept" in capsys.readouterr().err
