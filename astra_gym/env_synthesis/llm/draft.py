"""Stage `generate`: one item becomes a question with its decomposition, answers typed, graph sound.

A decomposition that the user gives is taken as it is, but that its questions name upstream answers by reference. What a
draft must hold beyond its graph is checked in `rules`; its tools come later.
"""

from __future__ import annotations

from pydantic import ValidationError

from astra_gym.answers import Answer
from astra_gym.env_synthesis.llm.choices import with_choices
from astra_gym.env_synthesis.llm.drafted import Drafted, broken
from astra_gym.env_synthesis.llm.items import LlmItem
from astra_gym.env_synthesis.llm.referring import by_reference, program_of
from astra_gym.env_synthesis.llm.replies import Draft, DraftSubQuestion
from astra_gym.env_synthesis.llm.rules.structure import check_structure
from astra_gym.env_synthesis.llm.typed import typed_answer
from astra_gym.llm.errors import RefusedError, ReplyError, RequestError
from astra_gym.llm.prompts import Prompt, render
from astra_gym.llm.session import LlmSession
from astra_gym.records import canonical_json
from astra_gym.types import Decomposition, Rejected, SubQuestion, ToolEnvSpec, Verdict

__all__ = ["Drafted", "draft", "from_reply", "generate_prompt", "given"]
SHOWN_TABLE_CHARS = 20_000
"""Augmenting: how much of an env's tables the writer is shown."""


async def draft(item: LlmItem, llm: LlmSession) -> Drafted | Rejected:
    """Ask the writer for a decomposition of `item`, unless it carries one.

    Returns: the draft, or a `Rejected` of stage `generate` (no usable reply) or `rules` (no sound graph, no values).
    Raises: BudgetError, EndpointError: they say nothing of the item.
    """
    if item.decomposition is not None:
        return given(item, item.decomposition)
    try:
        reply = await llm.write(generate_prompt(item), Draft, sample=item.repeat)
    except (ReplyError, RefusedError, RequestError) as error:
        evidence = {"reply": error.excerpt} if isinstance(error, ReplyError) else None
        return Rejected(id=item.id, stage="generate", reason=str(error), evidence=evidence)
    return from_reply(item, reply)


def given(item: LlmItem, decomposition: Decomposition) -> Drafted:
    """A decomposition that was already made, its questions referring to upstream answers instead of naming them."""
    return Drafted(item, by_reference(decomposition), item.answer_from or program_of(decomposition))


def from_reply(item: LlmItem, reply: Draft) -> Drafted | Rejected:
    """A writer's reply as a decomposition, or the first structural rule that it breaks."""
    verdicts = check_structure(reply)
    if failed := next((verdict for verdict in verdicts if verdict.status != "pass"), None):
        return broken(item.id, failed, reply.model_dump(mode="json"))
    question = item.question or reply.question
    try:
        decomposition = Decomposition(
            id=item.id,
            question=question,
            answer=with_choices(typed_answer(reply.answer), question),
            sub_questions=tuple(_sub_question(sub, question) for sub in reply.sub_questions),
            domain=item.domain,
            language=item.language,
        )
    except ValidationError as error:
        failed = Verdict(check="rules.graph", status="fail", evidence=str(error.errors(include_url=False)[0]["msg"]))
        return broken(item.id, failed, reply.model_dump(mode="json"))
    return Drafted(item, decomposition, reply.answer_from.strip())


def _sub_question(sub: DraftSubQuestion, main: str) -> SubQuestion:
    answer: Answer = with_choices(typed_answer(sub.answer), sub.question, main)
    return SubQuestion(id=sub.id, question=sub.question, answer=answer, depends_on=sub.depends_on)


def generate_prompt(item: LlmItem) -> Prompt:
    """What the writer is asked for an item."""
    spec = item.tool_spec
    return render(
        "generate",
        language=item.language,
        reply=Draft,
        mode=item.mode,
        domain=item.domain,
        knowledge=item.knowledge,
        grounded=item.grounded,
        question=item.question,
        examples=list(item.examples),
        min_hops=item.min_hops,
        max_hops=item.max_hops,
        scenario=item.scenario or "",
        tools=[] if spec is None else [tool.as_openai()["function"] for tool in spec.tools],
        tables="" if spec is None else _tables(spec),
        taken=[] if spec is None else [spec.question],
    )


def _tables(spec: ToolEnvSpec) -> str:
    """The tables of an env as JSON, cut where they are long."""
    text = canonical_json(spec.data).decode()
    return text if len(text) <= SHOWN_TABLE_CHARS else f"{text[:SHOWN_TABLE_CHARS]}…"
