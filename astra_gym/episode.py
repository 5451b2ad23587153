"""One episode of one environment record: what each assistant turn does, shows and earns.

Puts parsing (`tool_calls`), execution (`sandbox`), credit (`verifier`) and the number (`reward`) together and keeps the
books. Gymnasium's interface around it is in `env.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gymnasium.error import ResetNeeded

from astra_gym.errors import SandboxError
from astra_gym.records import JSON
from astra_gym.reward import RewardKind, check_reward_options, reward_of_counts
from astra_gym.sandbox import ToolExecutor
from astra_gym.tool_calls import (
    Call,
    MalformedCall,
    Turn,
    parse_turn,
    render_result_texts,
    result_text,
    turn_messages,
)
from astra_gym.types import (
    FaultedResult,
    Message,
    RewardBreakdown,
    StopReason,
    ToolCall,
    ToolEnvSpec,
    ToolError,
    ToolResult,
)
from astra_gym.verifier import EpisodeVerifier

Outcome = tuple[str, float, bool, bool]
"""Observation, reward, terminated, truncated: what `gym.Env.step` returns, without the info."""

_NO_TURN = Turn("", ())


@dataclass(frozen=True, slots=True)
class Rules:
    """How an episode is scored and when it ends. Raises: ValueError for rules that make no sense together."""

    reward: RewardKind
    beta: float
    final_answer_weight: float
    max_turns: int
    stop_when_solved: bool

    def __post_init__(self) -> None:
        if self.max_turns < 1:
            raise ValueError(f"max_turns must be at least 1, found {self.max_turns}")
        if self.stop_when_solved and self.final_answer_weight:
            raise ValueError("stop_when_solved leaves no turn for the final answer that final_answer_weight pays for")
        check_reward_options(self.reward, self.beta, self.final_answer_weight)

    def total(self, breakdown: RewardBreakdown, final_answer_correct: bool | None) -> float:
        """The reward of a trajectory with these counts, in [0, 1]."""
        return reward_of_counts(breakdown, self.reward, self.beta, self.final_answer_weight, final_answer_correct)


class Episode:
    """The books of an episode. `begin` opens them, each `advance` plays a turn."""

    def __init__(self, spec: ToolEnvSpec, rules: Rules) -> None:
        self.spec = spec
        self.rules = rules
        self.executor: ToolExecutor
        """What runs the tools; to be set before `begin`."""
        self.seed: int | None = None
        """None until `begin`."""
        self.actions: list[str] = []
        """What the model wrote so far; with the seed it determines all the rest."""
        self.verifier = EpisodeVerifier(spec)
        """What has been solved, and how the dependencies were used."""
        self.injects = False
        """Whether the executor injects faults, so that the info tells of them even when there are none."""
        self._open_books()

    def begin(self, seed: int) -> None:
        """Start over with fresh tool state. Raises: SandboxError."""
        self.executor.reset(seed)
        self.forget()
        self.seed = seed

    def forget(self) -> None:
        """Close the books: no episode is on until `begin`."""
        self.seed = None
        self.verifier.reset()
        self._open_books()

    def _open_books(self) -> None:
        self.actions = []
        self.stop_reason: StopReason | None = None
        self.calls = 0
        """Calls made, malformed ones included."""
        self.faults: list[dict[str, JSON]] = []
        """Calls that a fault hit: `call` (its number in the episode, from 0), `turn` (from 1), `tool` and `kind`."""
        self.breakdown = self.verifier.breakdown
        self._earned = 0.0
        self.ending: dict[str, Any] = {}
        """What the info says besides once the episode is over."""
        self._turn = _NO_TURN
        self._texts: list[str] = []
        self._first_id = 0

    def advance(self, action: str) -> Outcome:
        """Play one assistant turn. Raises: TypeError when `action` is no str; ResetNeeded when no episode is on."""
        if self.seed is None or self.stop_reason is not None:
            raise ResetNeeded(self._why_reset())
        if not isinstance(action, str):
            found = type(action).__name__
            raise TypeError(f"an action is the assistant's text, found {found}; `from_openai` makes text of a message")
        turn = parse_turn(action)
        self.actions.append(action)
        self._turn = turn
        if not turn.calls:
            return self._answer(turn)
        try:
            results = self._run(turn.calls)
        except SandboxError:
            results = self._run_again(turn.calls)
        return self._book(turn.calls, results)

    def _why_reset(self) -> str:
        ended = f"the episode has ended ({self.stop_reason})" if self.stop_reason else "no episode has begun"
        return f"{self.spec.id}: {ended}; call reset() before step()"

    def _answer(self, turn: Turn) -> Outcome:
        """A turn without calls: the final answer."""
        self._texts = []
        correct = self.spec.answer.matches_text(turn.answer)
        self._end("final_answer", final_answer_correct=correct)
        return "", self._change(correct), True, False

    def _run(self, calls: Sequence[Call]) -> list[ToolResult]:
        """One result a call, in order. Raises: SandboxError."""
        if len(calls) == 1 and isinstance(call := calls[0], ToolCall):
            return [self.executor(call)]
        good = [call for call in calls if isinstance(call, ToolCall)]
        results = iter(self.executor.batch(good) if good else ())
        return [ToolResult(error=call.error) if isinstance(call, MalformedCall) else next(results) for call in calls]

    def _run_again(self, calls: Sequence[Call]) -> list[ToolResult]:
        """After a fault of the sandbox: bring a fresh one to where the episode stands, and try once more."""
        try:
            self.executor.reset(self.seed or 0)
            for action in self.actions[:-1]:
                self._run(parse_turn(action).calls)
            return self._run(calls)
        except SandboxError as error:
            return [ToolResult(error=ToolError("internal_error", f"the sandbox failed: {error}")) for _ in calls]

    def _book(self, calls: Sequence[Call], results: Sequence[ToolResult]) -> Outcome:
        """Enter the results of a turn: show them, credit them, end the episode when it is over."""
        texts = []
        errors: dict[str, str] = {}
        for result in results:
            texts.append(result_text(result))
            if result.error is not None:
                errors[result.error.code] = result.error.message
            if type(result) is FaultedResult:
                self._note_fault(calls[len(texts) - 1], self.calls + len(texts) - 1, result)
        self._texts, self._first_id = texts, self.calls
        observation = render_result_texts(texts)
        if errors and (fault := errors.get("tool_crashed") or errors.get("internal_error")):
            self._end("infrastructure_error", infrastructure_error=fault)
            return observation, 0.0, False, True
        verifier, turn_number = self.verifier, len(self.actions)
        for call, result in zip(calls, results, strict=True):
            verifier.observe(call if isinstance(call, ToolCall) else None, result, turn_number)
        self.calls += len(calls)
        reward = self._change(None)
        if "tool_timeout" in errors:
            self._end("truncated", nondeterministic=True)
        elif self.rules.stop_when_solved and verifier.all_solved:
            self._end("solved")
            return observation, reward, True, False
        elif turn_number >= self.rules.max_turns:
            self._end("max_turns")
        return observation, reward, False, self.stop_reason is not None

    def _note_fault(self, call: Call, number: int, result: FaultedResult) -> None:
        tool = call.name if isinstance(call, ToolCall) else None
        self.faults.append({"call": number, "turn": len(self.actions), "tool": tool, "kind": result.kind})

    def _change(self, final_answer_correct: bool | None) -> float:
        """What the trajectory's reward has changed by since the last turn."""
        self.breakdown = breakdown = self.verifier.breakdown
        before, self._earned = self._earned, self.rules.total(breakdown, final_answer_correct)
        return self._earned - before

    def _end(self, reason: StopReason, *, final_answer_correct: bool = False, **more: Any) -> None:
        self.stop_reason = reason
        self.ending = {"stop_reason": reason, "final_answer_correct": final_answer_correct, **more}

    def messages(self) -> list[Message]:
        """What the last turn added to the conversation; before the first turn, the question."""
        if not self.actions:
            return [{"role": "user", "content": self.spec.question}]
        return turn_messages(self._turn, self._texts, self._first_id)

    def info(self) -> dict[str, Any]:
        """What the last turn added to the conversation, and where the episode stands."""
        verifier, breakdown = self.verifier, self.breakdown
        info = {
            "messages": self.messages(),
            "turn": len(self.actions),
            "calls": self.calls,
            "invalid_calls": verifier.invalid_calls,
            "needed": breakdown.needed,
            "solved": verifier.solved,
            "breakdown": breakdown,
            "edges": verifier.edges,
        }
        if self.injects or self.faults:
            info |= {"faults": len(self.faults), "fault_calls": list(self.faults)}
        return info | self.ending if self.ending else info
