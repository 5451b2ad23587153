"""The nouns: frozen values that pass between the parts and into files. No behaviour beyond their own consistency.

Vocabulary of ASTRA (arXiv 2601.21558): a question is decomposed into sub-questions with a dependency graph; each that
needs a tool has a gold call. "spec" alone is Gymnasium's word (`env.spec`); ours is `ToolEnvSpec`.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, NotRequired, Self, TypedDict

from pydantic import Field, model_validator

from astra_gym.answers import Answer
from astra_gym.records import JSON, Record, check_json, content_hash

ENV_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*-v(0|[1-9][0-9]*)")
SUB_ID = re.compile(r"[A-Za-z0-9_.]+")
TABLE_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)*")
TOOL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")

ScenarioType = Literal["Single-Hop", "Parallel Single-Hop", "Multi-Hop", "Parallel Multi-Hop"]
ErrorCode = Literal[
    "invalid_json",
    "unknown_tool",
    "invalid_arguments",
    "tool_error",
    "limit_exceeded",
    "tool_timeout",
    "tool_crashed",
    "injected_fault",
    "internal_error",
]


class Message(TypedDict):
    """One chat message in the OpenAI form."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None
    tool_calls: NotRequired[list[dict[str, Any]]]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that was parsed: the name and the arguments as the model gave them (not yet checked)."""

    name: str
    arguments: dict[str, JSON]
    id: str | None = None
    """The OpenAI `tool_call_id`, when the model gave one."""


@dataclass(frozen=True, slots=True)
class ToolError:
    """Why a call has no output, in words the model can act on; never a host path, an address or a traceback."""

    code: ErrorCode
    message: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of one call: plain JSON `output`, or `error`."""

    output: JSON = None
    error: ToolError | None = None

    @property
    def ok(self) -> bool:
        return self.error is None


FaultKind = Literal["timeout", "server_error", "rate_limit", "stale", "empty"]


@dataclass(frozen=True, slots=True)
class FaultedResult(ToolResult):
    """What an injected fault gave in place of a call's own result: an error, or an `output` that looks like one.

    It earns no credit, and whether its call counts is said by `excuse`.
    """

    kind: FaultKind = "timeout"
    excuse: Literal["on_retry", "at_once", "never"] = "on_retry"
    """Not counted once the same call is made again; not counted at all; counted as any call."""


