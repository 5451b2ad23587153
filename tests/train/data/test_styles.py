"""Oracle trajectories in every style: what they show, that they are right, and what is left out."""

from __future__ import annotations

from collections import Counter
from random import Random

import orjson
import pytest

from astra_gym.answers import Answer
from astra_gym.env import ToolEnv
from astra_gym.registration import SHIPPED
from astra_gym.rollout import replay
from astra_gym.sandbox import ArgumentValidator
from astra_gym.suite import open_suite
from astra_gym.types import ToolCall, ToolEnvSpec, Trajectory
from astra_train.data.errors import DataError
from astra_train.data.final_words import in_words
from astra_train.data.mistakes import MISTAKE_KINDS, make_mistake
from astra_train.data.oracle_data import StyleReport, defect, oracle_trajectories
from astra_train.data.styles import STYLES, StyleName, Unfit, play
from tests.specs import CHAIN, JOIN, STATEFUL

SPECS = [CHAIN, JOIN, STATEFUL]


def assistant_turns(trajectory: Trajectory) -> list[list[tuple[str, str]]]:
    """The calls of each assistant turn as (tool, arguments)."""
    turns = [m for m in trajectory.messages if m["role"] == "assistant"]
    return [[(c["function"]["name"], c["function"]["arguments"]) for c in m.get("tool_calls", ())] for m in turns]


def results(trajectory: Trajectory) -> list[object]:
    return [orjson.loads(m["content"]) for m in trajectory.messages if m["role"] == "tool"]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.id)
def test_every_style_solves_the_env_and_replays(spec: ToolEnvSpec, style: StyleName) -> None:
    if style == "parallel" and spec is not JOIN:
        with pytest.raises(Unfit, match="no two calls can be made at once"):
            play(spec, style)
        return
    trajectory = play(spec, style, seed=3)
    assert defect(trajectory) is None
    assert trajectory.metadata["style"] == style
    assert (trajectory.breakdown.f1 == 1.0) == (style != "mistake_recovery")
    with ToolEnv(
        spec, require_certificate=False, faults=trajectory.metadata.get("env_kwargs", {}).get("faults")
    ) as env:
        assert replay(trajectory, env).rewards == trajectory.rewards


def test_sequential_makes_one_call_a_turn_and_parallel_all_at_once() -> None:
    assert [len(turn) for turn in assistant_turns(play(JOIN, "sequential"))] == [1, 1, 1, 0]
    assert [len(turn) for turn in assistant_turns(play(JOIN, "parallel"))] == [2, 1, 0]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.id)
def test_after_a_fault_the_same_call_is_made_again(spec: ToolEnvSpec) -> None:
    trajectory = play(spec, "fault_recovery", seed=1)
    faults = trajectory.metadata["fault_calls"]
    assert faults
    assert {fault["kind"] for fault in faults} <= {"timeout", "server_error", "rate_limit"}
    calls = [call for turn in assistant_turns(trajectory) for call in turn]
    for fault in faults:
        assert calls.count(calls[fault["call"]]) == 2
    assert len(calls) == trajectory.needed + len(faults)
    assert trajectory.breakdown.f1 == 1.0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.id)
def test_a_mistake_is_explained_by_its_error_and_mended_in_the_next_turn(spec: ToolEnvSpec, seed: int) -> None:
    trajectory = play(spec, "mistake_recovery", seed=seed)
    (turn,) = trajectory.metadata["mistake_turns"]
    calls = assistant_turns(trajectory)
    assert calls[turn] != calls[turn + 1]
    error = results(trajectory)[turn]
    assert isinstance(error, dict)
    assert error["error"]["code"] in ("unknown_tool", "invalid_arguments")
    tool, _ = calls[turn + 1][0]
    assert tool in error["error"]["message"]
    assert trajectory.metadata["invalid_calls"] == 1
    assert trajectory.breakdown.f1 == pytest.approx(2 * trajectory.needed / (2 * trajectory.needed + 1))


@pytest.mark.parametrize("kind", MISTAKE_KINDS)
def test_every_kind_of_mistake_breaks_the_schema_in_the_way_it_says(kind: str) -> None:
    right = ToolCall("transfer", {"source": "Ada", "target": "Bo", "amount": 250})
    (tool,) = [tool for tool in STATEFUL.tools if tool.name == "transfer"]
    for seed in range(20):
        mistake = make_mistake(kind, right, STATEFUL.tools, Random(seed))  # type: ignore[arg-type]
        assert mistake is not None
        assert mistake.call != right
        if kind == "wrong_tool_name":
            assert mistake.call.name not in {tool.name for tool in STATEFUL.tools}
        else:
            error = ArgumentValidator(tool).check(mistake.call.arguments)
            assert error is not None
            assert mistake.is_explained_by(error.code, error.message), error.message


def test_a_call_without_arguments_cannot_miss_one() -> None:
    tool = CHAIN.tools[0].model_copy(update={"parameters": {"type": "object", "properties": {}}})
    call = ToolCall(tool.name, {})
    assert make_mistake("missing_argument", call, [tool], Random(0)) is None
    assert make_mistake("misspelt_parameter", call, [tool], Random(0)) is None
    assert make_mistake("wrong_tool_name", call, [tool], Random(0)) is not None


