"""Asking the writer until a reply holds: what a rule, the sandbox or a hidden check says against it goes back to it.

What can be told from the reply alone is checked by the session as it checks the form (`check`). Here a reply that must
first be run is put to the test, and the objection becomes the next message of the same conversation, a bounded number
of times.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from pydantic import ValidationError

from astra_gym.errors import AstraError
from astra_gym.llm.errors import RefusedError, ReplyError, RequestError
from astra_gym.llm.prompts import Prompt
from astra_gym.llm.session import LlmSession
from astra_gym.records import JSON, Record
from astra_gym.types import Message, Rejected

R = TypeVar("R", bound=Record)
T = TypeVar("T")
ROUNDS = 3
"""Replies that are put to the test at one stage, the first included."""
_SHOWN = 600


class Unfit(AstraError, ValueError):
    """What is wrong with a reply, in words that its writer may read."""

    def __init__(self, problem: str, *, stage: str | None = None, of_the_case: bool = False) -> None:
        """
        Args:
            stage: where it was found, when not at the reply's own stage.
            of_the_case: whether the words tell of the given case and its answer, so that no other stage may read them.
        """
        super().__init__(problem)
        self.stage, self.of_the_case = stage, of_the_case


class NotAccepted(AstraError, RuntimeError):
    """No reply held, or a check could not run. `rounds` are the objections, oldest first."""

    def __init__(
        self,
        stage: str,
        reason: str,
        *,
        rounds: tuple[str, ...] = (),
        last_reply: JSON = None,
        of_the_case: bool = False,
    ) -> None:
        super().__init__(reason)
        self.stage, self.reason, self.rounds, self.last_reply = stage, reason, rounds, last_reply
        self.of_the_case = of_the_case
        """As the last objection's."""

    def rejected(self, item_id: str, about: str = "") -> Rejected:
        """The item's rejection; `about` says which part of it failed."""
        evidence: dict[str, JSON] = {"rounds": list(self.rounds)} if self.rounds else {}
        if self.last_reply is not None:
            evidence["last_reply"] = shown(self.last_reply)
        where = f"{about}: " if about else ""
        return Rejected(id=item_id, stage=self.stage, reason=f"{where}{self.reason}", evidence=evidence or None)


async def written(
    llm: LlmSession, prompt: Prompt, reply: type[R], *, check: Callable[[R], None] | None = None, sample: int = 0
) -> R:
    """The writer's reply, which `check` (raising Unfit, whose words go back) finds nothing against.

    Raises: NotAccepted; BudgetError and EndpointError, which end the item.
    """
    try:
        return await llm.write(prompt, reply, sample=sample, check=check)
    except ReplyError as error:
        raise NotAccepted(prompt.stage, str(error), last_reply=error.excerpt) from error
    except (RefusedError, RequestError) as error:
        raise NotAccepted(prompt.stage, str(error)) from error


async def accepted(
    llm: LlmSession,
    prompt: Prompt,
    reply: type[R],
    accept: Callable[[R], Awaitable[T]],
    *,
    sample: int = 0,
    rounds: int = ROUNDS,
) -> T:
    """What `accept` makes of the first reply that it does not find unfit.

    Raises: NotAccepted when none of `rounds` replies held; as `written`.
    """
    problems: list[Unfit] = []
    for _ in range(rounds):
        given = await written(llm, prompt, reply, sample=sample)
        try:
            return await accept(given)
        except Unfit as problem:
            problems.append(problem)
            prompt = followed_up(prompt, given, str(problem))
            last = given
    raise NotAccepted(
        problems[-1].stage or prompt.stage,
        str(problems[-1]),
        rounds=tuple(str(problem) for problem in problems),
        last_reply=last.model_dump(mode="json"),
        of_the_case=problems[-1].of_the_case,
    )


def followed_up(prompt: Prompt, given: Record, problem: str) -> Prompt:
    """The conversation so far, the reply that was given, and what is wrong with it."""
    said = json.dumps(given.model_dump(mode="json"), ensure_ascii=False)
    asked = f"That reply cannot be used: {problem}\nReply again, in full, with one JSON object and nothing else."
    more: tuple[Message, ...] = ({"role": "assistant", "content": said}, {"role": "user", "content": asked})
    return replace(prompt, messages=(*prompt.messages, *more))


def first_problem(error: ValidationError) -> str:
    """What a record's own rules say first against a value."""
    return str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")


def shown(value: JSON, limit: int = _SHOWN) -> str:
    """`value` as JSON, cut when it is long: for messages and evidence, which are for reading."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[:limit] + "…"
