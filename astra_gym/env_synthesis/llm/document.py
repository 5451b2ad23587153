"""Stages `document` and `scaling`: a tool as a model will read it, first plain, then with more to it.

By rule: the name is a name, the schema is one, every parameter can be one of a function, something is required, and no
answer of the question stands in the document. Scaling may add optional parameters and words; whatever called the first
document must be able to call the second.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

from pydantic import ValidationError

from astra_gym.answers import QUANTITIES
from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.feedback import Unfit, first_problem, followed_up, written
from astra_gym.env_synthesis.llm.literals import Stated, literals
from astra_gym.env_synthesis.llm.made import ToolTask, kind_of
from astra_gym.env_synthesis.llm.replies import ToolDocument
from astra_gym.env_synthesis.llm.rules.leakage import named_in
from astra_gym.env_synthesis.llm.trial import leaks_in
from astra_gym.errors import SpecError
from astra_gym.llm.prompts import render
from astra_gym.llm.session import LlmSession
from astra_gym.records import JSON
from astra_gym.sandbox import ArgumentValidator
from astra_gym.types import ToolFunction

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_NARROWING = (
    *("const", "pattern", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("multipleOf", "minItems", "maxItems", "uniqueItems", "items", "properties"),
)
"""Keywords that a scaled parameter must have exactly as it had them."""


async def write_document(
    task: ToolTask, llm: LlmSession, *, again: tuple[ToolDocument, str] | None = None
) -> ToolDocument:
    """The document of a tool for `task`; `again`: an earlier one, and why no program for it was accepted.

    Raises: NotAccepted.
    """
    prompt = render(
        "document",
        language=task.language,
        reply=ToolDocument,
        step=task.sub.id,
        domain=task.drafted.item.domain,
        question=task.sub.question,
        answer_kind=kind_of(task.sub.answer),
        upstream=task.told_upstream(),
    )
    if again is not None:
        prompt = followed_up(prompt, *again)

    return await written(llm, prompt, ToolDocument, check=lambda document: check_document(document, task.drafted))


async def scale_document(task: ToolTask, document: ToolDocument, llm: LlmSession) -> ToolDocument:
    """`document` with more to it, backward compatible. Raises: NotAccepted."""
    prompt = render(
        "scaling",
        language=task.language,
        reply=ToolDocument,
        step=task.sub.id,
        question=task.sub.question,
        document=document,
    )

    def check(scaled: ToolDocument) -> None:
        check_document(scaled, task.drafted)
        check_compatible(document, scaled)

    return await written(llm, prompt, ToolDocument, check=check)


def tool_function(document: ToolDocument, source: str, language: str) -> ToolFunction:
    """The tool of a document. Raises: pydantic's ValidationError when the document is none."""
    returns = document.returns.strip()
    label = "返回：" if language == "zh" else "Returns: "
    description = f"{document.description.strip()}\n{label}{returns}" if returns else document.description.strip()
    parameters = {**document.parameters, "type": "object", "additionalProperties": False}
    return ToolFunction(name=document.name, description=description, parameters=parameters, source=source)


def check_document(document: ToolDocument, drafted: Drafted) -> None:
    """Raises: Unfit when no tool can be made of the document, or when it gives an answer away."""
    if not _NAME.fullmatch(document.name) or keyword.iskeyword(document.name):
        raise Unfit(f"the name {document.name!r} must be snake_case: a small letter, then small letters, digits and _")
    if not document.description.strip():
        raise Unfit("the description is empty; say what the tool does and when to use it")
    _check_parameters(document.parameters)
    try:
        tool = tool_function(document, "", drafted.item.language)
        ArgumentValidator(tool)
    except SpecError as error:
        raise Unfit(str(error)) from None
    except ValidationError as error:
        raise Unfit(first_problem(error)) from None
    if leaks := leaks_in(drafted, tool):
        places = "; ".join(sorted({f"{leak.text!r} stands in {leak.place}" for leak in leaks}))
        raise Unfit(f"the document gives an answer away: {places}. Use other examples, or none")
    if told := _told(drafted, tool):
        raise Unfit(f"the document holds {told}, which a step of the question must find. Use other examples, or none")


