"""What counts as solved, what each call earns, and how dependencies are judged."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_gym.answers import Answer
from astra_gym.errors import SpecError
from astra_gym.gold import resolve_pointer
from astra_gym.records import JSON
from astra_gym.reward import trajectory_reward
from astra_gym.types import (
    Decomposition,
    GoldCall,
    RewardBreakdown,
    SubQuestion,
    ToolCall,
    ToolError,
    ToolResult,
)
from astra_gym.verifier import EpisodeVerifier

ANY = settings(deadline=None, database=None)


def sub(
    id: str,
    answer: JSON,
    tool: str = "look_up",
    arguments: dict[str, JSON] | None = None,
    after: tuple[str, ...] = (),
    path: str = "/value",
) -> SubQuestion:
    call = GoldCall(tool=tool, arguments={"key": id} if arguments is None else arguments)
    typed = answer if isinstance(answer, Answer) else Answer.parse(answer)
    return SubQuestion(id=id, question="?", answer=typed, depends_on=after, call=call, result_path=path)


def verifier_of(*subs: SubQuestion) -> EpisodeVerifier:
    return EpisodeVerifier(Decomposition(id="d", question="?", answer=subs[-1].answer, sub_questions=subs))


def call(tool: str = "look_up", **arguments: JSON) -> ToolCall:
    return ToolCall(tool, arguments)


def gives(value: JSON) -> ToolResult:
    return ToolResult({"value": value})


def fails(code: str) -> ToolResult:
    return ToolResult(error=ToolError(code, "it failed"))


FOUR = [sub("a", "Oslo"), sub("b", 10), sub("c", 20), sub("d", 30)]


def test_gold_calls_solve_everything():
    verifier = verifier_of(*FOUR)
    values = ["Oslo", 10, 20, 30]
    credited = [
        verifier.observe(call(key=s.id), gives(v), turn) for turn, (s, v) in enumerate(zip(FOUR, values, strict=True))
    ]
    assert credited == ["a", "b", "c", "d"]
    assert verifier.breakdown == RewardBreakdown(needed=4, solved=4, calls=4)
    assert verifier.all_solved


def test_one_call_that_answers_several_is_credited_with_one():
    same = [sub(name, "Oslo") for name in "abcd"]
    verifier = verifier_of(*same)
    assert verifier.observe(call(key="a"), gives("Oslo"), 0) == "a"
    assert verifier.breakdown == RewardBreakdown(needed=4, solved=1, calls=1)
    assert trajectory_reward(verifier.breakdown) == pytest.approx(0.4)


def test_omission_may_score_above_completion_with_wasted_calls():
    short, long = verifier_of(*FOUR), verifier_of(*FOUR)
    for verifier, wasted in ((short, 0), (long, 2)):
        for _ in range(wasted):
            verifier.observe(call(key="?"), gives("?"), 0)
        for name, value in [("a", "Oslo"), ("b", 10), ("c", 20)]:
            verifier.observe(call(key=name), gives(value), 1)
    long.observe(call(key="d"), gives(30), 2)
    assert trajectory_reward(short.breakdown) == pytest.approx(6 / 7)
    assert trajectory_reward(long.breakdown) == pytest.approx(0.8)


def test_nothing_solved_is_zero_with_and_without_calls():
    verifier = verifier_of(*FOUR)
    assert verifier.breakdown.f1 == 0.0
    verifier.observe(call(key="a"), gives("Rome"), 0)
    assert verifier.breakdown == RewardBreakdown(needed=4, solved=0, calls=1)
    assert verifier.breakdown.f1 == 0.0


@pytest.mark.parametrize(
    ("made", "result"),
    [
        (call(key="a"), gives("Oslo is the capital")),
        (call(key="a"), ToolResult({"other": "Oslo"})),
        (call(key="a"), ToolResult({"value": {"value": "Oslo"}})),
        (call(key="a"), ToolResult("Oslo")),
        (call(key="a"), ToolResult(["Oslo"])),
        (call(key="a"), ToolResult(None)),
        (call("search", key="a"), gives("Oslo")),
        (call(key="a"), ToolResult({"value": "Oslo"}, ToolError("tool_error", "Oslo"))),
        (None, fails("invalid_json")),
    ],
    ids=["within", "other path", "deeper", "whole", "list", "null", "other tool", "error result", "malformed"],
)
def test_a_call_that_does_not_answer_earns_nothing_and_counts(made, result):
    verifier = verifier_of(*FOUR)
    assert verifier.observe(made, result, 0) is None
    assert (verifier.solved, verifier.calls) == ((), 1)


def test_int_and_float_are_one_number_and_bool_is_none():
    assert verifier_of(sub("b", 10)).observe(call(key="x"), gives(10.0), 0) == "b"
    assert verifier_of(sub("b", 1)).observe(call(key="b"), gives(True), 0) is None


@pytest.mark.parametrize(
    ("path", "output"),
    [
        ("", "Oslo"),
        ("/a/b", {"a": {"b": "Oslo"}}),
        ("/0", ["Oslo"]),
        ("/rows/1/name", {"rows": [{}, {"name": "Oslo"}]}),
        ("/a~1b/~0", {"a/b": {"~": "Oslo"}}),
        ("/0", {"0": "Oslo"}),
        ("/", {"": "Oslo"}),
    ],
)
def test_the_answer_counts_at_its_path_only(path, output):
    assert verifier_of(sub("a", "Oslo", path=path)).observe(call(key="a"), ToolResult(output), 0) == "a"
    assert verifier_of(sub("a", "Oslo", path=path)).observe(call(key="a"), ToolResult({"x": output}), 0) is None


POINTERS = st.lists(st.sampled_from(["a", "0", "1", "~0", "~1", "", "-", "01"]), max_size=3).map(
    lambda steps: "".join(f"/{step}" for step in steps)
)
OUTPUTS = st.recursive(
    st.sampled_from([1, 2, "x", None, True]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "0", "1", "~", "/", ""]), inner),
    max_leaves=8,
)


@ANY
@given(POINTERS, OUTPUTS)
def test_the_path_is_followed_as_the_gold_calls_follow_it(path, output):
    try:
        stands_there = resolve_pointer(output, path) == 1 and resolve_pointer(output, path) is not True
    except LookupError:
        stands_there = False
    verifier = verifier_of(sub("a", 1, path=path))
    assert (verifier.observe(call(key="a"), ToolResult(output), 0) == "a") == stands_there


def test_a_sub_question_is_credited_once():
    verifier = verifier_of(*FOUR)
    results = [verifier.observe(call(key=key), gives("Oslo"), 0) for key in ("a", "a", "other")]
    assert results == ["a", None, None]
    assert verifier.breakdown == RewardBreakdown(needed=4, solved=1, calls=3)


def test_two_sub_questions_with_one_answer_need_two_different_calls():
    verifier = verifier_of(sub("a", "Norway"), sub("b", "Norway"))
    assert verifier.observe(call(key="a"), gives("Norway"), 0) == "a"
    assert verifier.observe(call(key="a"), gives("Norway"), 1) is None
    assert verifier.observe(call(key="b"), gives("Norway"), 2) == "b"


def test_a_repeated_call_counts_when_the_gold_calls_are_the_same():
    steps = [sub(name, "moved", tool="step", arguments={}) for name in "ab"]
    verifier = verifier_of(*steps)
    assert [verifier.observe(call("step"), gives("moved"), turn) for turn in range(3)] == ["a", "b", None]


def test_among_candidates_the_one_with_these_gold_arguments_is_credited():
    verifier = verifier_of(sub("a", "Norway"), sub("b", "Norway"))
    assert verifier.observe(call(key="b"), gives("Norway"), 0) == "b"


def test_among_candidates_gold_arguments_are_resolved_with_recorded_outputs():
    first, other = sub("x", "Oslo"), sub("a", "Norway", arguments={"key": "Bergen"})
    after = sub("b", "Norway", arguments={"key": {"$ref": "x"}}, after=("x",))
    verifier = verifier_of(first, other, after)
    verifier.observe(call(key="x"), gives("OSLO"), 0)
    assert verifier.observe(call(key="OSLO"), gives("Norway"), 1) == "b"


def test_among_candidates_one_whose_dependencies_are_solved_comes_before_the_first():
    first = sub("x", 5, tool="count")
    waiting = sub("a", "Norway", arguments={"key": {"$ref": "x"}}, after=("x",))
    ready = sub("b", "Norway", arguments={"key": "b"})
    assert verifier_of(first, waiting, ready).observe(call(key="?"), gives("Norway"), 0) == "b"
    assert verifier_of(first, ready, waiting).observe(call(key="?"), gives("Norway"), 0) == "b"
    both = verifier_of(first, waiting, ready)
    both.observe(call("count", key="x"), gives(5), 0)
    assert both.observe(call(key="?"), gives("Norway"), 1) == "a"


def test_a_fault_is_excused_when_the_call_is_made_again():
    verifier = verifier_of(*FOUR)
    verifier.observe(call(key="a"), fails("injected_fault"), 0)
    assert verifier.calls == 1
    verifier.observe(call(key="b"), gives(10), 1)
    assert verifier.calls == 2
    verifier.observe(call(key="a"), gives("Oslo"), 2)
    assert verifier.breakdown == RewardBreakdown(needed=4, solved=2, calls=2)


def test_faults_in_a_row_are_each_excused_by_the_next_try():
    verifier = verifier_of(*FOUR)
    for turn in range(3):
        verifier.observe(call(key="a"), fails("injected_fault"), turn)
        assert verifier.calls == 1
    assert verifier.observe(call(key="a"), gives("Oslo"), 3) == "a"
    assert verifier.calls == 1
    verifier.observe(call(key="a"), gives("Oslo"), 4)
    assert verifier.calls == 2


@pytest.mark.parametrize("retry", [call(key="b"), call("search", key="a"), None])
def test_a_fault_is_not_excused_by_another_call(retry):
    verifier = verifier_of(*FOUR)
    verifier.observe(call(key="a"), fails("injected_fault"), 0)
    verifier.observe(retry, gives(0) if retry else fails("invalid_json"), 1)
    assert verifier.calls == 2


def test_a_fault_is_excused_even_when_the_retry_fails_by_itself():
    verifier = verifier_of(*FOUR)
    verifier.observe(call(key="a"), fails("injected_fault"), 0)
    verifier.observe(call(key="a"), fails("tool_timeout"), 1)
    assert verifier.calls == 1


@pytest.mark.parametrize("code", ["tool_error", "limit_exceeded", "tool_timeout", "tool_crashed", "internal_error"])
def test_other_failures_are_not_excused(code):
    verifier = verifier_of(*FOUR)
    verifier.observe(call(key="a"), fails(code), 0)
    verifier.observe(call(key="a"), gives("Oslo"), 1)
    assert verifier.breakdown == RewardBreakdown(needed=4, solved=1, calls=2)
    assert verifier.invalid_calls == 0


def test_invalid_calls_are_those_that_no_tool_ran_for():
    verifier = verifier_of(*FOUR)
    for made, code in [
        (None, "invalid_json"),
        (call("none"), "unknown_tool"),
        (call(key=5), "invalid_arguments"),
        (call(key="a"), "tool_error"),
        (call(key="b"), "injected_fault"),
    ]:
        verifier.observe(made, fails(code), 0)
    assert (verifier.invalid_calls, verifier.calls) == (3, 5)


U = sub("u", "Oslo", tool="capital", arguments={"country": "Norway"})
V = sub("v", 700_000, tool="people", arguments={"city": {"$ref": "u"}}, after=("u",))
ASK_U = (call("capital", country="Norway"), gives("Oslo"))
ASK_V = (call("people", city="Oslo"), gives(700_000))


def edge(*turns: list[tuple[ToolCall, ToolResult]], subs: tuple[SubQuestion, ...] = (U, V)) -> str:
    verifier = verifier_of(*subs)
    for number, turn in enumerate(turns):
        for made, result in turn:
            verifier.observe(made, result, number)
    assert list(verifier.edges) == ["u->v"]
    return verifier.edges["u->v"]


def test_an_edge_is_open_until_its_downstream_is_solved():
    assert edge() == "open"
    assert edge([ASK_U]) == "open"
    assert edge([ASK_U], [(call("people", city="Oslo"), gives(5))]) == "open"


def test_an_edge_is_satisfied_when_the_earlier_result_is_passed_on():
    assert edge([ASK_U], [ASK_V]) == "satisfied"
    assert edge([ASK_U], [(call("people", city=" oslo "), gives(700_000))]) == "satisfied"
    assert edge([ASK_U], [(call("people", query={"city": ["Oslo"]}), gives(700_000))]) == "satisfied"


def test_an_answer_used_before_it_was_seen_is_guessed():
    assert edge([ASK_V]) == "guessed"
    assert edge([ASK_V], [ASK_U]) == "guessed"
    assert edge([ASK_U, ASK_V]) == "guessed"
    assert edge([ASK_V, ASK_U]) == "guessed"


def test_an_answer_that_is_not_passed_on_violates_the_edge():
    elsewhere = (call("people", city="Tromsø"), gives(700_000))
    assert edge([ASK_U], [elsewhere]) == "violated"
    assert edge([elsewhere]) == "violated"
    assert edge([elsewhere], [ASK_U]) == "violated"


def test_what_an_edge_was_stays_so():
    assert edge([ASK_V], [ASK_U], [ASK_V]) == "guessed"


def test_a_declared_dependency_without_reference_asks_for_order_only():
    later = sub("v", 700_000, tool="people", arguments={"city": "Bergen"}, after=("u",))
    ask = (call("people", city="Bergen"), gives(700_000))
    assert edge([ASK_U], [ask], subs=(U, later)) == "satisfied"
    assert edge([ASK_U, ask], subs=(U, later)) == "violated"
    assert edge([ask], subs=(U, later)) == "violated"


def test_a_reference_to_another_part_of_the_output_asks_for_that_part():
    by_id = sub("v", 700_000, tool="people", arguments={"id": {"$ref": "u", "path": "/id"}}, after=("u",))
    seen = (call("capital", country="Norway"), ToolResult({"value": "Oslo", "id": 17}))
    assert edge([seen], [(call("people", id=17), gives(700_000))], subs=(U, by_id)) == "satisfied"
    assert edge([seen], [(call("people", id=17.0), gives(700_000))], subs=(U, by_id)) == "satisfied"
    assert edge([seen], [(call("people", id=18), gives(700_000))], subs=(U, by_id)) == "violated"
    assert edge([seen], [(call("people", name="Oslo"), gives(700_000))], subs=(U, by_id)) == "violated"
    assert edge([ASK_U], [(call("people", id=17), gives(700_000))], subs=(U, by_id)) == "violated"
    assert edge([(call("people", name="Oslo"), gives(700_000))], subs=(U, by_id)) == "guessed"


def test_edges_stand_only_between_sub_questions_that_need_tools():
    thought = SubQuestion(id="t", question="?", answer=Answer.parse(5))
    last = sub("v", 700_000, arguments={"key": {"$ref": "u"}}, after=("u", "t"))
    end = SubQuestion(id="end", question="?", answer=Answer.parse(5), depends_on=("v",))
    verifier = verifier_of(U, thought, last, end)
    assert verifier.edges == {"u->v": "open"}
    assert verifier.needed == 2


def test_nothing_to_verify_is_an_error():
    thought = SubQuestion(id="t", question="?", answer=Answer.parse(5))
    with pytest.raises(SpecError, match="nothing to verify"):
        verifier_of(thought)


def test_a_result_path_that_is_no_pointer_is_an_error():
    with pytest.raises(ValueError, match="must start with '/'"):
        verifier_of(sub("a", "Oslo", path="value"))


def test_reset_forgets_the_episode():
    verifier = verifier_of(U, V)
    for made, result in (
        ASK_U,
        ASK_V,
        (call("capital", country="?"), fails("injected_fault")),
        (None, fails("invalid_json")),
    ):
        verifier.observe(made, result, 0)
    verifier.reset()
    assert (verifier.solved, verifier.calls, verifier.invalid_calls) == ((), 0, 0)
    assert verifier.edges == {"u->v": "open"}
    verifier.observe(call("capital", country="?"), gives("?"), 0)
    assert verifier.calls == 1


@pytest.mark.parametrize("duplicate", [EpisodeVerifier.copy, copy.deepcopy])
def test_a_copy_goes_on_by_itself(duplicate):
    verifier = verifier_of(U, V)
    verifier.observe(call("capital", country="Norway"), fails("injected_fault"), 0)
    twin = duplicate(verifier)
    twin.observe(*ASK_U, 1)
    twin.observe(*ASK_V, 2)
    assert (verifier.solved, verifier.calls, verifier.edges) == ((), 1, {"u->v": "open"})
    assert (twin.solved, twin.calls, twin.edges) == (("u", "v"), 2, {"u->v": "satisfied"})
    verifier.observe(*ASK_U, 1)
    assert (verifier.solved, verifier.calls) == (("u",), 1)


def test_nested_arguments_and_outputs_do_not_end_in_a_recursion_error():
    deep: JSON = "x"
    for _ in range(50_000):
        deep = [deep]
    by_part = sub("v", "Rome", arguments={"key": {"$ref": "u", "path": "/deep"}}, after=("u",))
    verifier = verifier_of(sub("u", "Oslo"), by_part)
    assert verifier.observe(call(key=deep), ToolResult({"value": "Oslo", "deep": deep}), 0) == "u"
    again = ToolCall("look_up", {"key": copy_of(deep)})
    assert verifier.observe(again, gives("Rome"), 1) == "v"
    assert verifier.edges["u->v"] in {"satisfied", "violated"}
    unwind(deep)


def copy_of(deep: JSON) -> JSON:
    """The same lists anew, without recursion."""
    depth = 0
    while isinstance(deep, list):
        deep, depth = deep[0], depth + 1
    for _ in range(depth):
        deep = [deep]
    return deep


def unwind(deep: JSON) -> None:
    """Take nested lists apart from the outside, so that freeing them is shallow."""
    while isinstance(deep, list):
        deep = deep.pop()


STEPS = st.lists(
    st.tuples(
        st.sampled_from([None, call(key="a"), call(key="b"), call("search", key="a"), call(key="c")]),
        st.sampled_from(
            [gives("Oslo"), gives(10), gives(20), gives(None), fails("injected_fault"), fails("tool_error")]
        ),
        st.integers(0, 5),
    ),
    max_size=30,
)


@ANY
@given(STEPS)
def test_whatever_is_called_the_counts_stay_consistent(steps):
    verifier = verifier_of(*FOUR)
    for number, (made, result, turn) in enumerate(steps, start=1):
        before = verifier.solved
        credited = verifier.observe(made, result, turn)
        assert verifier.solved == (before if credited is None else (*before, credited))
        assert len(set(verifier.solved)) == len(verifier.solved)
        assert verifier.breakdown.solved <= verifier.calls <= number
        assert credited is None or (result.ok and made is not None and made.name == "look_up")
        assert 0.0 <= trajectory_reward(verifier.breakdown) <= 1.0


@ANY
@given(STEPS)
def test_the_same_calls_give_the_same_state_after_a_reset_and_in_a_copy(steps):
    def state(verifier: EpisodeVerifier) -> tuple[object, ...]:
        return verifier.solved, verifier.breakdown, verifier.edges, verifier.invalid_calls

    one, reused = verifier_of(*FOUR), verifier_of(*FOUR)
    for step in steps:
        reused.observe(*step)
    reused.reset()
    half = len(steps) // 2
    for step in steps[:half]:
        one.observe(*step)
        reused.observe(*step)
    twin = one.copy()
    for step in steps[half:]:
        for verifier in (one, reused, twin):
            verifier.observe(*step)
    assert state(one) == state(reused) == state(twin)


def test_yes_or_no_is_credited_only_to_a_call_that_carries_the_upstream_answers():
    compare = sub("c", True, "is_larger", {"a": {"$ref": "a"}, "b": {"$ref": "b"}}, after=("a", "b"))
    verifier = verifier_of(sub("a", 1987), sub("b", 1951), compare)
    guess = ToolCall("is_larger", {"a": 2, "b": 1})
    assert verifier.observe(guess, ToolResult({"value": True}), 0) is None
    known = ToolCall("is_larger", {"a": 1987, "b": 1951})
    assert verifier.observe(known, ToolResult({"value": True}), 1) == "c"
    assert verifier.edges == {"a->c": "guessed", "b->c": "guessed"}
