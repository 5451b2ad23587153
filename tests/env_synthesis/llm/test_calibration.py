"""Calibration: the labelled set, judges by rule, the corridor on the shipped suite, and what is measured."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from astra_gym.env_synthesis.llm.calibration import FLAWS, Labelled, RuleJudge, labelled_set, measure, table_envs
from astra_gym.env_synthesis.llm.calibration.labelled import broken, sound
from astra_gym.env_synthesis.llm.pipeline import process
from astra_gym.env_synthesis.llm.rules import broken_rule
from astra_gym.env_synthesis.llm.thresholds import Thresholds
from astra_gym.env_synthesis.llm.tool_runner import ToolRunner
from astra_gym.llm.errors import RequestError
from astra_gym.llm.pool import LlmPool
from astra_gym.types import Rejected, ToolEnvSpec
from tests.env_synthesis.llm.test_judges import FINE
from tests.llm.server import answering, ask, say, settings
from tests.llm.server import prompt as plain_prompt


@pytest.fixture(scope="module")
def specs() -> list[ToolEnvSpec]:
    return table_envs()


@pytest.fixture(scope="module")
def labelled(specs) -> list[Labelled]:
    return labelled_set(specs)


def test_the_labelled_set_is_large_mixed_and_always_the_same(labelled, specs):
    assert Counter(one.flaw for one in labelled) == {None: 24} | dict.fromkeys(FLAWS, 12)
    assert len({one.truth.domain for one in labelled}) == 8
    assert len({one.drafted.item.id for one in labelled}) == len(labelled)
    again = labelled_set(specs[::-1])
    assert [one.drafted.item.id for one in again] == [one.drafted.item.id for one in labelled]


def test_flaws_are_not_such_that_a_rule_would_find_them(labelled):
    """Judges are measured on what is left to them."""
    found = [one for one in labelled if broken_rule(one.drafted) is not None]
    assert len(found) <= 2, [(one.truth.id, one.flaw) for one in found]


def test_judges_by_rule_are_right_about_all_of_it(labelled):
    some = labelled[:24:3] + labelled[24::3]
    report = asyncio.run(measure(some, lambda one: RuleJudge(one.truth)))
    assert [(check.check, check.precision, check.recall, check.kept) for check in report.checks] == [
        (check, 1.0, 1.0, 1.0) for check, _ in FLAWS.values()
    ]
    assert report.misses == ()


class Corridor:
    """The whole pipeline on given decompositions, judged by rule; no model is there to be asked."""

    def outcomes(self, labelled: Iterator[Labelled]) -> Counter[str]:
        async def run() -> list[ToolEnvSpec | Rejected]:
            nobody = settings("http://127.0.0.1:9/v1", retries=0)
            async with LlmPool(nobody) as pool:
                with ToolRunner() as runner:
                    return [
                        await process(
                            one.drafted.item,
                            pool.session(one.drafted.item.id),
                            runner,
                            Thresholds(),
                            judges=RuleJudge(one.truth),
                        )
                        for one in labelled
                    ]

        return Counter(one.stage if isinstance(one, Rejected) else "kept" for one in asyncio.run(run()))


def test_the_corridor_keeps_what_is_sound(specs):
    outcomes = Corridor().outcomes(sound(specs))
    assert outcomes["kept"] >= 0.95 * outcomes.total(), outcomes


@pytest.mark.parametrize("flaw", FLAWS)
def test_the_corridor_rejects_what_is_broken(specs, flaw):
    outcomes = Corridor().outcomes(broken(specs[::2], flaw))
    assert outcomes.total() >= 19
    assert outcomes["kept"] <= 0.05 * outcomes.total(), outcomes
    if flaw != "forced_serialisation":  # a dependency that is not used breaks two dimensions; the first one says so
        assert outcomes[FLAWS[flaw][0]] >= 0.95 * outcomes.total(), outcomes


def test_no_rule_answers_what_is_not_its_stage(specs):
    (answer,) = asyncio.run(RuleJudge(specs[0]).judge(plain_prompt(stage="generate"), object))
    assert isinstance(answer, RequestError)


def measured(labelled, answer, **options):
    with answering(answer) as server:

        async def do(_):
            async with LlmPool(settings(server.base_url, reasks=0, **options)) as pool:
                return await measure(labelled, lambda one: pool.session(one.drafted.item.id))

        return ask(settings(server.base_url), do)


def content(request):
    """A judge of a model that finds nothing wrong with anything."""
    stage = request["messages"][0]["content"].partition("\n")[0].removeprefix("# Stage: ")
    if stage in ("necessity", "atomicity"):
        key = "needs_tool" if stage == "necessity" else "atomic"
        ids = [
            line.split('"')[3] for line in request["messages"][1]["content"].splitlines() if line.startswith('{"id"')
        ]
        return say({"sub_questions": [{"id": found, key: True, "reason": "fine"} for found in ids]})
    if stage == "completeness":
        return say({"requirements": [{"requirement": "all", "covered_by": ["q2"]}], "complete": True})
    if stage == "entailment":
        return say({"answerable": False, "answer": None, "reason": "who knows"})
    return say(FINE[stage])


def test_a_judge_that_finds_nothing_has_no_recall_and_one_that_answers_nothing_is_unknown(labelled):
    some = [one for one in labelled if "q2" in one.drafted.decomposition.by_id]
    few = some[:4] + [next(one for one in some if one.flaw == flaw) for flaw in FLAWS]
    report = measured(few, content)
    by_check = {check.check: check for check in report.checks}
    assert by_check["atomicity"].recall == 0.0
    assert by_check["atomicity"].kept == 1.0
    assert by_check["atomicity"].precision is None
    assert (by_check["final_answer"].recall, by_check["final_answer"].kept) == (1.0, 0.0)
    assert by_check["final_answer"].precision == pytest.approx(0.2)
    assert {(miss.check, miss.flaw) for miss in report.misses} >= {
        ("atomicity", "merged_steps"),
        ("final_answer", None),
    }
    silent = measured(few, lambda _: say("Well..."))
    assert all((check.sound.unknown, check.broken.unknown) == (4, 1) for check in silent.checks)
    assert all((check.recall, check.kept, check.precision) == (0.0, 0.0, None) for check in silent.checks)


def test_agreement_of_several_judges_is_reported(labelled):
    sometimes = iter(range(10**6))

    def answer(request):
        if "# Stage: dependency" in request["messages"][0]["content"] and request["seed"] == 1 and next(sometimes) % 2:
            return say({"missing": ["something"], "unused": [], "reason": "hm"})
        return content(request)

    some = [one for one in labelled if one.flaw is None and "q2" in one.drafted.decomposition.by_id][:3]
    report = measured(some, answer, judge_samples=2)
    dependency = next(check for check in report.checks if check.check == "dependency")
    assert dependency.agreement.judges == 2
    assert 0 < dependency.agreement.observed < 1
    atomicity = next(check for check in report.checks if check.check == "atomicity")
    assert (atomicity.agreement.observed, atomicity.agreement.kappa) == (1.0, None)