def _told(drafted: Drafted, tool: ToolFunction) -> list[JSON]:
    """The numbers and dates among the answers that stand in a tool's document and not in the question."""
    decomposition = drafted.decomposition
    text = "\n".join([tool.description, *map(str, literals(tool.parameters))])
    answers = [sub.answer for sub in decomposition.sub_questions] + [decomposition.answer]
    kinds = QUANTITIES | {"date"}
    found = (named_in(text, answer) for answer in answers if answer.kind in kinds)
    stated = Stated(decomposition.question)
    return list(dict.fromkeys(value for value in found if value is not None and not stated.holds(value)))


def _check_parameters(parameters: dict[str, JSON]) -> None:
    if (kind := parameters.get("type", "object")) != "object":
        raise Unfit(f"`parameters` must be a schema of type 'object', found {kind!r}")
    properties, required = parameters.get("properties"), parameters.get("required")
    if not isinstance(properties, dict) or not properties:
        raise Unfit("`parameters` has no `properties`: a tool needs at least one parameter")
    for name, schema in properties.items():
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
            raise Unfit(f"the parameter {name!r} must be a name that a Python function can have, without a leading _")
        if not isinstance(schema, dict) or not ({"type", "enum", "anyOf", "oneOf", "$ref"} & schema.keys()):
            raise Unfit(f"the parameter {name!r} needs a schema with a `type`")
        if not str(schema.get("description") or "").strip():
            raise Unfit(f"the parameter {name!r} needs a `description`")
    if not isinstance(required, list) or not required:
        raise Unfit("`required` is empty: name the parameters without which the tool cannot answer, at least one")
    if unknown := [name for name in required if name not in properties]:
        raise Unfit(f"`required` names {unknown}, but the properties are {list(properties)}")
    if parameters.get("additionalProperties", False) is not False:
        raise Unfit("`additionalProperties` must be false: a function has the parameters that it has")


def check_compatible(old: ToolDocument, new: ToolDocument) -> None:
    """Raises: Unfit when some call that fits `old` would not fit `new`."""
    if new.name != old.name:
        raise Unfit(f"the name must stay {old.name!r}, found {new.name!r}")
    before, after = old.parameters["properties"], new.parameters["properties"]
    if gone := [name for name in before if name not in after]:
        raise Unfit(f"parameters must be kept; gone are {gone}")
    if added := sorted(set(new.parameters["required"]) - set(old.parameters["required"])):
        raise Unfit(f"nothing more may be required; {added} must be optional (with a default)")
    for name, schema in before.items():
        check_wider(name, schema, after[name])


def check_wider(name: str, old: dict[str, JSON], new: dict[str, JSON]) -> None:
    """Raises: Unfit when the schema of parameter `name` takes less than it did."""
    if "type" in new and not (set(_listed(old.get("type"))) or {"anything"}) <= _with_numbers(_listed(new["type"])):
        raise Unfit(f"the type of {name!r} must stay {old.get('type')!r}, found {new['type']!r}")
    if "enum" in new:
        kept = old.get("enum")
        if not isinstance(kept, list) or not isinstance(new["enum"], list) or any(v not in new["enum"] for v in kept):
            raise Unfit(f"the `enum` of {name!r} must hold all values that were allowed before: {kept}")
    if narrowed := [key for key in _NARROWING if key in new and new[key] != old.get(key)]:
        raise Unfit(f"{name!r} must take all that it took before; leave {narrowed} as they were")


def _listed(kind: JSON) -> list[str]:
    return kind if isinstance(kind, list) else [] if kind is None else [kind]


def _with_numbers(kinds: Iterable[str]) -> set[str]:
    return {*kinds, "integer"} if "number" in kinds else set(kinds)
