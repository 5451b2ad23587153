"""Environment synthesis from end to end without a model: `astra synthesize envs` over the authored replies.

A server of our own speaks the OpenAI protocol and answers from `examples/authored/`, one file a topic; some topics are
flawed in the ways of real models. Each mode is run as a user would run it, by the command. Printed are the command's
own reports, what became of every topic, at which stage each flaw was found, and what the oracle earns on what was kept.

python examples/synthesize_envs.py [FOLDER]
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import orjson

from astra_gym import OracleModel, rollout
from astra_gym.cli import app
from astra_gym.cli.output import console, fail, print_table
from astra_gym.env import ToolEnv
from astra_gym.env_synthesis.llm.items import LlmItem
from astra_gym.env_synthesis.llm.sources import SourceOptions, read_items
from astra_gym.errors import AstraError
from astra_gym.llm.authored import AuthoredServer
from astra_gym.llm.authored_topics import AuthoredTopic, read_topics
from astra_gym.records import JSON
from astra_gym.suite import open_suite, write_suite
from astra_gym.types import Rejected, ToolEnvSpec

AUTHORED = Path(__file__).resolve().parent / "authored"
TERMS = ["--license", "Apache-2.0", "--attribution", "astra-gym, examples/authored"]
"""The topics are this project's own."""


@dataclass(frozen=True)
class Group:
    """Topics that one command takes: of one mode, one language and one range of hops."""

    mode: str
    language: str
    hops: tuple[int, int] | None
    topics: tuple[AuthoredTopic, ...]

    @property
    def name(self) -> str:
        return "-".join([self.mode, self.language, *map(str, sorted(set(self.hops or ())))])

    @property
    def options(self) -> dict[str, JSON]:
        """As `SourceOptions` has them."""
        low, high = self.hops or (None, None)
        return {"language": self.language, "min_hops": low, "max_hops": high}


@dataclass(frozen=True)
class Result:
    """What became of one topic."""

    topic: AuthoredTopic
    outcome: ToolEnvSpec | Rejected | None
    """None: the item was left without an answer."""

    @property
    def stage(self) -> str:
        if self.outcome is None:
            return "not done"
        return self.outcome.stage if isinstance(self.outcome, Rejected) else "sound"

    @property
    def reason(self) -> str:
        return self.outcome.reason if isinstance(self.outcome, Rejected) else ""

    @property
    def as_expected(self) -> bool:
        return self.stage == self.topic.expected and self.topic.reason in self.reason


def groups_of(topics: Iterable[AuthoredTopic]) -> list[Group]:
    """The topics by what one command can take; those that build on another's env come last."""

    def key(topic: AuthoredTopic) -> tuple[bool, str, str, tuple[int, ...]]:
        item = topic.item
        hops = tuple(item[name] for name in ("min_hops", "max_hops") if name in item)
        return item["mode"] == "augment", str(item["mode"]), str(item.get("language", "en")), hops  # type: ignore[return-value]

    ordered = sorted(topics, key=lambda topic: (key(topic), topic.id))
    return [
        Group(mode, language, (hops[0], hops[1]) if hops else None, tuple(members))
        for (_, mode, language, hops), members in groupby(ordered, key)
    ]


def write_input(group: Group, folder: Path, kept: dict[str, ToolEnvSpec]) -> Path:
    """The input file of a group: rows, a taxonomy, or the envs that it builds on."""
    path = folder / f"{group.name}.input.{'json' if group.mode == 'taxonomy' else 'jsonl'}"
    items = [topic.item for topic in group.topics]
    if group.mode == "augment":
        write_suite(path, [kept[str(item["of"])] for item in items], overwrite=True)
    elif group.mode == "taxonomy":
        path.write_bytes(orjson.dumps(_tree(items), option=orjson.OPT_INDENT_2))
    else:
        path.write_bytes(b"".join(orjson.dumps(_row(item)) + b"\n" for item in items))
    return path


def _row(item: dict[str, JSON]) -> JSON:
    if item["mode"] == "given":
        return item["decomposition"]
    named = {"domain": item["domain"], "knowledge_corpus": item.get("knowledge"), "question": item.get("question")}
    return {name: value for name, value in named.items() if value is not None}


def _tree(items: Sequence[dict[str, JSON]]) -> dict[str, JSON]:
    tree: dict[str, JSON] = {}
    for item in items:
        node = tree
        for name in item["path"][:-1]:
            node = node.setdefault(name, {})
        examples = [{"query": query} for query in item["examples"]]
        node[item["path"][-1]] = {"description": item["knowledge"], "examples": examples}
    return tree