def test_a_worded_answer_is_a_sentence_that_the_check_reads() -> None:
    trajectory = play(CHAIN, "worded_answer", seed=2)
    last = trajectory.actions[-1]
    assert "Oslo" in last
    assert len(last.split()) > 2
    assert trajectory.final_answer_correct is True


@pytest.mark.parametrize(
    "answer",
    [
        Answer(kind="text", value="São Tomé"),
        Answer(kind="number", value=1204.5, unit="km"),
        Answer(kind="number", value=-3),
        Answer(kind="percentage", value=12.5),
        Answer(kind="bool", value=True),
        Answer(kind="bool", value=False),
        Answer(kind="date", value="2012-02-22"),
        Answer(kind="list", value=["Ba", 4, "Oslo"]),
        Answer(kind="set", value=["Norway", "Finland"]),
    ],
    ids=lambda answer: f"{answer.kind}-{answer.value}",
)
def test_answers_of_every_kind_can_be_put_in_words(answer: Answer) -> None:
    sentences = {in_words(answer, Random(seed)) for seed in range(12)}
    assert None not in sentences
    assert len(sentences) > 1
    assert all(answer.matches_text(sentence) for sentence in sentences if sentence)
    assert answer.render() not in sentences


def test_an_answer_that_no_sentence_gives_makes_the_style_unfit() -> None:
    answer = Answer(kind="list", value=[["a", "b"], ["c"]])
    assert in_words(answer, Random(0)) is None
    with pytest.raises(Unfit, match="no sentence"):
        play(CHAIN.model_copy(update={"answer": answer}), "worded_answer")


def test_a_style_that_needs_more_turns_than_the_env_allows_is_unfit() -> None:
    with pytest.raises(Unfit, match="takes 5 turns and the env allows 4"):
        play(CHAIN.model_copy(update={"max_turns": 4}), "mistake_recovery")
    assert defect(play(CHAIN.model_copy(update={"max_turns": 4}), "sequential")) is None


def test_styles_that_do_not_fit_are_counted_and_another_is_drawn() -> None:
    report = StyleReport()
    weights: dict[StyleName, float] = {"parallel": 1000.0, "sequential": 0.001}
    made = list(oracle_trajectories(SPECS, weights=weights, report=report))
    assert [t.metadata["style"] for t in made] == ["sequential", "parallel", "sequential"]
    assert report.unfit == {("parallel", "no two calls can be made at once"): 2}
    assert (report.specs, report.without, report.rejected) == (3, [], [])


def test_specs_that_no_style_fits_are_named() -> None:
    report = StyleReport()
    assert not list(oracle_trajectories([CHAIN], ["parallel"], report=report))
    assert report.without == [CHAIN.id]


def test_an_oracle_that_fails_is_rejected_and_not_written() -> None:
    """The gold answer of q3 is wrong: the calls are made, but the last one earns nothing."""
    wrong = CHAIN.sub_questions[2].model_copy(update={"answer": Answer(kind="text", value="Bergen")})
    spec = CHAIN.model_copy(update={"sub_questions": (*CHAIN.sub_questions[:2], wrong)})
    report = StyleReport()
    assert not list(oracle_trajectories([spec], ["sequential"], report=report))
    (rejected,) = report.rejected
    assert (rejected.id, rejected.stage, rejected.reason) == (spec.id, "sequential", "solved 2 of 3")


def test_a_mix_is_drawn_by_its_weights_and_alike_with_one_seed() -> None:
    weights: dict[StyleName, float] = {"sequential": 1.0, "worded_answer": 3.0}
    specs = list(open_suite(SHIPPED))[:60]
    made = list(oracle_trajectories(specs, weights=weights, seed=4))
    counts = Counter(t.metadata["style"] for t in made)
    assert 32 < counts["worded_answer"] < 58
    again = list(oracle_trajectories(specs, weights=weights, seed=4))
    assert [t.actions for t in made] == [t.actions for t in again]
    other = list(oracle_trajectories(specs, weights=weights, seed=5))
    assert [t.actions for t in made] != [t.actions for t in other]


def test_several_trajectories_of_one_spec_are_in_different_styles() -> None:
    made = list(oracle_trajectories([JOIN], per_spec=5))
    assert Counter(t.metadata["style"] for t in made) == Counter(STYLES)


@pytest.mark.parametrize("style", STYLES)
def test_the_styles_hold_on_shipped_envs(style: StyleName) -> None:
    report = StyleReport()
    made = list(oracle_trajectories(list(open_suite(SHIPPED))[::4], [style], report=report))
    assert report.rejected == []
    assert len(made) >= 6
    assert len(made) + len(report.without) == report.specs
    assert all(defect(trajectory) is None for trajectory in made)


@pytest.mark.parametrize(
    ("styles", "weights"), [(["fast"], None), (None, {"sequential": -1.0}), (["sequential"], {"sequential": 0.0})]
)
def test_styles_that_make_no_sense_are_refused(styles: list[StyleName], weights: dict[StyleName, float] | None) -> None:
    with pytest.raises(DataError, match="styles: expected"):
        list(oracle_trajectories([CHAIN], styles, weights=weights))
