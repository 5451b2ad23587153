"""`astra calibrate` without a model: judges whose mistakes were authored by hand, behind a real endpoint.

The labelled set is put to judges that go by rule; what they say becomes the replies of a server that speaks the OpenAI
protocol, and `examples/authored_calibration/mistakes.json` puts wrong verdicts in the place of some. The command is
then run as a user would run it, with one sample of each judgement and with three, of which a majority decides.

python examples/calibrate_authored.py
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from astra_gym.cli import app
from astra_gym.cli.output import console
from astra_gym.env_synthesis.llm.calibration import Flaw, Labelled, RuleJudge, labelled_set, measure, table_envs
from astra_gym.env_synthesis.llm.judging import JudgePrompt
from astra_gym.env_synthesis.llm.replies import Stage
from astra_gym.errors import SpecError
from astra_gym.llm.authored import AuthoredServer
from astra_gym.llm.authored_topics import AuthoredReply
from astra_gym.llm.errors import LlmError
from astra_gym.llm.prompts import Prompt
from astra_gym.llm.structured import Check, R
from astra_gym.records import JSON, Record

MISTAKES = Path(__file__).resolve().parent / "authored_calibration" / "mistakes.json"


class Mistake(Record):
    """A wrong verdict on one decomposition of the labelled set."""

    what: str
    """What the judge gets wrong."""
    env: str
    flaw: Flaw | None
    """None: on the sound decomposition, which the judge takes for broken."""
    stage: Stage
    id: str | None = None
    """The step that is asked about, in stage `dependency`."""
    seed: int | None = None
    """The one sample that makes the mistake; None: all do."""
    reply: dict[str, JSON] | None = None
    text: str | None = None
    """In place of `reply`: what is said instead of a verdict."""

    @property
    def check(self) -> str:
        """The check that it misleads."""
        return "final_answer" if self.stage == "entailment" else self.stage


class Mistakes(Record):
    about: str
    """Who wrote them and for what."""
    mistakes: tuple[Mistake, ...]


@dataclass(frozen=True)
class Noting:
    """A judge by rule that notes what it is asked and what it says."""

    one: Labelled
    notes: list[tuple[Labelled, JudgePrompt, Record]] = field(repr=False)

    async def judge(self, prompt: Prompt, reply: type[R], *, check: Check[R] | None = None) -> list[R | LlmError]:
        answers = await RuleJudge(self.one.truth).judge(prompt, reply, check=check)
        assert isinstance(prompt, JudgePrompt)
        self.notes.extend((self.one, prompt, answer) for answer in answers if isinstance(answer, Record))
        return answers


def read_mistakes(path: Path = MISTAKES) -> tuple[Mistake, ...]:
    """Raises: SpecError when the file is not of that form."""
    try:
        return Mistakes.model_validate_json(path.read_bytes()).mistakes
    except ValidationError as error:
        raise SpecError(f"{path}: {error}") from error


def authored_replies(mistakes: tuple[Mistake, ...]) -> list[AuthoredReply]:
    """What the judges reply to every question of `astra calibrate`: right by rule, but for `mistakes`.

    Raises: SpecError when a mistake is about a question that nobody asks.
    """
    notes: list[tuple[Labelled, JudgePrompt, Record]] = []
    asyncio.run(measure(labelled_set(table_envs()), lambda one: Noting(one, notes)))
    right = [_reply(prompt, reply=answer.model_dump(mode="json")) for _, prompt, answer in notes]
    asked = {(one.truth.id, one.flaw, prompt.stage, prompt.facts.get("id")): prompt for one, prompt, _ in notes}
    wrong = []
    for mistake in mistakes:
        prompt = asked.get((mistake.env, mistake.flaw, mistake.stage, mistake.id))
        if prompt is None:
            raise SpecError(f"{MISTAKES}: nobody asks for {mistake.stage} of {mistake.env} ({mistake.flaw or 'sound'})")
        wrong.append(_reply(prompt, reply=mistake.reply, text=mistake.text, seed=mistake.seed))
    # A draft without its last step reads as the beginning of the whole one: the longest question that fits is meant.
    return sorted(right + wrong, key=lambda reply: len(reply.match[0]))


def _reply(
    prompt: JudgePrompt, *, reply: dict[str, JSON] | None, text: str | None = None, seed: int | None = None
) -> AuthoredReply:
    """A reply to this very question; of several that fit, the server gives the last."""
    opening = str(prompt.messages[1]["content"])
    return AuthoredReply(stage=prompt.stage, match=(opening,), reply=reply, text=text, seed=seed)


def main() -> None:
    os.environ.setdefault("OPENAI_API_KEY", "none needed")
    mistakes = read_mistakes()
    with AuthoredServer(authored_replies(mistakes)) as server:
        for samples in ("1", "3"):
            words = ["calibrate", "--model", "authored", "--base-url", server.base_url, "--judge-samples", samples]
            console.print(f"\n$ astra {' '.join(words)}", markup=False, soft_wrap=True)
            app(words, standalone_mode=False)
    once = sum(mistake.seed is not None for mistake in mistakes)
    console.print(f"\n{len(mistakes)} mistakes were authored, {once} of them in the first sample only")


if __name__ == "__main__":
    main()
