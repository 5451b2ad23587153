"""A session that answers from a table instead of from a model: by stage, by words of the question, by attempt."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from astra_gym.llm.errors import LlmError, ReplyError
from astra_gym.llm.prompts import Prompt
from astra_gym.llm.structured import UnfitReplyError, parse_reply

REASKS = 2


@dataclass(frozen=True)
class Said:
    """One reply with what asks for it; of several that fit the last one is given."""

    stage: str
    reply: dict[str, Any] | str | LlmError
    """An object, the message as it is, or what the session raises."""
    about: str | tuple[str, ...] = ()
    """What must stand in the first user message, all of it."""
    attempt: int | None = None
    """How many assistant messages there are before it; None: any."""
    judge: int | None = None
    """Which judge says it; None: any, and the writer."""

    def fits(self, prompt: Prompt, judge: int | None) -> bool:
        opening = next(m["content"] or "" for m in prompt.messages if m["role"] == "user")
        attempt = sum(m["role"] == "assistant" for m in prompt.messages)
        about = (self.about,) if isinstance(self.about, str) else self.about
        return (
            self.stage == prompt.stage
            and all(words in opening for words in about)
            and self.attempt in (None, attempt)
            and self.judge in (None, judge)
        )


@dataclass
class ScriptedSession:
    """Answers like `astra_gym.llm.session.LlmSession`, re-asks included."""

    replies: list[Said]
    judges: int = 1
    asked: list[Prompt] = field(default_factory=list)
    """Every request, in order."""

    async def write(self, prompt: Prompt, reply: Any, *, sample: int = 0, check: Any = None) -> Any:
        del sample
        return self._ask(prompt, reply, check)

    async def judge(self, prompt: Prompt, reply: Any, *, check: Any = None) -> list[Any]:
        answers = []
        for judge in range(self.judges):
            try:
                answers.append(self._ask(prompt, reply, check, judge))
            except LlmError as error:
                answers.append(error)
        return answers

    def _ask(self, prompt: Prompt, reply: Any, check: Any, judge: int | None = None) -> Any:
        messages = prompt.messages
        for _ in range(REASKS + 1):
            asked = Prompt(prompt.stage, messages, prompt.template_hash)
            self.asked.append(asked)
            content = self._answer(asked, judge)
            try:
                return parse_reply(content, reply, check)
            except UnfitReplyError as error:
                problem = str(error)
                said = {"role": "assistant", "content": content}, {"role": "user", "content": problem}
                messages = (*messages, *said)
        raise ReplyError(f"no usable reply to stage {prompt.stage!r}: {problem}", excerpt=content[:100])

    def told(self, stage: str) -> str:
        """Everything that was said to the model at a stage, its own words and the system's part left out."""
        prompts = (prompt for prompt in self.asked if prompt.stage == stage)
        return "\n".join(m["content"] or "" for p in prompts for m in p.messages if m["role"] == "user")

    def count(self, stage: str) -> int:
        return sum(prompt.stage == stage for prompt in self.asked)

    def _answer(self, prompt: Prompt, judge: int | None) -> str:
        for said in reversed(self.replies):
            if said.fits(prompt, judge):
                if isinstance(said.reply, LlmError):
                    raise said.reply
                return said.reply if isinstance(said.reply, str) else json.dumps(said.reply, ensure_ascii=False)
        raise AssertionError(f"nothing to say to {prompt.stage!r}: {prompt.messages[1:]}")
