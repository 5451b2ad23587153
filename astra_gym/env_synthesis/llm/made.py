"""A finished tool with the call that answers its sub-question, and the sub-question on its way there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from astra_gym.answers import Answer
from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.replies import ToolDocument
from astra_gym.gold import fill_refs, resolve_pointer
from astra_gym.records import JSON
from astra_gym.types import GoldCall, SubQuestion, ToolCall, ToolFunction, Verdict


@dataclass(frozen=True, slots=True)
class Probe:
    """A hidden case that a tool has passed: what these arguments must give. The tool's writer never sees it."""

    arguments: dict[str, JSON]
    answer: Answer | None
    """At the tool's result path; None: an error."""


@dataclass(frozen=True, slots=True)
class MadeTool:
    """The tool of one sub-question, run and found good."""

    sub_id: str
    tool: ToolFunction
    """The same object for members of one merged cluster."""
    document: ToolDocument | None
    """What `tool` was written from; None for a tool that existed before."""
    data: Mapping[str, JSON]
    """The tables that `tool` reads."""
    call: GoldCall
    """Upstream answers are references."""
    result_path: str
    arguments: dict[str, JSON]
    """Of `call`, references resolved."""
    output: JSON
    probes: tuple[Probe, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    """What was checked of the tool by others than its writer, and what became of merging it."""

    @property
    def tool_call(self) -> ToolCall:
        return ToolCall(self.tool.name, self.arguments)


@dataclass(frozen=True, slots=True)
class ToolTask:
    """One sub-question that needs a tool, with the finished tools of those it depends on."""

    drafted: Drafted
    sub: SubQuestion
    upstream: Mapping[str, MadeTool] = field(default_factory=dict)
    """By sub-question id, in the order of `depends_on`: whatever hop level the draft gave it."""

    @property
    def language(self) -> str:
        return self.drafted.item.language

    @property
    def question(self) -> str:
        """The question of the env: what a player reads."""
        return self.drafted.decomposition.question

    def resolve(self, arguments: dict[str, JSON]) -> dict[str, JSON]:
        """`arguments` with every reference replaced by what the upstream tool returned.

        Raises: LookupError when nothing stands where a reference points.
        """

        def lookup(ref: str, path: str | None) -> JSON:
            if ref not in self.upstream:
                raise LookupError(f"{self.sub.id!r} does not depend on {ref!r}; it depends on {list(self.upstream)}")
            made = self.upstream[ref]
            return resolve_pointer(made.output, made.result_path if path is None else path)

        resolved: dict[str, JSON] = fill_refs(arguments, lookup)
        return resolved

    def told_upstream(self) -> list[dict[str, JSON]]:
        """The dependencies as a prompt shows them: what they ask and the shape of their outputs, not their answers."""
        return [
            {
                "id": ref,
                "question": self.drafted.decomposition.by_id[ref].question,
                "answer_kind": kind_of(self.drafted.decomposition.by_id[ref].answer),
                "answer_stands_at": made.result_path,
                "output_shape": shape_of(made.output),
            }
            for ref, made in self.upstream.items()
        ]


def kind_of(answer: Answer) -> str:
    """The kind of an answer with its unit, without its value: "number in km"."""
    return f"{answer.kind} in {answer.unit}" if answer.unit else answer.kind


def shape_of(value: JSON) -> JSON:
    """`value` with the name of its JSON type in place of every text and number; of a list the first item."""
    if isinstance(value, dict):
        return {key: shape_of(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape_of(item) for item in value[:1]]
    if value is None:
        return "null"
    return {bool: "boolean", int: "number", float: "number", str: "string"}[type(value)]
