"""A drafted decomposition with the item it was drafted for: what every later stage reads."""

from __future__ import annotations

from dataclasses import dataclass

from astra_gym.env_synthesis.llm.items import LlmItem
from astra_gym.records import JSON, canonical_json
from astra_gym.types import Decomposition, Rejected, Verdict

_SHOWN_CHARS = 500


@dataclass(frozen=True)
class Drafted:
    """An item with its decomposition; no sub-question has a tool yet (a given one may have its gold calls)."""

    item: LlmItem
    decomposition: Decomposition
    answer_from: str
    """The final answer as an expression over ids; "" when none gives it."""


def broken(item_id: str, verdict: Verdict, reply: JSON = None) -> Rejected:
    """The `Rejected` of stage `rules` for a rule that does not hold; the reason names the rule."""
    problems = verdict.evidence if isinstance(verdict.evidence, list) else [verdict.evidence]
    said = "; ".join(text if isinstance(text, str) else canonical_json(text).decode() for text in problems)
    evidence: dict[str, JSON] = {"rule": verdict.check, "found": verdict.evidence}
    if reply is not None:
        evidence["reply"] = reply
    return Rejected(id=item_id, stage="rules", reason=f"{verdict.check}: {said[:_SHOWN_CHARS]}", evidence=evidence)
