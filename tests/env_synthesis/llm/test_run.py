"""Whole runs against a server that answers every stage: order, resuming, dead and poor endpoints, budgets, screens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest

from astra_gym.certify import certify
from astra_gym.env_synthesis.llm.items import LlmItem
from astra_gym.env_synthesis.llm.journal import Journal
from astra_gym.env_synthesis.llm.run import RunPlan, run
from astra_gym.env_synthesis.llm.sources import read_items
from astra_gym.env_synthesis.llm.suite_files import LlmRunReport
from astra_gym.env_synthesis.llm.thresholds import Thresholds
from astra_gym.errors import PipelineError
from astra_gym.llm.settings import ItemBudget
from astra_gym.suite import open_suite, spec_bytes
from astra_gym.types import Certificate, Rejected, ToolEnvSpec
from tests.env_synthesis.llm.depots import FLAWS, answer, question, write_questions
from tests.llm.server import answering, say, settings
from tests.models.chat_server import Reply, failure

SHIPPED = Path(__file__).resolve().parents[3] / "env_specs"
DAY = "2025-01-02"
ALL = 8


def go(
    folder: Path,
    url: str,
    *,
    items: int = ALL,
    judges: tuple[str, ...] = (),
    output: str = "suite.jsonl",
    **options: Any,
) -> LlmRunReport:
    """A run over the first depots; options of the plan, and `limit`, `overwrite`, `today`, `progress` of the run."""
    questions = write_questions(folder / "questions.jsonl", items)
    of_run = {name: options.pop(name) for name in ("limit", "overwrite", "today", "progress") if name in options}
    asking = settings(url, judges=judges, **options.pop("asking", {"retries": 0}))
    plan = RunPlan(asking, **{"concurrency": 2, **options})

    def read() -> Iterator[LlmItem | Rejected]:
        return read_items("question", [questions])

    return run(read, folder / output, plan, source={"file": questions.name}, **{"today": DAY, **of_run})


def files(folder: Path, output: str = "suite.jsonl") -> tuple[bytes, bytes]:
    path = folder / output
    return path.read_bytes(), path.with_suffix(".rejected.jsonl").read_bytes()


def lines(content: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in content.splitlines()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    with answering(answer) as server:
        report = go(folder, server.base_url)
    assert (report.kept, report.rejected) == (4, 4)
    return files(folder)


def test_every_item_ends_as_one_line_at_the_stage_of_its_flaw(undisturbed: tuple[bytes, bytes]) -> None:
    assert [spec["question"] for spec in lines(undisturbed[0])] == [question(n) for n in range(ALL) if n not in FLAWS]
    assert [line["stage"] for line in lines(undisturbed[1])] == list(FLAWS.values())
    assert all(line["id"].startswith("question-depots-") for line in lines(undisturbed[1]))


def test_what_is_kept_holds_for_everybody(tmp_path: Path, undisturbed: tuple[bytes, bytes]) -> None:
    path = tmp_path / "suite.jsonl"
    path.write_bytes(undisturbed[0])
    for spec in open_suite(path):
        assert isinstance(certify(spec), Certificate)


def test_provenance_tells_models_prompts_and_the_day_and_no_address(undisturbed: tuple[bytes, bytes]) -> None:
    details = lines(undisturbed[0])[0]["provenance"]["details"]
    assert details["dates"] == [DAY]
    assert {reply["model"] for reply in details["replies"]} == {"writer"}
    prompts = details["replies"][0]["prompts"]
    assert {"generate", "necessity", "document", "probe"} <= prompts.keys()
    assert all(template.startswith("sha256:") for template in prompts.values())
    assert b"127.0.0.1" not in undisturbed[0] + undisturbed[1]


def test_how_many_are_done_at_a_time_does_not_change_a_byte(tmp_path: Path, undisturbed: tuple[bytes, bytes]) -> None:
    with answering(answer) as server:
        go(tmp_path, server.base_url, concurrency=8)
    assert files(tmp_path) == undisturbed


def test_a_second_run_finds_everything_there_on_another_day(tmp_path: Path, undisturbed: tuple[bytes, bytes]) -> None:
    with answering(answer) as server:
        first = go(tmp_path, server.base_url)
        asked = len(server.requests)
        second = go(tmp_path, server.base_url, today="2030-01-01")
        assert len(server.requests) == asked
    assert (second.kept, second.rejected, second.resumed) == (first.kept, first.rejected, ALL)
    assert second.usage == first.usage
    assert files(tmp_path) == undisturbed


def test_started_again_it_asks_nothing_that_it_asked_before(tmp_path: Path, undisturbed: tuple[bytes, bytes]) -> None:
    with answering(answer) as server:
        first = go(tmp_path, server.base_url)
        asked = len(server.requests)
        again = go(tmp_path, server.base_url, overwrite=True)
        assert len(server.requests) == asked
    assert again.resumed == 0
    assert again.usage.cached_calls == again.usage.calls == first.usage.calls
    assert files(tmp_path) == undisturbed


def test_a_limit_is_gone_beyond_later(tmp_path: Path, undisturbed: tuple[bytes, bytes]) -> None:
    with answering(answer) as server:
        assert go(tmp_path, server.base_url, limit=3).kept == 3
        report = go(tmp_path, server.base_url)
    assert report.resumed == 3
    assert files(tmp_path) == undisturbed


def test_progress_sees_each_item_and_then_the_whole(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    with answering(answer) as server:
        go(tmp_path, server.base_url, progress=lambda report: seen.append((report.kept, report.rejected)))
    assert [sum(counts) for counts in seen] == [*range(1, ALL + 1), ALL]
    assert seen[-2:] == [(5, 3), (4, 4)]  # the repeat shows when the files are written


class TestEndpoints:
    """Nothing is accepted that was not answered, and nothing is rejected for it."""

    def test_a_dead_judge_stops_the_run_with_nothing_accepted(
        self, tmp_path: Path, undisturbed: tuple[bytes, bytes]
    ) -> None:
        def without_judge(request: dict[str, Any]) -> Reply:
            return failure(401, "bad key") if request["model"] == "judge" else answer(request)

        with answering(without_judge) as server:
            report = go(tmp_path, server.base_url, judges=("judge",), asking={"retries": 0, "down_after": 3})
        assert report.kept == 0
        assert "judge at http://127.0.0.1" in report.stopped
        assert "the endpoint is down: it left 3 items in a row without an answer" in report.stopped
        assert "the API key is refused" in report.stopped
        assert files(tmp_path)[0] == b""
        assert {line["stage"] for line in lines(files(tmp_path)[1])} <= {"generate"}
        with answering(answer) as server:
            report = go(tmp_path, server.base_url, judges=("judge",))
        assert (report.kept, report.unanswered, report.stopped) == (4, 0, "")
        stages = [line["stage"] for line in lines(files(tmp_path)[1])]
        assert stages == [line["stage"] for line in lines(undisturbed[1])]

    def test_a_judge_that_answers_garbage_rejects_as_unknown(self, tmp_path: Path) -> None:
        def confused(request: dict[str, Any]) -> Reply:
            return say("All fine!") if request["model"] == "judge" else answer(request)

        with answering(confused) as server:
            report = go(tmp_path, server.base_url, items=3, judges=("judge",))
        assert (report.kept, report.rejected_by_stage) == (0, {"necessity": 3})
        reason = lines(files(tmp_path)[1])[0]["reason"]
        assert reason.startswith("unknown: no majority of the judges")
        assert "it holds no JSON object (the last of 3 replies of judge at stage 'necessity'" in reason

    def test_judges_without_a_majority_reject_as_unknown(self, tmp_path: Path) -> None:
        def at_odds(request: dict[str, Any]) -> Reply:
            if request["model"] == "hard" and "# Stage: atomicity" in request["messages"][0]["content"]:
                entries = [{"id": f"q{i}", "atomic": i != 2, "reason": "two tasks"} for i in (1, 2, 3)]
                return say({"sub_questions": entries})
            return answer(request)

        with answering(at_odds) as server:
            report = go(tmp_path, server.base_url, items=1, judges=("mild", "hard"))
        assert (report.kept, report.rejected_by_stage) == (0, {"atomicity": 1})
        assert "unknown: " in lines(files(tmp_path)[1])[0]["reason"]

    def test_a_writer_that_dies_loses_nothing_that_was_finished(
        self, tmp_path: Path, undisturbed: tuple[bytes, bytes]
    ) -> None:
        asked = count()

        def mortal(request: dict[str, Any]) -> Reply:
            return answer(request) if next(asked) < 60 else failure(404, "no such model")

        with answering(mortal) as server:
            report = go(tmp_path, server.base_url)
        assert "no model 'writer', or no chat endpoint under base_url" in report.stopped
        assert 0 < report.kept < 4
        kept = files(tmp_path)[0]
        assert kept
        assert undisturbed[0].startswith(kept)
        with answering(answer) as server:
            go(tmp_path, server.base_url)
        assert files(tmp_path) == undisturbed

    def test_an_item_left_without_an_answer_is_asked_again_by_a_later_run(
        self, tmp_path: Path, undisturbed: tuple[bytes, bytes]
    ) -> None:
        def forgetful(request: dict[str, Any]) -> Reply:
            return failure(500, "oops") if "K02" in request["messages"][1]["content"] else answer(request)

        with answering(forgetful) as server:
            report = go(tmp_path, server.base_url)
            assert (report.kept, report.unanswered, report.stopped) == (3, 1, "")
            assert "the server failed, also after the retries (HTTP 500: 'oops')" in report.last_failure
            assert "K02" not in files(tmp_path)[0].decode() + files(tmp_path)[1].decode()
        with answering(answer) as server:
            go(tmp_path, server.base_url)
        assert files(tmp_path) == undisturbed

    def test_an_item_that_fails_for_ever_is_left_undone_and_no_endpoint_is_given_up_for_it(
        self, tmp_path: Path, undisturbed: tuple[bytes, bytes]
    ) -> None:
        def never(request: dict[str, Any]) -> Reply:
            asked = "K02" in request["messages"][1]["content"] and stage_of(request) == "dependency"
            return failure(500, "oops") if asked else answer(request)

        with answering(never) as server:
            for _ in range(2):  # as often as it is run
                report = go(tmp_path, server.base_url, concurrency=1, asking={"retries": 0, "down_after": 2})
                assert (report.kept, report.rejected, report.unanswered, report.stopped) == (3, 4, 1, "")
                assert report.last_failure.startswith("question-depots-")
                assert "(HTTP 500: 'oops')" in report.last_failure
        with answering(answer) as server:
            go(tmp_path, server.base_url)
        assert files(tmp_path) == undisturbed

    def test_a_request_that_is_refused_rejects_its_item(self, tmp_path: Path) -> None:
        def picky(request: dict[str, Any]) -> Reply:
            opening = request["messages"][1]["content"]
            return failure(400, "too long") if "K02" in opening and "JSON Pointer" in opening else answer(request)

        with answering(picky) as server:
            report = go(tmp_path, server.base_url, items=3)
        assert (report.kept, report.rejected, report.unanswered) == (2, 1, 0)
        assert "the request is refused (HTTP 400: 'too long')" in lines(files(tmp_path)[1])[0]["reason"]


@pytest.mark.parametrize("cached", [False, True])
def test_a_budget_ends_an_item_and_no_other(tmp_path: Path, cached: bool) -> None:
    with answering(answer) as server:
        if cached:
            go(tmp_path, server.base_url, items=5, output="first.jsonl", cache=tmp_path / "replies.sqlite")
        report = go(tmp_path, server.base_url, items=5, budget=ItemBudget(calls=20), cache=tmp_path / "replies.sqlite")
    assert report.rejected_by_stage == {"budget": 3, "serialisation": 1, "generate": 1}
    assert lines(files(tmp_path)[1])[0]["reason"] == "needs more than the 20 calls that one item may make"


class TestOutputs:
    def test_another_runs_output_is_refused_with_what_differs(self, tmp_path: Path) -> None:
        with answering(answer) as server:
            go(tmp_path, server.base_url, items=1)
            before = files(tmp_path)
            with pytest.raises(
                PipelineError, match=r"holds the output of another run \(reasks was 2, now 1\).*--overw"
            ):
                go(tmp_path, server.base_url, items=1, asking={"reasks": 1})
            with pytest.raises(PipelineError, match=r"thresholds was .*1\.0.*, now .*0\.5"):
                go(tmp_path, server.base_url, items=1, thresholds=Thresholds(atomicity=0.5))
        assert files(tmp_path) == before

    def test_a_file_that_no_run_wrote_is_not_touched(self, tmp_path: Path) -> None:
        (tmp_path / "suite.jsonl").write_text("mine\n")
        with answering(answer) as server:
            with pytest.raises(PipelineError, match="holds the output of another run"):
                go(tmp_path, server.base_url, items=1)
            assert not server.requests
        assert (tmp_path / "suite.jsonl").read_text() == "mine\n"

    def test_two_processes_at_one_run_are_refused(self, tmp_path: Path) -> None:
        with answering(answer) as server:
            go(tmp_path, server.base_url, items=1)
            with (
                Journal(tmp_path / "suite.jsonl", DAY),
                pytest.raises(PipelineError, match="another process is at this run"),
            ):
                go(tmp_path, server.base_url, items=1)

    def test_starting_again_does_not_touch_what_another_process_is_at(self, tmp_path: Path) -> None:
        with answering(answer) as server:
            go(tmp_path, server.base_url, items=1)
            written = [tmp_path / f"suite.{end}" for end in ("jsonl", "rejected.jsonl", "run.json")]
            before = [path.read_bytes() for path in written]
            with Journal(tmp_path / "suite.jsonl", DAY) as journal:
                with pytest.raises(PipelineError, match="another process is at this run"):
                    go(tmp_path, server.base_url, items=1, asking={"reasks": 1}, overwrite=True)
                assert len(journal.done) == len(list(journal.outcomes())) == 1
            assert before == [path.read_bytes() for path in written]

    def test_started_again_with_other_options_it_is_another_run(self, tmp_path: Path) -> None:
        with answering(answer) as server:
            go(tmp_path, server.base_url, items=2)
            report = go(tmp_path, server.base_url, items=1, asking={"reasks": 1}, overwrite=True, today="2030-01-01")
            assert (report.kept, report.resumed) == (1, 0)
            assert b'"2030-01-01"' in files(tmp_path)[0]
            with pytest.raises(PipelineError, match=r"reasks was 1, now 2"):
                go(tmp_path, server.base_url, items=1)

    def test_a_damaged_journal_is_said_to_be_one(self, tmp_path: Path) -> None:
        with answering(answer) as server:
            go(tmp_path, server.base_url, items=1)
            (tmp_path / "suite.journal.sqlite").write_bytes(b"no data base at all, though it is long enough" * 100)
            with pytest.raises(PipelineError, match=r"suite\.journal\.sqlite: the journal of the run cannot be used"):
                go(tmp_path, server.base_url, items=1)

    def test_items_that_cannot_be_told_apart_are_refused(self, tmp_path: Path) -> None:
        item = LlmItem.make("domain", domain="depots")
        with pytest.raises(PipelineError, match="two items have the id 'domain-depots-"):
            run(
                lambda: iter([Rejected(id=item.id, stage="read", reason="no"), item]),
                tmp_path / "suite.jsonl",
                RunPlan(settings("http://127.0.0.1:9/v1")),
                source={},
            )


class TestBesideOthers:
    def test_a_question_of_a_screened_file_is_rejected_and_so_is_a_near_repeat(self, tmp_path: Path) -> None:
        screened = tmp_path / "held_out.jsonl"
        screened.write_text(json.dumps({"id": 7, "prompt": f"Please answer. {question(2)}"}) + "\n")
        with answering(answer) as server:
            report = go(tmp_path, server.base_url, items=3, screen=[screened])
        assert (report.kept, report.rejected_by_stage) == (2, {"contamination": 1})
        assert "held_out.jsonl:1" in lines(files(tmp_path)[1])[0]["reason"]

    def test_a_screened_file_that_is_not_there_is_named_before_anything_is_asked(self, tmp_path: Path) -> None:
        with answering(answer) as server:
            with pytest.raises(PipelineError, match=r"gone\.jsonl: cannot be screened against"):
                go(tmp_path, server.base_url, items=1, screen=[tmp_path / "gone.jsonl"])
            assert not server.requests

    def test_a_percentile_gate_keeps_its_share_also_among_equals(self, tmp_path: Path) -> None:
        with answering(answer) as server:
            whole = go(tmp_path, server.base_url, items=3, percentile=50.0)
        assert (whole.kept, whole.rejected_by_stage) == (2, {"percentile": 1})


def test_items_that_could_not_be_read_keep_their_place(tmp_path: Path) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 2)
    content = questions.read_bytes().splitlines(keepends=True)
    questions.write_bytes(content[0] + b"{no json\n" + content[1])
    with answering(answer) as server:
        plan = replace(RunPlan(settings(server.base_url)), concurrency=2)
        report = run(lambda: read_items("question", [questions]), tmp_path / "suite.jsonl", plan, source={})
    assert (report.kept, report.rejected_by_stage) == (2, {"read": 1})


def test_a_long_run_writes_its_files_while_it_goes(tmp_path: Path) -> None:
    output = tmp_path / "suite.jsonl"
    rejected = output.with_suffix(".rejected.jsonl")
    seen: list[int] = []

    def look(report: LlmRunReport) -> None:
        seen.append(len(rejected.read_bytes().splitlines()) if rejected.exists() else 0)
        assert seen[-1] <= report.rejected

    unread = [Rejected(id=f"line-{i}", stage="read", reason="not JSON") for i in range(120)]
    run(lambda: unread, output, RunPlan(settings("http://127.0.0.1:9/v1")), source={}, progress=look)
    assert sorted(set(seen)) == [0, 50, 100, 120]
    assert [line["id"] for line in lines(rejected.read_bytes())] == [item.id for item in unread]


def test_given_decompositions_take_the_same_way_with_their_own_tools(tmp_path: Path) -> None:
    """Only judges are asked. The broken one lacks the step that its last one rests on."""
    sound = shipped(3)
    broken = sound[0].model_copy(update={"answer": sound[1].answer})
    given = tmp_path / "given.jsonl"
    given.write_bytes(b"".join(spec_bytes(spec) + b"\n" for spec in (*sound, broken)))
    with answering(agreeable) as server:
        plan = RunPlan(settings(server.base_url, retries=0), concurrency=2)
        report = run(lambda: read_items("given", [given]), tmp_path / "suite.jsonl", plan, source={}, today=DAY)
        stages = {stage_of(request) for request in server.requests}
    assert report.rejected_by_stage == {"final_answer": 1}
    assert report.kept == 3
    assert stages.isdisjoint({"generate", "document", "implementation"})
    for spec, before in zip(open_suite(tmp_path / "suite.jsonl"), sound, strict=True):
        assert spec.tools == before.tools
        assert [sub.call for sub in spec.sub_questions] == [sub.call for sub in before.sub_questions]


def shipped(wanted: int) -> list[ToolEnvSpec]:
    """Envs of the shipped suite whose steps depend on one another."""
    suite = open_suite(SHIPPED)
    return [suite.load(spec_id) for spec_id in suite.ids if "-chain3-" in spec_id][:wanted]


def stage_of(request: dict[str, Any]) -> str:
    return str(request["messages"][0]["content"].splitlines()[0].removeprefix("# Stage: "))


def agreeable(request: dict[str, Any]) -> Reply:
    """A judge that finds nothing wrong, and the final answer nowhere."""
    ids = list(dict.fromkeys(re.findall(r'"id": "([^"]+)"', request["messages"][1]["content"])))
    each = [{"id": key, "reason": "as it should be"} for key in ids]
    replies: dict[str, Any] = {
        "necessity": {"sub_questions": [{**one, "needs_tool": True} for one in each]},
        "dependency": {"missing": [], "unused": [], "reason": "all is there"},
        "atomicity": {"sub_questions": [{**one, "atomic": True} for one in each]},
        "serialisation": {"rational": True, "forced": []},
        "completeness": {"requirements": [{"requirement": "all", "covered_by": ids}], "complete": True},
        "entailment": {"answerable": False, "answer": None, "reason": "not among them"},
    }
    return say(replies[stage_of(request)])
