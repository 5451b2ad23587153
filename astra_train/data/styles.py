"""How a gold solution is told: the oracle in several styles, each played through the real env.

Each style shows a policy one thing: `sequential` one call a turn; `parallel` all calls that can be made at once;
`fault_recovery` a call that an injected fault hit is made again; `mistake_recovery` a wrong call is mended by what its
error says (the wrong turn is marked, so that nobody learns to make it); `worded_answer` the final answer is a sentence.
A style that a spec gives no occasion for is unfit for it. `oracle_data.py` plays many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Literal, TypeAlias

import orjson

from astra_gym.env import ToolEnv
from astra_gym.models import OracleModel
from astra_gym.rollout import rollout
from astra_gym.sandbox import Isolation
from astra_gym.tool_calls import parse_turn, render_turn
from astra_gym.types import Message, ToolCall, ToolEnvSpec, Trajectory
from astra_gym.wrappers import ToolFaults
from astra_train.data.final_words import in_words
from astra_train.data.mistakes import MISTAKE_KINDS, Mistake, make_mistake

StyleName: TypeAlias = Literal["sequential", "parallel", "fault_recovery", "mistake_recovery", "worded_answer"]
STYLES: tuple[StyleName, ...] = ("sequential", "parallel", "fault_recovery", "mistake_recovery", "worded_answer")
MIXES: Mapping[str, Mapping[StyleName, float]] = {
    "sequential": {"sequential": 1.0},
    "cpu": {"sequential": 0.6, "parallel": 0.2, "mistake_recovery": 0.2},
    "gpu": {
        "sequential": 0.3,
        "parallel": 0.3,
        "fault_recovery": 0.1,
        "mistake_recovery": 0.15,
        "worded_answer": 0.15,
    },
}
"""Weights of the styles in the data of the presets (`paper` takes `gpu`)."""

FAULT_RATE = 0.3
FAULT_SEEDS = 24
"""Seeds that are tried until a fault hits a call."""
PLAIN_FAULTS = ("timeout", "server_error", "rate_limit")
"""Faults that say what they are; a stale or empty result cannot be told from a right one by an oracle."""


class Unfit(Exception):
    """The spec gives no occasion for the style; the text says why. Counted and passed over, it is no error."""


class StyledOracle:
    """The oracle, with one style's way of putting things. A ChatModel."""

    def __init__(self, style: StyleName, rng: Random) -> None:
        self.style = style
        self.name = f"oracle-{style}"
        self.rng = rng
        parallel = style == "parallel" or (style in ("fault_recovery", "worded_answer") and rng.random() < 0.5)
        self._inner = OracleModel(parallel=parallel)
        self._spec: ToolEnvSpec | None = None

    def begin_episode(self, spec: ToolEnvSpec, seed: int) -> None:
        self._inner.begin_episode(spec, seed)
        self._spec = spec
        self.mistake: Mistake | None = None
        self.mistake_turn = self.rng.randrange(len(spec.needed))
        """The turn of the mistake; before it is made, the first that it may be made in."""
        self._repair: str | None = None
        self._turn = -1

    def reply(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> str:
        self._turn += 1
        if self._repair is not None:
            text, self._repair = self._repair, None
            return text
        text = self._inner.reply(messages, tools)
        calls = parse_turn(text).calls
        if not calls:
            return self._final(text)
        due = self.style == "mistake_recovery" and self.mistake is None and self._turn >= self.mistake_turn
        if due and isinstance(calls[0], ToolCall):
            self.mistake = self._make_mistake(calls[0])
            if self.mistake is not None:
                self.mistake_turn, self._repair = self._turn, text
                return render_turn("", [self.mistake.call])
        return text

    def _make_mistake(self, call: ToolCall) -> Mistake | None:
        tools = self._spec.tools if self._spec else ()
        kinds = self.rng.sample(MISTAKE_KINDS, len(MISTAKE_KINDS))
        made = (make_mistake(kind, call, tools, self.rng) for kind in kinds)
        return next((mistake for mistake in made if mistake is not None), None)

    def _final(self, text: str) -> str:
        if self.style != "worded_answer" or self._spec is None:
            return text
        words = in_words(self._spec.answer, self.rng)
        if words is None:
            raise Unfit("no sentence at hand gives the answer so that its check reads it")
        return words


def play(
    spec: ToolEnvSpec,
    style: StyleName,
    *,
    seed: int = 0,
    isolation: Isolation = "auto",
    system_prompt: str | None = None,
) -> Trajectory:
    """Play `spec` in `style`; the metadata holds `style` and, for a mistake, `mistake` and `mistake_turns`.

    Args:
        seed: of the style's choices and of the episode.
        system_prompt: a first message, as the agent loop's option of that name gives it.

    Raises: Unfit when the spec gives no occasion for the style; SandboxError. That the trajectory is as good as it has
        to be is checked by `oracle_data.defect`.
    """
    _check_fits(spec, style)
    with ToolEnv(spec, isolation=isolation, require_certificate=False) as env:
        if style != "fault_recovery":
            return _played(env, style, seed, system_prompt)
        for attempt in range(FAULT_SEEDS):
            env.faults = None
            faulty = ToolFaults(env, rate=FAULT_RATE, kinds=PLAIN_FAULTS, seed=attempt)
            trajectory = _played(faulty, style, seed, system_prompt)
            if trajectory.metadata.get("faults"):
                return trajectory
    raise Unfit(f"no fault hit a call under {FAULT_SEEDS} seeds")


def _played(env: Any, style: StyleName, seed: int, system_prompt: str | None) -> Trajectory:
    spec = env.unwrapped.tool_spec
    oracle = StyledOracle(style, Random(f"{seed}|{style}|{spec.id}"))
    trajectory = rollout(env, oracle, seed=seed, system_prompt=system_prompt, strict=True)
    notes: dict[str, Any] = {"style": style, "mistake_turns": []}
    if style == "mistake_recovery":
        notes |= _checked_mistake(oracle, trajectory)
    return trajectory.model_copy(update={"metadata": {**trajectory.metadata, **notes}})


def _checked_mistake(oracle: StyledOracle, trajectory: Trajectory) -> dict[str, Any]:
    mistake, turn = oracle.mistake, oracle.mistake_turn
    if mistake is None:
        raise Unfit("no call can go wrong in a way that an error explains")
    results = [message for message in trajectory.messages if message["role"] == "tool"]
    body = orjson.loads(results[turn]["content"])
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or not mistake.is_explained_by(error["code"], error["message"]):
        raise Unfit(f"the error does not explain the mistake ({mistake.kind})")
    return {"mistake": mistake.kind, "mistake_turns": [turn]}


def _check_fits(spec: ToolEnvSpec, style: StyleName) -> None:
    depth: dict[str, int] = {}
    for sub in spec.topological:
        above = max((depth[up] for up in sub.depends_on), default=0)
        depth[sub.id] = above + (sub.call is not None)
    needed, turns = len(spec.needed), max(depth.values())
    if style == "parallel" and turns == needed:
        raise Unfit("no two calls can be made at once")
    turns = turns if style == "parallel" else needed
    turns += 1 + (style == "mistake_recovery")
    if turns > spec.max_turns:
        raise Unfit(f"takes {turns} turns and the env allows {spec.max_turns}")
