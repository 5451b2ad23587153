"""Which envs say the same: equal ids, equal questions but for case and spacing, equal gold calls.

What only resembles another env is found in `screen.py`.
"""

from __future__ import annotations

from astra_gym.records import JSON, content_hash
from astra_gym.types import Rejected, ToolEnvSpec


class Repeats:
    """Which ids, questions and gold calls are taken, and by which env."""

    def __init__(self) -> None:
        self._taken: dict[str, str] = {}

    def twin(self, spec: ToolEnvSpec) -> str | None:
        """The env that says the same, if there is one."""
        return next((self._taken[key] for key in _fingerprints(spec) if key in self._taken), None)

    def against(self, spec: ToolEnvSpec, item_id: str) -> Rejected | None:
        """The rejection of a repeat."""
        twin = self.twin(spec)
        if twin is None:
            return None
        return Rejected(id=item_id, stage="duplicate", reason=f"the same question or gold calls as {twin}")

    def add(self, spec: ToolEnvSpec) -> None:
        """Take what `spec` says."""
        self._taken.update(dict.fromkeys(_fingerprints(spec), spec.id))


def _fingerprints(spec: ToolEnvSpec) -> tuple[str, str, str]:
    """The id; the question without case and spacing; the gold calls and answers, whatever the sub-questions' ids."""
    order = {sub.id: str(i) for i, sub in enumerate(spec.sub_questions)}
    calls = [
        [sub.call.tool, _renamed(sub.call.arguments, order), sub.answer.value]
        for sub in spec.sub_questions
        if sub.call is not None
    ]
    return spec.id, content_hash(" ".join(spec.question.casefold().split())), content_hash(calls)


def _renamed(value: JSON, order: dict[str, str]) -> JSON:
    if isinstance(value, dict):
        return {k: order.get(v, v) if k == "$ref" else _renamed(v, order) for k, v in value.items()}
    return [_renamed(item, order) for item in value] if isinstance(value, list) else value