def command(group: Group, source: Path, output: Path, base_url: str) -> list[str]:
    """The words after `astra`."""
    words = ["synthesize", "envs", str(source), "-o", str(output), "--mode", group.mode, "--language", group.language]
    if group.hops is not None:
        words += ["--min-hops", str(group.hops[0]), "--max-hops", str(group.hops[1])]
    return [*words, *TERMS, "--model", "authored", "--base-url", base_url]


def run_group(group: Group, source: Path, folder: Path, base_url: str, more: Sequence[str] = ()) -> list[Result]:
    """Run the command, and find each topic's outcome in the files that it wrote."""
    output = folder / f"{group.name}.jsonl"
    words = [*command(group, source, output, base_url), *more]
    console.print(f"\n$ astra {' '.join(words)}", markup=False, soft_wrap=True)
    app(words, standalone_mode=False)
    kept = {spec.provenance.details["item"]: spec for spec in open_suite(output)} if output.stat().st_size else {}
    lines = output.with_suffix(".rejected.jsonl").read_bytes().splitlines()
    rejected = {one.id: one for one in map(Rejected.model_validate_json, lines)}
    items = list(read_items(group.mode, [source], SourceOptions(**group.options)))  # type: ignore[arg-type]
    assert len(items) == len(group.topics), f"{group.name}: {len(items)} items of {len(group.topics)} topics"
    return [
        Result(topic, kept.get(item.id) or rejected.get(item.id))
        for topic, item in zip(group.topics, items, strict=True)
        if isinstance(item, LlmItem)
    ]


def run_all(topics: Sequence[AuthoredTopic], folder: Path, base_url: str, more: Sequence[str] = ()) -> list[Result]:
    """Every topic through the command of its mode."""
    results: list[Result] = []
    for group in groups_of(topics):
        kept = {result.topic.id: result.outcome for result in results if isinstance(result.outcome, ToolEnvSpec)}
        results += run_group(group, write_input(group, folder, kept), folder, base_url, more)
    return results


def oracle_f1(spec: ToolEnvSpec) -> float:
    """What the perfect policy earns."""
    env = ToolEnv(spec)
    try:
        return rollout(env, OracleModel(), seed=0).total_reward
    finally:
        env.close()


def show(results: Sequence[Result]) -> None:
    """What became of every topic; the funnel of all commands together; flaw by stage."""
    kept = [result.outcome for result in results if isinstance(result.outcome, ToolEnvSpec)]
    rows = [
        [r.topic.id, r.outcome.scenario_type, r.outcome.hops, len(r.outcome.sub_questions), oracle_f1(r.outcome)]
        for r in results
        if isinstance(r.outcome, ToolEnvSpec)
    ]
    print_table("Kept", ["topic", "scenario", "hops", "sub-questions", "oracle's F1"], rows)
    flawed = [r for r in results if r.topic.flaw]
    by_stage = sorted(flawed, key=lambda r: (r.stage != "sound", r.topic.expected, r.topic.id))
    print_table("Flaws", ["flaw", "topic", "found at"], [[r.topic.flaw, r.topic.id, r.stage] for r in by_stage])
    print_table("Funnel", ["stage", "rejected"], Counter(r.stage for r in results if r.stage != "sound").most_common())
    console.print(f"{len(results)} topics: {len(kept)} kept, {len(results) - len(kept)} not")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OPENAI_API_KEY", "none needed")
    topics = read_topics(AUTHORED)
    with AuthoredServer.of(topics) as server:
        results = run_all(topics, folder, server.base_url)
        unknown = [asked for asked in server.asked if not asked.fitted]
    show(results)
    specs = [result.outcome for result in results if isinstance(result.outcome, ToolEnvSpec)]
    write_suite(folder / "authored.jsonl", specs, overwrite=True)
    odd = [result for result in results if not result.as_expected]
    for result in odd:
        console.print(f"{result.topic.id}: expected {result.topic.expected}, found {result.stage}: {result.reason}")
    for asked in unknown:
        console.print(f"nobody has authored a reply for {asked.stage}, attempt {asked.attempt}: {asked.opening}")
    if odd or unknown:
        sys.exit(1)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="astra-authored-")))
    except AstraError as error:
        fail(str(error), exit_code=1)
