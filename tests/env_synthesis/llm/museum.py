"""A draft that holds, for tests to break: the museum of the Brass Whale. Authored for the tests."""

from __future__ import annotations

import copy
from typing import Any

from astra_gym.env_synthesis.llm.draft import from_reply
from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.items import LlmItem
from astra_gym.env_synthesis.llm.replies import Draft
from astra_gym.types import Rejected

ITEM = LlmItem.make("domain", domain="museums", max_hops=4)
MUSEUM: dict[str, Any] = {
    "question": "My brother and I want to see the Brass Whale. What do two adult tickets cost there together, and on "
    "which weekday is the museum closed?",
    "answer": ["28 EUR", "Tuesday"],
    "answer_from": "[q4, q3]",
    "sub_questions": [
        {"id": "q1", "question": "Which museum shows the Brass Whale?", "depends_on": [], "answer": "Tidehall"},
        {
            "id": "q2",
            "question": "What does an adult ticket cost at that museum?",
            "depends_on": ["q1"],
            "answer": "14 EUR",
        },
        {
            "id": "q3",
            "question": "On which weekday is that museum closed?",
            "depends_on": ["q1"],
            "answer": "Tuesday",
        },
        {
            "id": "q4",
            "question": "What do two tickets of that price cost together?",
            "depends_on": ["q2"],
            "answer": "28 EUR",
        },
    ],
}


def changed(sub_id: str | None = None, **fields: Any) -> Draft:
    """The draft with fields of one sub-question, or of the whole, replaced; `added` appends sub-questions."""
    content = copy.deepcopy(MUSEUM)
    content["sub_questions"] += fields.pop("added", [])
    target = content if sub_id is None else next(sub for sub in content["sub_questions"] if sub["id"] == sub_id)
    target.update(fields)
    return Draft.model_validate(content)


def drafted(draft: Draft | None = None, item: LlmItem = ITEM) -> Drafted:
    """The decomposition that comes of a draft."""
    found = from_reply(item, draft or changed())
    assert not isinstance(found, Rejected), found
    return found
