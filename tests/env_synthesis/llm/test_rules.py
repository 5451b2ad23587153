"""Rules: a table of what each finds, and of what it must let pass."""

from __future__ import annotations

import pytest

from astra_gym.env_synthesis.llm.draft import from_reply
from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.items import LlmItem
from astra_gym.env_synthesis.llm.replies import Draft
from astra_gym.env_synthesis.llm.rules import RULES, broken_rule, check_rules, made_up
from astra_gym.env_synthesis.llm.rules.structure import no_value
from astra_gym.types import Rejected
from tests.env_synthesis.llm.museum import ITEM, changed, drafted


def sub(sub_id: str, question: str, answer: object, *depends_on: str) -> dict[str, object]:
    return {"id": sub_id, "question": question, "answer": answer, "depends_on": list(depends_on)}


def rule_of(draft: Draft, item: LlmItem = ITEM) -> tuple[str | None, str]:
    """The first rule that a draft breaks, and the reason."""
    found = from_reply(item, draft)
    rejected = found if isinstance(found, Rejected) else broken_rule(found)
    if rejected is None:
        return None, ""
    assert rejected.stage == "rules"
    return rejected.evidence["rule"].removeprefix("rules."), rejected.reason


def test_a_sound_draft_passes_every_rule():
    verdicts = check_rules(drafted())
    assert [verdict.check for verdict in verdicts] == [f"rules.{name}" for name in RULES]
    assert {verdict.status for verdict in verdicts} == {"pass"}


@pytest.mark.parametrize(
    ("draft", "rule", "said"),
    [
        (changed("q1", id="1"), "ids", "the id '1' is none of q1, q2"),
        (changed("q4", id="q3"), "ids", "'q3' stands more than once"),
        (changed("q2", depends_on=["q9"]), "references", "q2 depends on 'q9', which is no id"),
        (changed("q2", depends_on=["q1", "q1"]), "references", "names a dependency twice"),
        (changed("q2", depends_on=["q2"]), "references", "q2 depends on itself"),
        (changed("q1", depends_on=["q2"]), "cycles", "form a cycle"),
        (changed("q1", answer="unknown"), "values", "q1: 'unknown' is no value"),
        (changed("q3", question=" "), "values", "q3: a sub-question needs words"),
        (changed(answer=None), "values", "the final answer: "),
        (changed(answer_from="q4 + q8"), "answer_from", "names ['q8']"),
        (changed(answer_from="28"), "answer_from", "names no sub-question"),
        (changed(answer_from="__import__('os')"), "answer_from", "is none of names of sub-questions"),
        (changed(added=[sub(f"q{i}", f"What is shown in room {i}?", i) for i in range(5, 40)]), "size", "30 at most"),
        (changed(answer_from="q4"), "dangling", "q3 leads nowhere"),
        (
            changed("q3", question="What does an adult ticket cost at that museum?"),
            "duplicates",
            "q3 asks the same as q2",
        ),
        (
            changed("q3", question="At that museum an adult ticket does cost what?", answer="14 EUR"),
            "duplicates",
            "q3 asks the same as q2",
        ),
        (changed("q3", question="Closed when?"), "vague", "q3 is too short"),
        (changed("q1", question="Which museum shows [name of the exhibit]?"), "vague", "'[name of the exhibit]'"),
        (changed("q1", question="Which museum in some city shows it?"), "vague", "'some city'"),
        (changed("q1", question="Which museum of Company X shows the Brass Whale?"), "vague", "'Company X'"),
        (
            changed("q4", question="What do two tickets at the price of q2 and q3 cost together?"),
            "unreferred",
            "q4 names ['q3'], but depends on ['q2']",
        ),
        (
            changed("q4", question="What do two tickets cost at the price of q2?", depends_on=["q2", "q3"]),
            "unreferred",
            "q4 names ['q2'] and not ['q3']",
        ),
        (changed("q3", question="On which weekday is Linden Baths closed?"), "unreferred", "refers to nothing"),
        (
            changed("q3", question="On which weekday is Tidehall closed?"),
            "pasted",
            "q3 names 'Tidehall', the answer of q1",
        ),
        (changed("q4", question="What do two tickets at 14 euros cost together?"), "pasted", "q4 names 14"),
        (changed("q1", question="Does Tidehall show the Brass Whale?"), "leaked", "stands in its own question"),
        (
            changed(
                question="What do two adult tickets to Tidehall cost, and when is it closed, to see the Brass Whale?"
            ),
            "leaked",
            "the answer of q1 ('Tidehall') stands in the question",
        ),
        (
            changed(
                "q1", question="Which museum, closed on a Tuesday or not, shows the Brass Whale?", answer="Tidehall"
            ),
            None,
            "",
        ),
    ],
)
def test_a_broken_draft_is_named_by_its_rule(draft, rule, said):
    found, reason = rule_of(draft)
    assert found == rule
    assert said in reason


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"min_hops": 4, "max_hops": 4}, "4 hops were asked for; the longest chain of dependencies has 3"),
        ({"max_hops": 2}, "1 to 2 hops were asked for"),
        ({"scenario": "Multi-Hop"}, "Multi-Hop was asked for; the graph is Parallel Multi-Hop"),
    ],
)
def test_depth_and_shape_are_those_asked_for(fields, said):
    rule, reason = rule_of(changed(), LlmItem.make("domain", domain="museums", **fields))
    assert rule == "hops"
    assert said in reason