class ToolSpec(Record):
    """What a model is told of a tool (the `function` object of an OpenAI tool)."""

    name: str
    description: str
    parameters: dict[str, JSON]
    """JSON Schema (2020-12) of the arguments object; passed on untouched."""

    @model_validator(mode="after")
    def _check(self) -> ToolSpec:
        if not TOOL_NAME.fullmatch(self.name) or keyword.iskeyword(self.name):
            raise ValueError(
                f"tool name {self.name!r}: expected a letter, then up to 63 of A-Z a-z 0-9 _, and no keyword of Python"
            )
        check_json(self.parameters, f"tool {self.name!r}: `parameters`")
        if self.parameters.get("type") != "object":
            found = self.parameters.get("type")
            raise ValueError(f"tool {self.name!r}: `parameters` must be a schema of type 'object', found {found!r}")
        return self

    def as_openai(self) -> dict[str, Any]:
        """The tool in the form of the OpenAI `tools` parameter."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}


class ToolFunction(ToolSpec):
    """A tool with its implementation."""

    source: str
    """Python in the sandboxed subset; defines a function called `name` (helpers and constants may stand beside it).

    It reads the env's `data` tables as global names and what `ToolEnvSpec.library` defines.
    """


class GoldCall(Record):
    """The call that answers a sub-question. An argument may refer to an upstream answer instead of holding a value.

    `{"$ref": "q1"}` anywhere in `arguments` stands for the value at sub-question q1's result path in the *output* of
    q1's call; `{"$ref": "q1", "path": "/country"}` for the value at another JSON Pointer in that output.
    """

    tool: str
    arguments: dict[str, JSON] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> GoldCall:
        check_json(self.arguments, f"the gold call of {self.tool!r}")
        for ref, path in iter_refs(self.arguments):
            if type(ref) is not str or (path is not None and not _is_pointer(path)):
                raise ValueError(
                    f"the gold call of {self.tool!r}: a reference is {{'$ref': id, 'path': JSON Pointer or left out}}, "
                    f"found $ref {ref!r} and path {path!r}"
                )
        return self

    @property
    def refs(self) -> tuple[str, ...]:
        """Ids of the sub-questions that the arguments refer to, in order of appearance, without repeats."""
        return tuple(dict.fromkeys(ref for ref, _ in iter_refs(self.arguments)))


def _is_pointer(value: JSON) -> bool:
    return isinstance(value, str) and POINTER.fullmatch(value) is not None


def is_ref(value: JSON) -> bool:
    """Whether a value inside gold arguments is a reference to an upstream answer."""
    return isinstance(value, dict) and "$ref" in value and value.keys() <= {"$ref", "path"}


def iter_refs(value: JSON) -> Iterator[tuple[str, str | None]]:
    """Every (sub-question id, path or None) that `value` refers to, depth first."""
    if is_ref(value):
        yield value["$ref"], value.get("path")
    elif isinstance(value, dict):
        for item in value.values():
            yield from iter_refs(item)
    elif isinstance(value, list):
        for item in value:
            yield from iter_refs(item)


class SubQuestion(Record):
    """One step of a decomposition. It needs a tool when it has a gold call."""

    id: str
    question: str
    answer: Answer
    depends_on: tuple[str, ...] = ()
    """Direct dependencies only; every `$ref` of the gold call is one."""
    call: GoldCall | None = None
    result_path: str = ""
    """JSON Pointer (RFC 6901) into the call's output, "" for the whole: where the answer stands."""

    @model_validator(mode="after")
    def _check(self) -> SubQuestion:
        if not SUB_ID.fullmatch(self.id):
            raise ValueError(f"sub-question id {self.id!r}: expected letters, digits, _ and .")
        if not _is_pointer(self.result_path):
            raise ValueError(f"{self.id}: result path {self.result_path!r} is no JSON Pointer: it must start with '/'")
        if len(set(self.depends_on)) < len(self.depends_on):
            raise ValueError(f"{self.id}: `depends_on` names one sub-question twice: {list(self.depends_on)}")
        if not self.question.strip():
            raise ValueError(f"{self.id}: a sub-question needs words")
        return self


