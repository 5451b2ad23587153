"""The parts of one item put together: an env as data, not yet certified, with an account of where it comes from.

Nothing is judged here. What the parts say together can still contradict itself, which is a `Rejected`; whether the env
holds is decided by the certificate.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.feedback import first_problem
from astra_gym.env_synthesis.llm.items import LlmItem
from astra_gym.env_synthesis.llm.made import MadeTool
from astra_gym.env_synthesis.sources.jsonl import slug
from astra_gym.llm.session import ReplyRecord
from astra_gym.records import JSON, canonical_json, content_hash
from astra_gym.types import Provenance, Rejected, SubQuestion, ToolEnvSpec, ToolFunction, Verdict

GENERATOR = "astra-gym llm"
_HASH_DIGITS = 8
_SLUG_CHARS = 32


def assemble(
    drafted: Drafted,
    made: Sequence[MadeTool],
    verdicts: Sequence[Verdict],
    records: Sequence[ReplyRecord],
    item: LlmItem,
) -> ToolEnvSpec | Rejected:
    """The env of `drafted` with the tools of `made`, without a certificate; or what in it contradicts itself.

    Args:
        made: as `merge_tools` returns it: names unique.
        verdicts: of the judges; those of the tools are in `made`.
        records: the replies it was made from, in an order that does not depend on which came first.
    """
    calls = {one.sub_id: one for one in made}
    subs = tuple(_with_call(sub, calls.get(sub.id)) for sub in drafted.decomposition.sub_questions)
    given = item.tool_spec
    fields: dict[str, JSON] = {
        "question": drafted.decomposition.question,
        "answer": drafted.decomposition.answer,
        "sub_questions": subs,
        "domain": item.domain,
        "language": item.language,
        "tools": _tools(made) if given is None else given.tools,
        "data": _tables(made) if given is None else given.data,
    }
    if given is not None:
        fields |= {"library": given.library, "clock": given.clock, "max_turns": given.max_turns}
    provenance = _provenance(item, made, verdicts, records)
    try:
        spec = ToolEnvSpec(id="new-v0", provenance=provenance, **fields)
    except ValidationError as error:
        return Rejected(id=item.id, stage="build", reason=f"the parts do not make an env: {first_problem(error)}")
    return spec.model_copy(update={"id": env_id(spec)})


def env_id(spec: ToolEnvSpec) -> str:
    """`<domain>-<8 hex digits>-v0`; the digits are of what is played, not of where it comes from."""
    content = spec.model_dump(mode="json", exclude={"id", "provenance", "certificate"})
    digits = content_hash(content).removeprefix("sha256:")[:_HASH_DIGITS]
    name = slug(spec.domain)[:_SLUG_CHARS].strip("-") or spec.language
    return f"{name}-{digits}-v0"


def _with_call(sub: SubQuestion, one: MadeTool | None) -> SubQuestion:
    if one is None:
        return sub.model_copy(update={"call": None, "result_path": ""})
    return sub.model_copy(update={"call": one.call, "result_path": one.result_path})


def _tools(made: Sequence[MadeTool]) -> tuple[ToolFunction, ...]:
    """Each tool once, by name: their order must not give away the order of the steps."""
    unique = {one.tool.name: one.tool for one in made}
    return tuple(unique[name] for name in sorted(unique))


def _tables(made: Sequence[MadeTool]) -> dict[str, JSON]:
    tables: dict[str, JSON] = {}
    for one in made:
        tables |= one.data
    return {name: tables[name] for name in sorted(tables)}


def _provenance(
    item: LlmItem, made: Sequence[MadeTool], verdicts: Sequence[Verdict], records: Sequence[ReplyRecord]
) -> Provenance:
    noted = [*verdicts, *(verdict for one in made for verdict in one.verdicts)]
    unique = {canonical_json(verdict.to_json()): verdict.to_json() for verdict in noted}
    details: dict[str, JSON] = {
        "item": item.id,
        "mode": item.mode,
        "verdicts": list(unique.values()),
        "replies": _sources(records),
        "dates": sorted({record.date for record in records if record.date}),
    }
    given = None if item.tool_spec is None else item.tool_spec.provenance
    if item.tool_spec is not None:
        details["tools_of"] = item.tool_spec.id
        if distractors := item.tool_spec.provenance.details.get("distractors"):
            details["distractors"] = distractors
    if item.origin is not None:
        details["origin"] = item.origin.to_json()
    if given is None and item.attribution:
        details["attribution"] = item.attribution
    origin = "topics" if item.origin is None else item.origin.file
    return Provenance(
        door="llm",
        dataset=origin if given is None else given.dataset,
        license=item.license if given is None else given.license,
        version=None if given is None else given.version,
        url=None if given is None else given.url,
        record=item.id,
        generator=GENERATOR,
        details=details,
    )


def _sources(records: Sequence[ReplyRecord]) -> list[JSON]:
    """Each model with its sampling settings, and which stages it was asked with which prompt."""
    prompts: dict[bytes, dict[str, str]] = {}
    models: dict[bytes, dict[str, JSON]] = {}
    for record in records:
        model = {"model": record.model, "sampling": record.sampling}
        key = canonical_json(model)
        models[key] = model
        prompts.setdefault(key, {})[record.stage] = record.template
    return [{**models[key], "prompts": dict(sorted(prompts[key].items()))} for key in sorted(models)]