@pytest.mark.parametrize(
    "answer",
    [
        *("unknown", "N/A", "It depends on the season", "about 40", "None", "various", "", "  ", [], {}, [1, None]),
        *("大约3天", "不确定", "视具体情况而定", "因为下雨所以是3", float("inf"), ["fine", "unknown"], "two\nlines"),
        *("28, because two tickets at 14 are 28", "14 + 14 = 28", "The answer is 28", "word " * 30),
    ],
)
def test_what_is_no_value_is_no_answer(answer):
    assert no_value(answer) is not None


@pytest.mark.parametrize(
    "answer",
    [
        *("Tidehall", "28 EUR", 0, -3.5, False, True, "2031-05-02", "18%", ["a", "b"], [1, 2.5], "7:45", "云溪镇"),
        *("Some Like It Hot", "3号站台", "The Unknown Soldier", "About a Boy", "A-12-B", "x = y Records", "No. 7"),
    ],
)
def test_values_are_answers(answer):
    assert no_value(answer) is None


CORPUS = (
    "The museum Tidehall shows the Brass Whale. Adults pay 14 EUR. It is closed on Tuesdays, that is every Tuesday. "
    "It opened on 3 May 1987. Rooms: Salt, Reef and Deep. 共有1,250件展品。"
)
GROUNDED = LlmItem.make("corpus", domain="museums", knowledge=CORPUS, grounded=True, max_hops=4)


@pytest.mark.parametrize(
    ("draft", "found"),
    [
        (changed(), True),
        (changed("q1", answer="Saltgate"), False),
        (changed("q3", answer="Monday"), False),
        (changed("q1", question="Since when is the Brass Whale shown there?", answer="1987-05-03"), True),
        (changed("q1", question="Since when is the Brass Whale shown there?", answer="1987-05-04"), False),
        (changed("q1", question="How many euros does an adult pay at the Brass Whale?", answer="14 EUR"), True),
        (changed("q1", question="How many euros does a child pay at the Brass Whale?", answer="6.5 EUR"), False),
        (changed("q1", question="Which rooms are around the Brass Whale?", answer=["Salt", "Reef"]), True),
        (changed("q1", question="Which rooms are around the Brass Whale?", answer=["Salt", "Mud"]), False),
        (changed("q1", question="How many rooms are around the Brass Whale?", answer=3), True),
        (changed("q1", question="How many exhibits are around the Brass Whale?", answer=1250), True),
        (changed("q1", question="How many exhibits are around the Brass Whale?", answer=1260), False),
        (changed("q4", answer="28 EUR"), True),
    ],
)
def test_looked_up_answers_stand_in_the_given_text(draft, found):
    grounded = {verdict.check: verdict.status for verdict in check_rules(drafted(draft, GROUNDED))}
    assert grounded["rules.ungrounded"] == ("pass" if found else "fail")


@pytest.mark.parametrize(
    ("sub_id", "answer", "tables", "found"),
    [
        ("q2", "14 EUR", {"PRICES": {"Tidehall": 14}}, None),
        ("q2", "15 EUR", {"NAMES": ["Tidehall"], "PRICES": {"Tidehall": 15}}, "PRICES"),
        ("q2", "15 EUR", {"PRICES": [{"museum": "Tidehall", "price": "15 EUR"}]}, "PRICES"),
        ("q2", "15 EUR", {"PRICES": {"Tidehall": 14.5}}, None),
        ("q4", "28 EUR", {}, None),
        ("q4", "28 EUR", {"PRICES": {"Tidehall": 14}}, None),
        ("q3", "1991-05-03", {"DAYS": {"1991-05-03": "opening"}}, "DAYS"),
        ("q3", [7, 9], {"HOURS": [[7, 9], [8, 9]]}, "HOURS"),
        ("q3", True, {"OPEN": [True]}, None),
    ],
)
def test_a_tool_reads_no_answer_that_the_given_text_does_not_hold(sub_id, answer, tables, found):
    draft = drafted(changed(sub_id, answer=answer), GROUNDED)
    assert made_up(draft, draft.decomposition.by_id[sub_id], tables) == found
    loose = drafted(changed(sub_id, answer=answer))
    assert made_up(loose, loose.decomposition.by_id[sub_id], tables) is None