class Decomposition(Record):
    """A question, its typed answer and the graph of sub-questions that leads there.

    Holds: ids unique, references resolve, acyclic, every `$ref` is declared in `depends_on`.
    """

    id: str
    question: str
    answer: Answer
    sub_questions: tuple[SubQuestion, ...] = Field(min_length=1)
    domain: str = "general"
    language: str = "en"

    @model_validator(mode="after")
    def _check_graph(self) -> Decomposition:
        ids = [sub.id for sub in self.sub_questions]
        if twice := sorted({i for i in ids if ids.count(i) > 1}):
            raise ValueError(f"{self.id}: sub-question ids must be unique, found {twice} more than once")
        for sub in self.sub_questions:
            if missing := sorted(set(sub.depends_on) - set(ids)):
                raise ValueError(f"{self.id}: sub-question {sub.id!r} depends on {missing}, but the ids are {ids}")
            if sub.call and (undeclared := sorted(set(sub.call.refs) - set(sub.depends_on))):
                raise ValueError(
                    f"{self.id}: the call of {sub.id!r} refers to {undeclared}; `depends_on` has {list(sub.depends_on)}"
                )
            for ref in sub.call.refs if sub.call else ():
                if next(other for other in self.sub_questions if other.id == ref).call is None:
                    raise ValueError(f"{self.id}: the call of {sub.id!r} refers to {ref!r}, which has no call itself")
        if not self.question.strip():
            raise ValueError(f"{self.id}: a question needs words")
        _ = self.hop_levels
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields replaced, unchecked; what was derived from the graph is derived again."""
        copied = super().model_copy(update=update, deep=deep)
        for derived in ("by_id", "hop_levels"):
            copied.__dict__.pop(derived, None)
        return copied

    @cached_property
    def by_id(self) -> Mapping[str, SubQuestion]:
        return {sub.id: sub for sub in self.sub_questions}

    @cached_property
    def hop_levels(self) -> Mapping[str, int]:
        """Hop level of each sub-question: 1 + the longest path to it. Raises ValueError on a cycle."""
        levels: dict[str, int] = {}
        waiting = list(self.sub_questions)
        while waiting:
            ready = [sub for sub in waiting if all(d in levels for d in sub.depends_on)]
            if not ready:
                raise ValueError(f"{self.id}: the dependencies of {[sub.id for sub in waiting]} form a cycle")
            for sub in ready:
                levels[sub.id] = 1 + max((levels[d] for d in sub.depends_on), default=0)
            waiting = [sub for sub in waiting if sub.id not in levels]
        return {sub.id: levels[sub.id] for sub in self.sub_questions}

    @property
    def hops(self) -> int:
        """Length of the longest chain of dependencies."""
        return max(self.hop_levels.values())

    @property
    def topological(self) -> tuple[SubQuestion, ...]:
        """The sub-questions by hop level, ties in the given order."""
        return tuple(sorted(self.sub_questions, key=lambda sub: self.hop_levels[sub.id]))

    @property
    def needed(self) -> tuple[SubQuestion, ...]:
        """Those that need a tool: the denominator of recall."""
        return tuple(sub for sub in self.sub_questions if sub.call is not None)

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Every dependency as (upstream id, downstream id)."""
        return tuple((up, sub.id) for sub in self.sub_questions for up in sub.depends_on)

    @property
    def scenario_type(self) -> ScenarioType:
        """The paper's four shapes, derived from the graph."""
        if len(self.sub_questions) == 1:
            return "Single-Hop"
        if self.hops == 1:
            return "Parallel Single-Hop"
        return "Multi-Hop" if self.hops == len(self.sub_questions) else "Parallel Multi-Hop"


class Provenance(Record):
    """Where an env comes from and under which terms its content may be used."""

    door: Literal["tables", "import", "llm", "hand"]
    dataset: str
    """Name of the data set, package or corpus."""
    license: str
    """SPDX identifier of the data's licence."""
    version: str | None = None
    url: str | None = None
    record: str | None = None
    """Which record of the data set, so that it can be found again."""
    generator: str | None = None
    """The program and version that made the env."""
    details: dict[str, JSON] = Field(default_factory=dict)


class Verdict(Record):
    """The outcome of one check; unknown (it could not run) never counts as a pass."""

    check: str
    status: Literal["pass", "fail", "unknown"]
    evidence: JSON = None


class Certificate(Record):
    """Proof that an env holds: the checks that passed and the hash of what they looked at. No clock time, no paths."""

    content_hash: str
    checks: tuple[Verdict, ...]
    versions: dict[str, str] = Field(default_factory=dict)


class Rejected(Record):
    """What a pipeline says of an item that it drops."""

    id: str
    stage: str
    reason: str
    evidence: JSON = None


