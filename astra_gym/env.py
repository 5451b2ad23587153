"""ToolEnv: one environment record, played as a Gymnasium env.

The action is what the model wrote, the observation what it reads next; an episode is a pure function of the record, the
seed and the actions. What a turn does and earns is decided in `episode.py`; this module is Gymnasium's interface to it:
seeds, spaces, rendering, and copies by replay.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
from gymnasium.error import ClosedEnvironmentError

from astra_gym.episode import Episode, Outcome, Rules
from astra_gym.errors import SandboxError
from astra_gym.fault_injection import FaultOptions, Faults, FaultyExecutor
from astra_gym.records import JSON
from astra_gym.reward import RewardKind
from astra_gym.sandbox import Isolation, Program, ToolExecutor, make_executor
from astra_gym.spaces import ToolCallSpace, UnicodeText
from astra_gym.spec_loading import load_spec
from astra_gym.tool_calls import MAX_OBSERVATION_CHARS
from astra_gym.types import ToolEnvSpec


class ToolEnv(gym.Env[str, str]):
    """A question, tools to answer it with, and a reward for each sub-question that a call answers.

    Each step takes one assistant turn. With tool calls, they run in order and the observation holds their results;
    without, the text is the final answer and ends the episode. The reward of a step is the change of the trajectory's
    reward, so their sum is the trajectory's reward wherever the episode is cut.

    `info` of reset and step: `messages` that this step added (OpenAI form), `turn`, `calls` and `invalid_calls` so far,
    `needed`, `solved` (ids), `breakdown`, `edges`; at the end `stop_reason` and `final_answer_correct`;
    `infrastructure_error` (a text) or `nondeterministic` when a trainer should leave the sample out. With injected
    faults also `faults` (calls hit so far) and `fault_calls` (`call`, `turn`, `tool` and `kind` of each).
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi", "human"], "render_fps": 1}  # type: ignore[misc]

    def __init__(
        self,
        spec: ToolEnvSpec | Mapping[str, Any] | str | Path,
        *,
        isolation: Isolation = "auto",
        reward: RewardKind = "f1",
        beta: float = 1.0,
        final_answer_weight: float = 0.0,
        max_turns: int | None = None,
        stop_when_solved: bool = False,
        faults: FaultOptions = None,
        render_mode: str | None = None,
        require_certificate: bool = True,
    ) -> None:
        """Make the env; the sandbox starts with the first `reset`.

        Args:
            spec: the record, a mapping with its fields, or the path of a JSON file that holds one.
            isolation: where tools run; "auto" is in process for source vetted on this machine, else a worker process.
            reward: what the calls earn: "f1" (F-beta with `beta`), "recall" or "precision".
            final_answer_weight: share of the reward, in [0, 1], that a correct final answer earns.
            max_turns: turns before truncation; default: what the record says.
            stop_when_solved: end the episode once every sub-question is solved, without a final answer.
            faults: tool calls that fail although the tool works (`fault_injection.Faults`): a rate, a mapping of its
                fields, the same as JSON text, or "paper" for the paper's 20 %.
            render_mode: "ansi" (`render` returns the transcript) or "human" (it is printed as it grows).
            require_certificate: refuse a record that is not certified.

        Raises: SpecError or CertificateError for the record; ValueError for the options.
        """
        self.tool_spec = load_spec(spec, require_certificate=require_certificate)
        max_turns = self.tool_spec.max_turns if max_turns is None else max_turns
        self._rules = Rules(reward, beta, final_answer_weight, max_turns, stop_when_solved)
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(
                f"render_mode must be one of {self.metadata['render_modes']} or None, found {render_mode!r}"
            )
        self.render_mode = render_mode
        self._isolation: Isolation = isolation
        self._faults = Faults.of(faults)
        self._started = self._closed = False
        self._replaying = False
        self._open_record()

    def _open_record(self) -> None:
        """Spaces and books for `tool_spec`; no episode is on."""
        spec = self.tool_spec
        self.action_space: ToolCallSpace = ToolCallSpace(spec.tools)
        self.observation_space: UnicodeText = UnicodeText(max(MAX_OBSERVATION_CHARS, len(spec.question)))
        self.episode = Episode(spec, self._rules)
        self.episode.injects = self._faults is not None
        self._transcript: list[str] = []

    def set_spec(self, spec: ToolEnvSpec, *, require_certificate: bool = True) -> None:
        """Play another record with the same options from the next `reset` on, as a wrapper that changes tools does.

        Raises: CertificateError.
        """
        self._check_open()
        self.tool_spec = load_spec(spec, require_certificate=require_certificate)
        self._stop()
        self._open_record()

    @property
    def executor(self) -> ToolExecutor:
        """What runs the tools; may be replaced by one that wraps it. A copy of the env starts with its own.

        What a copy has to keep must be an option of the env, as `faults` is.
        """
        if not self._started:
            self._check_open()
            program = Program.from_spec(self.tool_spec)
            executor = make_executor(program, self._isolation)
            self.executor = executor if self._faults is None else FaultyExecutor(executor, program, self._faults)
        return self.episode.executor

    @executor.setter
    def executor(self, executor: ToolExecutor) -> None:
        self.episode.executor = executor
        self._started = True

    @property
    def faults(self) -> Faults | None:
        """The faults that are injected. Setting them ends the episode that is on; they are kept by copies."""
        return self._faults

    @faults.setter
    def faults(self, options: FaultOptions) -> None:
        self._faults = Faults.of(options)
        self.episode.injects = self._faults is not None
        self.episode.forget()
        self._stop()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begin an episode; the observation is the question.

        Args:
            seed: what the tools' randomness depends on; None draws one from `np_random`.
            options: there are none.

        Raises: SandboxError when the tools cannot be started.
        """
        self._check_open()
        if options:
            raise ValueError(f"{self.tool_spec.id}: reset takes no options, found {sorted(options)}")
        super().reset(seed=seed)
        self._begin(int(self.np_random.integers(2**31)) if seed is None else int(seed))
        return self.tool_spec.question, self.episode.info()

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Play one assistant turn: text with any number of `<tool_call>` blocks, or the final answer.

        Whatever the text holds, this does not raise: a mistake in a call is answered by an error in the observation.
        Raises: TypeError when `action` is not text; gymnasium's ResetNeeded or ClosedEnvironmentError out of order.
        """
        observation, reward, terminated, truncated = self.advance(action)
        return observation, reward, terminated, truncated, self.episode.info()

    def advance(self, action: str) -> Outcome:
        """`step` without its info, for loops that read the books only now and then."""
        if self._closed:
            self._check_open()
        outcome = self.episode.advance(action)
        if self.render_mode is not None:
            self._show(f"[assistant] {action}", outcome[0])
        return outcome

    def _begin(self, seed: int) -> None:
        _ = self.executor
        self.episode.begin(seed)
        self._transcript = []
        if self.render_mode is not None:
            self._show(f"[user] {self.tool_spec.question}")

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedEnvironmentError(f"{self.tool_spec.id} is closed; make it again")

    def _show(self, *texts: str) -> None:
        shown = [text for text in texts if text]
        self._transcript += shown
        if self.render_mode == "human" and not self._replaying:
            sys.stdout.write("".join(f"{text}\n" for text in shown))

    def render(self) -> str | None:
        """The transcript so far when the render mode is "ansi"."""
        return "\n".join(self._transcript) if self.render_mode == "ansi" else None

    def close(self) -> None:
        """Stop the sandbox. May be called again."""
        self._closed = True
        self._stop()

    def _stop(self) -> None:
        """Let the executor go; the next `reset` starts another."""
        if self._started:
            self._started = False
            self.episode.executor.close()

    def get_state(self) -> dict[str, JSON]:
        """The episode as JSON data: `set_state` on an env of the same record replays it, byte for byte."""
        generator = self._np_random.bit_generator.state if self._np_random is not None else None
        return {
            "env_id": self.tool_spec.id,
            "seed": self.episode.seed,
            "actions": list(self.episode.actions),
            "faults": None if self._faults is None else self._faults.to_json(),
            "np_random": json.dumps(generator),
            "np_random_seed": self._np_random_seed,
        }

    def set_state(self, state: Mapping[str, JSON]) -> None:
        """Bring the env to where another one was, by playing its actions again.

        Raises: ValueError for a state of another env or of other faults; SandboxError when a tool cannot be run here.
        """
        self._check_open()
        if state["env_id"] != self.tool_spec.id:
            raise ValueError(f"expected a state of {self.tool_spec.id!r}, found one of {state['env_id']!r}")
        if Faults.of(state.get("faults")) != self._faults:
            found = state.get("faults")
            raise ValueError(f"{self.tool_spec.id}: expected a state with the faults {self._faults!r}, found {found!r}")
        generator = json.loads(state["np_random"])
        if generator is not None:
            super().reset(seed=0)
            self.np_random.bit_generator.state = generator
        self._np_random_seed = state["np_random_seed"]
        if state["seed"] is None:
            self.episode.forget()
            return
        self._replaying = True
        try:
            self._begin(state["seed"])
            for action in state["actions"]:
                self.advance(action)
        finally:
            self._replaying = False
        if fault := self.episode.ending.get("infrastructure_error"):
            raise SandboxError(f"{self.tool_spec.id}: the episode could not be replayed: {fault}")

    def __getstate__(self) -> dict[str, Any]:
        return {
            "tool_spec": self.tool_spec,
            "options": {
                "isolation": self._isolation,
                "reward": self._rules.reward,
                "beta": self._rules.beta,
                "final_answer_weight": self._rules.final_answer_weight,
                "max_turns": self._rules.max_turns,
                "stop_when_solved": self._rules.stop_when_solved,
                "faults": self._faults,
                "render_mode": self.render_mode,
                "require_certificate": False,
            },
            "spec": self.spec,
            "spaces": (self.action_space, self.observation_space),
            "closed": self._closed,
            "episode": self.get_state(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        ToolEnv.__init__(self, state["tool_spec"], **state["options"])
        self.spec = state["spec"]
        self.action_space, self.observation_space = state["spaces"]
        if not state["closed"]:
            self.set_state(state["episode"])
        self._closed = state["closed"]