def test_where_answers_may_be_invented_none_is_looked_for():
    loose = GROUNDED.model_copy(update={"grounded": False})
    verdicts = check_rules(drafted(changed("q1", answer="Saltgate"), loose))
    assert {verdict.status for verdict in verdicts} == {"pass"}


CHOICE = Draft.model_validate(
    {
        "question": "Which costs less for an adult, Tidehall or Saltgate, and what does its audio guide cost?",
        "answer": "3 EUR",
        "answer_from": "q4",
        "sub_questions": [
            sub("q1", "What does an adult ticket to Tidehall cost?", "14 EUR"),
            sub("q2", "What does an adult ticket to Saltgate cost?", "16 EUR"),
            sub("q3", "At those two prices, which of the two museums costs less?", "Tidehall", "q1", "q2"),
            sub("q4", "What does the audio guide of that museum cost?", "3 EUR", "q3"),
        ],
    }
)


def test_a_choice_that_the_question_offers_is_no_leak():
    assert rule_of(CHOICE) == (None, "")
    assert drafted(CHOICE).decomposition.by_id["q3"].answer.choices == ("Tidehall", "Saltgate")


def test_an_answer_chosen_upstream_may_not_be_written_into_the_next_question():
    pasted = CHOICE.model_dump()
    pasted["sub_questions"][3]["question"] = "What does the audio guide of Tidehall cost, that museum?"
    rule, reason = rule_of(Draft.model_validate(pasted))
    assert rule == "pasted"
    assert "'Tidehall', the answer of q3" in reason


@pytest.mark.parametrize(
    ("second", "rule"),
    [
        (sub("q2", "该博物馆的成人票价是多少元？", "80 CNY", "q1"), None),
        (sub("q2", "潮汐馆的成人票价是多少元？", "80 CNY", "q1"), "pasted"),
        (sub("q2", "某个馆的成人票价是多少元？", "80 CNY", "q1"), "vague"),
        (sub("q2", "票价？", "80 CNY", "q1"), "vague"),
        (sub("q2", "成人票价是多少元？", "80 CNY", "q1"), "unreferred"),
        (sub("q2", "该博物馆的成人票价是多少元？", "大约80元", "q1"), "values"),
    ],
)
def test_chinese_drafts_are_held_to_the_same_rules(second, rule):
    draft = Draft.model_validate(
        {
            "question": "我想看铜鲸，那家馆的成人票价是多少元？",
            "answer": second["answer"],
            "answer_from": "q2",
            "sub_questions": [sub("q1", "铜鲸在哪里展出？", "潮汐馆"), second],
        }
    )
    item = LlmItem.make("domain", domain="博物馆", language="zh")
    assert rule_of(draft, item)[0] == rule


def test_a_short_name_is_a_leak_only_as_it_is_written():
    first = sub("q1", "In which month does the Brass Whale go on tour?", "May")
    second = sub("q2", "What may a visitor pay at most in that month?", "14 EUR", "q1")
    draft = Draft.model_validate(
        {"question": "What is the top price in the month of the Brass Whale's tour?", "answer": "14 EUR"}
        | {"answer_from": "q2", "sub_questions": [first, second]}
    )
    assert rule_of(draft) == (None, "")
    second["question"] = "What does a visitor pay at most in May, that month?"
    draft = draft.model_copy(
        update={
            "sub_questions": Draft.model_validate(draft.model_dump() | {"sub_questions": [first, second]}).sub_questions
        }
    )
    assert rule_of(draft)[0] == "pasted"


def test_given_answers_are_held_to_the_rule_of_values_too():
    decomposition = drafted().decomposition
    vague = decomposition.sub_questions[0].model_copy(
        update={"answer": decomposition.sub_questions[0].answer.model_copy(update={"value": "unknown"})}
    )
    given = decomposition.model_copy(update={"sub_questions": (vague, *decomposition.sub_questions[1:])})
    rejected = broken_rule(Drafted(ITEM, given, ""))
    assert rejected is not None
    assert rejected.evidence["rule"] == "rules.values"
