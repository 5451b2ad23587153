"""Judges: what they are shown, how their votes count, and that no answer is never a pass."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.judging import Judges, judge_prompt, majority, steps
from astra_gym.env_synthesis.llm.necessity import Judged, judge_necessity
from astra_gym.env_synthesis.llm.scores import judge_scores
from astra_gym.env_synthesis.llm.thresholds import DIMENSIONS, Thresholds
from astra_gym.llm.errors import EndpointError
from astra_gym.types import Verdict
from tests.env_synthesis.llm.museum import changed, drafted
from tests.llm.server import answering, ask, say, settings
from tests.models.chat_server import failure

IDS = ("q1", "q2", "q3", "q4")
FINE: dict[str, dict[str, Any]] = {
    "necessity": {"sub_questions": [{"id": key, "needs_tool": True, "reason": "a look-up"} for key in IDS]},
    "dependency": {"missing": [], "unused": [], "reason": "fits"},
    "atomicity": {"sub_questions": [{"id": key, "atomic": True, "reason": "one task"} for key in IDS]},
    "serialisation": {"rational": True, "forced": []},
    "completeness": {"requirements": [{"requirement": "price", "covered_by": ["q4"]}], "complete": True},
}
Said = Mapping[str, object] | Callable[[dict[str, Any]], object]


def judged(do, said: Mapping[str, Said], *, samples: int = 1, reasks: int = 0, judges: tuple[str, ...] = ()):
    """What `do` makes of judges that say FINE, but for the stages in `said`; and the requests they got."""
    requests = []

    def answer(request):
        stage = request["messages"][0]["content"].partition("\n")[0].removeprefix("# Stage: ")
        requests.append((stage, request))
        found = said.get(stage, FINE.get(stage))
        return say(found(request) if callable(found) else found)

    with answering(answer) as server:
        options = settings(server.base_url, judges=judges, judge_samples=samples, reasks=reasks)
        return ask(options, do), requests


def necessity(said: Said, found: Drafted | None = None, **options: Any) -> Judged:
    return judged(lambda llm: judge_necessity(found or drafted(), llm), {"necessity": said}, **options)[0]


def scores(said: Mapping[str, Said], *, stop_early: bool = False, thresholds: Thresholds | None = None, **options: Any):
    def do(llm: Judges):
        return judge_scores(drafted(), llm, thresholds=thresholds, stop_early=stop_early)

    return judged(do, said, **options)


def needs(**needed: bool) -> dict[str, Any]:
    entries = [{"id": key, "needs_tool": needed.get(key, True), "reason": "because"} for key in IDS]
    return {"sub_questions": entries}


def atomic(**held: bool) -> dict[str, Any]:
    return {"sub_questions": [{"id": key, "atomic": held.get(key, True), "reason": "because"} for key in IDS]}


@pytest.mark.parametrize(
    ("votes", "decided"),
    [
        ([True], True),
        ([False], False),
        ([None], None),
        ([True, True, False], True),
        ([True, False], None),
        ([True, None], None),
        ([True, True, None], True),
        ([True, None, None], None),
        ([False, False, True, True, True, None], True),
        ([], None),
    ],
)
def test_a_majority_is_of_the_answers_and_most_must_answer(votes, decided):
    assert majority(votes) is decided


@pytest.mark.parametrize(
    ("said", "status", "tools"),
    [
        (needs(), "pass", {"q1", "q2", "q3", "q4"}),
        (needs(q4=False), "pass", {"q1", "q2", "q3"}),
        (needs(q3=False, q4=False), "pass", {"q1", "q2"}),
        (needs(q2=False), "fail", set()),
        ({"sub_questions": []}, "unknown", set()),
        ({"sub_questions": needs()["sub_questions"][:3]}, "unknown", set()),
        (
            {"sub_questions": [*needs()["sub_questions"], {"id": "q5", "needs_tool": True, "reason": ""}]},
            "unknown",
            set(),
        ),
        (
            {"sub_questions": [*needs()["sub_questions"], {"id": "q1", "needs_tool": True, "reason": ""}]},
            "unknown",
            set(),
        ),
        (json.loads(json.dumps(needs()).replace("true", '"true"')), "unknown", set()),
        (json.loads(json.dumps(needs()).replace("true", "1")), "unknown", set()),
        ("all of them need tools, I think", "unknown", set()),
    ],
)
def test_steps_that_others_rest_on_need_tools(said, status, tools):
    found = necessity(said)
    assert found.verdict.status == status
    assert found.needs_tool == tools


def test_a_decomposition_that_needs_no_tool_at_all_is_nothing_to_play():
    single = {"id": "q1", "question": "Which of the two is longer, Ost or Westerly?", "answer": "Westerly"}
    draft = changed(sub_questions=[single], answer="Westerly", answer_from="q1")
    found = necessity({"sub_questions": [{"id": "q1", "needs_tool": False, "reason": "reading"}]}, drafted(draft))
    problem = "no step needs a tool: q1: reading"
    assert (found.verdict.status, found.verdict.evidence["problem"]) == ("fail", problem)


def test_a_reply_with_the_wrong_ids_is_asked_for_again_with_the_ids():
    def said(request):
        return needs() if len(request["messages"]) > 2 else {"sub_questions": needs()["sub_questions"][1:]}

    found, requests = judged(lambda llm: judge_necessity(drafted(), llm), {"necessity": said}, reasks=1)
    assert found.verdict.status == "pass"
    assert "missing ['q1']" in requests[1][1]["messages"][-1]["content"]


def test_all_four_dimensions_pass_where_every_judge_is_content():
    verdicts, requests = scores({})
    assert [verdict.check for verdict in verdicts] == list(DIMENSIONS)
    assert [(verdict.status, verdict.evidence["score"]) for verdict in verdicts] == [("pass", 1.0)] * 4
    assert [stage for stage, _ in requests].count("dependency") == len(IDS)


def forced(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"rational": not pairs, "forced": [{"id": a, "on": b, "reason": "not used"} for a, b in pairs]}


def about(sub_id: str, reply: dict[str, Any]) -> Callable[[dict[str, Any]], object]:
    return lambda request: (
        reply if f"The question ({sub_id}):" in request["messages"][1]["content"] else FINE["dependency"]
    )


UNCOVERED = {"requirements": [{"requirement": "the audio guide", "covered_by": []}], "complete": False}


@pytest.mark.parametrize(
    ("check", "said", "status", "score"),
    [
        ("dependency", about("q4", {"missing": ["the price"], "unused": [], "reason": "x"}), "fail", 0.75),
        ("dependency", about("q2", {"missing": [], "unused": ["q1"], "reason": "x"}), "fail", 0.75),
        ("dependency", about("q2", {"missing": [], "unused": ["q4"], "reason": "no dependency"}), "unknown", None),
        ("dependency", {"missing": [], "reason": "left out"}, "unknown", None),
        ("atomicity", atomic(q4=False), "fail", 0.75),
        ("atomicity", {"sub_questions": []}, "unknown", None),
        ("serialisation", forced(("q4", "q2")), "fail", 0.75),
        ("serialisation", forced(("q4", "q3")), "unknown", None),
        ("serialisation", {"rational": False, "forced": []}, "unknown", None),
        ("completeness", UNCOVERED, "fail", 0.0),
        ("completeness", UNCOVERED | {"complete": True}, "unknown", None),
        (
            "completeness",
            {"requirements": [{"requirement": "x", "covered_by": ["q7"]}], "complete": True},
            "unknown",
            None,
        ),
        ("completeness", {"requirements": [], "complete": True}, "unknown", None),
    ],
)
def test_each_dimension_fails_or_is_unknown_but_does_not_pass(check, said, status, score):
    verdicts, _ = scores({check: said})
    (found,) = (verdict for verdict in verdicts if verdict.check == check)
    assert (found.status, found.evidence["score"]) == (status, score)
    assert found.evidence["problem"]
    assert [verdict.status for verdict in verdicts if verdict.check != check] == ["pass"] * 3


@pytest.mark.parametrize(
    ("check", "said", "problem"),
    [
        (
            "dependency",
            about("q4", {"missing": ["the price", "a count"], "unused": ["q2"], "reason": "q2 is a name"}),
            "q4: missing: the price, a count; unused: q2; q2 is a name",
        ),
        ("serialisation", forced(("q4", "q2")), "q4: need not wait for q2: "),
        ("completeness", UNCOVERED, "the whole: no step gives the audio guide"),
    ],
)
def test_what_fails_is_said_in_the_judges_own_words(check, said, problem):
    verdict = scores({check: said}, stop_early=True)[0][-1]
    assert verdict.check == check
    assert verdict.evidence["problem"].startswith(problem)


def test_an_early_stop_asks_no_more_after_the_first_that_does_not_pass():
    verdicts, requests = scores({"atomicity": atomic(q1=False)}, stop_early=True)
    assert [(verdict.check, verdict.status) for verdict in verdicts] == [("dependency", "pass"), ("atomicity", "fail")]
    assert {stage for stage, _ in requests} == {"dependency", "atomicity"}


def test_a_minimum_below_one_forgives_some_steps_and_no_unknown_ones():
    minima = Thresholds(atomicity=0.75)
    statuses = [scores({"atomicity": said}, thresholds=minima)[0][1].status for said in (atomic(q1=False), "?")]
    assert statuses == ["pass", "unknown"]
    assert scores({"atomicity": atomic(q1=False, q2=False)}, thresholds=minima)[0][1].status == "fail"


def by_seed(*replies: object) -> Callable[[dict[str, Any]], object]:
    return lambda request: replies[request["seed"]]


def test_several_samples_decide_by_majority_and_their_votes_are_kept():
    said = by_seed(atomic(), atomic(q2=False), atomic())
    (found,) = (v for v in scores({"atomicity": said}, samples=3)[0] if v.check == "atomicity")
    assert found.status == "pass"
    assert found.evidence["votes"]["q2"] == [True, False, True]
    said = by_seed(atomic(), atomic(q2=False), atomic(q2=False))
    (found,) = (v for v in scores({"atomicity": said}, samples=3)[0] if v.check == "atomicity")
    assert (found.status, found.evidence["score"]) == ("fail", 0.75)


def test_two_judge_models_that_disagree_leave_it_unknown():
    def said(request):
        return atomic(q2=request["model"] == "mild")

    verdicts, _ = scores({"atomicity": said}, judges=("mild", "harsh"))
    (found,) = (verdict for verdict in verdicts if verdict.check == "atomicity")
    assert (found.status, found.evidence["problem"]) == ("unknown", "no majority of the judges on ['q2']")


def test_a_silent_judge_is_no_vote_and_says_why():
    def said(request):
        return "I cannot say." if request["model"] == "silent" else atomic()

    verdicts, _ = scores({"atomicity": said}, judges=("one", "two", "silent"))
    (found,) = (verdict for verdict in verdicts if verdict.check == "atomicity")
    assert found.status == "pass"
    assert found.evidence["votes"]["q1"] == [True, True, None]
    assert len(found.evidence["silent"]) == 1
    assert "silent" in found.evidence["silent"][0]


@pytest.mark.parametrize("said", ["", "{}", "null", "[]", '{"score": 1}', "1.0", '{"is_atomic": "1"}', "<html></html>"])
def test_garbage_passes_nothing(said):
    garbage = dict.fromkeys(FINE, said)
    verdicts, _ = scores(garbage)
    assert {verdict.status for verdict in verdicts} == {"unknown"}
    assert necessity(said).verdict.status == "unknown"


def test_a_dead_judge_endpoint_is_no_verdict():
    with answering(lambda _: failure(500, "down")) as server, pytest.raises(EndpointError):
        ask(settings(server.base_url, retries=0), lambda llm: judge_necessity(drafted(), llm))


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("stage", [*FINE, "entailment"])
def test_every_judge_has_a_prompt(stage, language):
    found = drafted()
    item = found.item.model_copy(update={"language": language})
    shown = {"main": "What?", "final_answer": "28 EUR", "steps": steps(found), "id": "q4"}
    shown |= {"sub_question": "What is it?", "references": steps(found)[:2]}
    prompt = judge_prompt(stage, Drafted(item, found.decomposition, ""), **shown)
    system = prompt.messages[0]["content"]
    assert system.startswith(f"# Stage: {stage}\n")
    assert ("in Chinese" in system) == (language == "zh")
    assert [step["id"] for step in prompt.facts["sub_questions"]] == ["q1", "q2", "q3", "q4"]


def test_the_dependency_judge_sees_one_question_and_what_it_depends_on():
    _, requests = scores({})
    shown = {
        re.search(r"The question \((q\d)\)", request["messages"][1]["content"])[1]: request["messages"][1]["content"]
        for stage, request in requests
        if stage == "dependency"
    }
    assert "Tidehall" in shown["q2"]
    assert "14 EUR" in shown["q4"]
    assert "Tuesday" not in shown["q4"]
    assert "depend on nothing" in shown["q1"]


def test_verdicts_of_the_same_replies_are_the_same_bytes():
    first, second = (scores({"atomicity": atomic(q1=False)}, samples=2)[0] for _ in range(2))
    assert [verdict.model_dump_json() for verdict in first] == [verdict.model_dump_json() for verdict in second]
    assert all(Verdict.model_validate_json(verdict.model_dump_json()) == verdict for verdict in first)


def test_judges_may_be_anything_that_judges():
    class Content:
        async def judge(self, prompt, reply, *, check=None):
            found = reply.model_validate(FINE[prompt.stage])
            if check is not None:
                check(found)
            return [found]

    verdicts = asyncio.run(judge_scores(drafted(), Content()))
    assert [verdict.status for verdict in verdicts] == ["pass"] * 4
