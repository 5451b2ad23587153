"""All rules of a draft in their order: the cheap certainties, before a judge is asked anything."""

from __future__ import annotations

from collections.abc import Callable

from astra_gym.env_synthesis.llm.drafted import Drafted, broken
from astra_gym.env_synthesis.llm.rules.graph import bounds, dangling, duplicates
from astra_gym.env_synthesis.llm.rules.grounding import ungrounded
from astra_gym.env_synthesis.llm.rules.leakage import leaked, pasted
from astra_gym.env_synthesis.llm.rules.structure import no_value, verdict
from astra_gym.env_synthesis.llm.rules.wording import unreferred, vague
from astra_gym.types import Rejected, Verdict


def check_rules(drafted: Drafted) -> list[Verdict]:
    """One verdict a rule, `rules.<rule>`; evidence of a failure is a list of sentences. No rule needs a model."""
    return [verdict(name, rule(drafted)) for name, rule in RULES.items()]


def broken_rule(drafted: Drafted) -> Rejected | None:
    """The first rule that a draft breaks, as the item's `Rejected` of stage `rules`."""
    failed = next((found for found in check_rules(drafted) if found.status != "pass"), None)
    return None if failed is None else broken(drafted.item.id, failed)


def _values(drafted: Drafted) -> list[str]:
    """What `structure.py` asks of a reply's answers, asked of given ones, too."""
    answers = [(sub.id, sub.answer.value) for sub in drafted.decomposition.sub_questions]
    answers.append(("the final answer", drafted.decomposition.answer.value))
    return [f"{name}: {why}" for name, value in answers if (why := no_value(value))]


Rule = Callable[[Drafted], list[str]]
RULES: dict[str, Rule] = {
    "values": _values,
    "hops": bounds,
    "dangling": dangling,
    "duplicates": duplicates,
    "vague": vague,
    "pasted": pasted,
    "leaked": leaked,
    "unreferred": unreferred,
    "ungrounded": ungrounded,
}
"""By name, what each rule finds against a draft: a sentence a problem."""