class ToolEnvSpec(Decomposition):
    """One environment as data; `ToolEnv` plays it."""

    tools: tuple[ToolFunction, ...] = Field(min_length=1)
    data: dict[str, JSON] = Field(default_factory=dict)
    """Tables that the tools read: bound as global names (upper case) in every tool; a fresh copy for each episode."""
    library: str = ""
    """Source run once an episode before the tools; the names it defines (shared state, helpers) are visible to them."""
    clock: str = "2025-01-01T00:00:00+00:00"
    """The instant that tools see as now (ISO 8601)."""
    max_turns: int = Field(default=32, ge=1)
    provenance: Provenance
    certificate: Certificate | None = None

    @model_validator(mode="after")
    def _check_env(self) -> ToolEnvSpec:
        if not ENV_NAME.fullmatch(self.id):
            raise ValueError(f"id {self.id!r}: expected <name>-v<N> of letters, digits and _ . -")
        if odd := [name for name in self.data if not TABLE_NAME.fullmatch(name)]:
            raise ValueError(f"{self.id}: tables need upper-case names like AIRPORTS, found {odd}")
        check_json(self.data, f"{self.id}: `data`")
        try:
            datetime.fromisoformat(self.clock)
        except ValueError:
            raise ValueError(f"{self.id}: `clock` must be an ISO 8601 instant, found {self.clock!r}") from None
        names = [tool.name for tool in self.tools]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"{self.id}: tool names must be unique, found {twice} more than once")
        for sub in self.needed:
            if sub.call is not None and sub.call.tool not in names:
                raise ValueError(f"{self.id}: {sub.id!r} calls {sub.call.tool!r}, but the tools are {names}")
        if not self.needed:
            raise ValueError(f"{self.id}: no sub-question has a gold call, so there is nothing to play")
        return self

    def content_hash(self) -> str:
        """Hash of everything but the certificate."""
        content = self.to_json()
        content.pop("certificate", None)
        return content_hash(content)

    @property
    def distractor_band(self) -> str:
        """What was mixed into the tools: "none", "random", or the highest band of likeness, "high" to "low".

        It stands in `provenance.details`, so it is part of the content that the certificate is about.
        """
        mixed = self.provenance.details.get("distractors")
        return str(mixed.get("band", "none")) if isinstance(mixed, dict) else "none"

    @property
    def tool_schemas(self) -> list[dict[str, Any]]:
        """The tools in the OpenAI form, in order."""
        return [tool.as_openai() for tool in self.tools]


@dataclass(frozen=True, slots=True)
class RewardBreakdown:
    """The counts behind one trajectory's reward: solved <= min(needed, calls)."""

    needed: int
    """Sub-questions that need a tool; fixed when the env is made."""
    solved: int = 0
    """Of those, how many a call has answered. One call is credited with one at most."""
    calls: int = 0
    """Tool calls that count: malformed ones included, those excused by an injected fault not."""

    def __post_init__(self) -> None:
        if not 0 <= self.solved <= self.needed or self.solved > self.calls or self.needed < 1:
            raise ValueError(f"expected needed >= 1 and 0 <= solved <= min(needed, calls), found {self}")

    @property
    def recall(self) -> float:
        return self.solved / self.needed

    @property
    def precision(self) -> float:
        return self.solved / self.calls if self.calls else 0.0

    @property
    def f1(self) -> float:
        """2·solved / (needed + calls): the harmonic mean of recall and precision, 0 when nothing is solved."""
        return 2 * self.solved / (self.needed + self.calls) if self.solved else 0.0


StopReason = Literal["final_answer", "solved", "max_turns", "truncated", "infrastructure_error", "model_error"]
EdgeStatus = Literal["satisfied", "violated", "guessed", "open"]


class Trajectory(Record):
    """One episode, replayable: the env id, the seed and the actions determine everything else."""

    env_id: str
    seed: int
    actions: tuple[str, ...]
    """What the model wrote, turn by turn, exactly as it was passed to `env.step`."""
    rewards: tuple[float, ...]
    messages: tuple[dict[str, JSON], ...]
    tools: tuple[dict[str, JSON], ...]
    needed: int
    solved: int
    calls: int
    stop_reason: StopReason
    solved_ids: tuple[str, ...] = ()
    edges: dict[str, EdgeStatus] = Field(default_factory=dict)
    """`"q1->q2"` to how that dependency was used."""
    final_answer_correct: bool | None = None
    model: str | None = None
    metadata: dict[str, JSON] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Trajectory:
        if len(self.actions) != len(self.rewards):
            raise ValueError(f"{self.env_id}: {len(self.actions)} actions but {len(self.rewards)} rewards")
        _ = self.breakdown
        return self

    @property
    def total_reward(self) -> float:
        return sum(self.rewards)

    @property
    def breakdown(self) -> RewardBreakdown:
        return RewardBreakdown(self.needed, self.solved, self.calls)
