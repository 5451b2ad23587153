"""What a language model is asked to reply, stage by stage: one JSON object each, checked before anything reads it.

A reply that does not fit is asked for again, with the error, a bounded number of times (`astra_gym.llm.structured`).
No field has a default that could count as a good grade: what a judge leaves out makes the reply invalid. Stages and
questions follow ASTRA (arXiv 2601.21558, section 3); what differs is that ids are names, not positions, and that
upstream answers are references.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, StrictBool, model_validator

from astra_gym.records import JSON, Record


class DraftSubQuestion(Record):
    """One step of a drafted decomposition."""

    id: str
    """q1, q2, ... in any order."""
    question: str
    """Names what it depends on in words ("that city"), never by the answer itself."""
    depends_on: tuple[str, ...] = ()
    answer: JSON
    """The value alone: a text, a number, a bool, or a list of these. Amounts may be texts with a unit ("12.5 km")."""


class Draft(Record):
    """Stage `generate`: a question with its decomposition."""

    question: str
    answer: JSON
    """The final answer, a value like those of the sub-questions."""
    answer_from: str
    """The final answer as an expression over ids: "q3", "q1 - q2", "[q1, q3]", "max(q1, q2)"; "" when none gives it."""
    sub_questions: tuple[DraftSubQuestion, ...] = Field(min_length=1)


class Necessity(Record):
    id: str
    needs_tool: StrictBool
    reason: str


class NecessityReply(Record):
    """Stage `necessity`: exactly one entry a sub-question."""

    sub_questions: tuple[Necessity, ...]


class DependencyReply(Record):
    """Stage `dependency`: one sub-question with the questions and answers that it depends on."""

    missing: tuple[str, ...]
    """What the question needs and neither states nor finds among its dependencies."""
    unused: tuple[str, ...]
    """Ids of dependencies that give it nothing."""
    reason: str


class Atomicity(Record):
    id: str
    atomic: StrictBool
    reason: str


class AtomicityReply(Record):
    """Stage `atomicity`: exactly one entry a sub-question."""

    sub_questions: tuple[Atomicity, ...]


class ForcedStep(Record):
    id: str
    """The sub-question that waits without need."""
    on: str
    """What it waits for."""
    reason: str


class SerialisationReply(Record):
    """Stage `serialisation`: the dependencies that only lengthen the chain."""

    rational: StrictBool
    forced: tuple[ForcedStep, ...]

    @model_validator(mode="after")
    def _agrees(self) -> SerialisationReply:
        if self.rational == bool(self.forced):
            raise ValueError("`rational` must be true exactly when `forced` is empty")
        return self


class Requirement(Record):
    requirement: str
    covered_by: tuple[str, ...]
    """Ids of the sub-questions that meet it; empty when none does."""


class CompletenessReply(Record):
    """Stage `completeness`: what the question asks for, and which sub-questions give it."""

    requirements: tuple[Requirement, ...] = Field(min_length=1)
    complete: StrictBool

    @model_validator(mode="after")
    def _agrees(self) -> CompletenessReply:
        if self.complete != all(requirement.covered_by for requirement in self.requirements):
            raise ValueError("`complete` must be true exactly when every requirement is covered")
        return self


class EntailmentReply(Record):
    """Stage `entailment`: the final answer as the sub-answers give it, by a judge that was not shown it."""

    answerable: StrictBool
    answer: JSON
    """null when not answerable."""
    reason: str


class ToolDocument(Record):
    """Stages `document` and `scaling`: a tool as a model will read it."""

    name: str
    """snake_case, what it does."""
    description: str
    parameters: dict[str, JSON]
    """JSON Schema of the arguments object, with `properties` and `required`."""
    returns: str
    """In words: the fields of the object it returns, and where the answer stands."""


class CallReply(Record):
    """Stage `call`: the call that answers a sub-question."""

    arguments: dict[str, JSON]
    """Values from the question, or {"$ref": "q1"} (with "path": JSON Pointer) for an upstream answer."""
    result_path: str
    """JSON Pointer of the answer in what the tool returns, for example "/price"."""


class ImplementationReply(Record):
    """Stage `implementation`: the tool's program."""

    source: str
    """Python in the sandboxed subset: one function of the document's name and parameters (helpers may stand beside)."""
    data: dict[str, JSON] = Field(default_factory=dict)
    """Tables the function reads as global names (upper case): its knowledge, other entities included."""


class ProbeReply(Record):
    """Stage `probe`: what another model tries on the finished tool; the writer never sees it."""

    second: dict[str, JSON]
    """Arguments for another entity that the tool knows."""
    second_answer: JSON
    """What the document says must come of it, at the same result path."""
    unknown: dict[str, JSON] | None
    """Arguments that name an entity the tool cannot know: it must answer with an error. null for pure computation."""


class IntentCluster(Record):
    intent: str
    ids: tuple[str, ...] = Field(min_length=1)
    reason: str


class ClusterReply(Record):
    """Stage `cluster`: a partition of the sub-questions' tools by intent, every id in exactly one cluster."""

    clusters: tuple[IntentCluster, ...] = Field(min_length=1)


class MergeReply(Record):
    """Stage `merge`: one more tool taken into a cluster's tool. The function and its signature stay as they are."""

    data: dict[str, JSON]
    """All tables of the merged tool."""
    document: ToolDocument


Stage = Literal[
    "generate",
    "necessity",
    "dependency",
    "atomicity",
    "serialisation",
    "completeness",
    "entailment",
    "document",
    "scaling",
    "call",
    "implementation",
    "probe",
    "cluster",
    "merge",
]
REPLIES: dict[Stage, type[Record]] = {
    "generate": Draft,
    "necessity": NecessityReply,
    "dependency": DependencyReply,
    "atomicity": AtomicityReply,
    "serialisation": SerialisationReply,
    "completeness": CompletenessReply,
    "entailment": EntailmentReply,
    "document": ToolDocument,
    "scaling": ToolDocument,
    "call": CallReply,
    "implementation": ImplementationReply,
    "probe": ProbeReply,
    "cluster": ClusterReply,
    "merge": MergeReply,
}
"""What each stage replies. A prompt of the stage's name stands in `astra_gym/prompts`."""
JUDGES: frozenset[Stage] = frozenset(
    {"necessity", "dependency", "atomicity", "serialisation", "completeness", "entailment", "probe"}
)
"""Stages asked of the judge models; the others are asked of the writer."""
