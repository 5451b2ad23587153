"""`RecordTrajectory`: what happens in an episode, whoever plays it, kept and written as JSONL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, SupportsFloat, cast

import gymnasium as gym
import orjson
from gymnasium.error import ResetNeeded
from gymnasium.utils import RecordConstructorArgs

from astra_gym.env import ToolEnv
from astra_gym.records import JSON
from astra_gym.tool_calls import printable
from astra_gym.types import Message, Trajectory


class RecordTrajectory(gym.Wrapper[str, str, str, str], RecordConstructorArgs):
    """Keeps what happens in an episode, whoever plays it, and appends each episode to a JSONL file.

    An episode is written when it ends, or as "truncated" when it is left (by `reset` or `close`) after a turn or more.
    Place it outside a `TimeLimit`, so that it sees the truncation.
    """

    def __init__(
        self, env: gym.Env[str, str], path: str | Path | None = None, metadata: Mapping[str, JSON] | None = None
    ) -> None:
        """
        Args:
            path: JSONL file to append to; None keeps the trajectories in memory only, one at a time.
            metadata: put into each trajectory.
        """
        RecordConstructorArgs.__init__(self, path=path, metadata=metadata)
        gym.Wrapper.__init__(self, env)
        if not isinstance(env.unwrapped, ToolEnv):
            raise TypeError(f"RecordTrajectory records a ToolEnv, found {type(env.unwrapped).__name__}")
        self._path = None if path is None else Path(path)
        self._notes = dict(metadata or {})
        self._messages: list[Message] = []
        self._rewards: list[float] = []
        self._actions: list[str] = []
        self._info: dict[str, Any] | None = None
        self._written = False

    @property
    def trajectory(self) -> Trajectory:
        """The episode so far, "truncated" until it has ended. Raises: ResetNeeded before the first reset."""
        if self._info is None:
            raise ResetNeeded("no episode to record yet; call reset() first")
        tool_env, info = cast("ToolEnv", self.unwrapped), self._info
        spec = tool_env.tool_spec
        described = {"domain": spec.domain, "scenario_type": spec.scenario_type, "hops": spec.hops}
        described["distractor_band"] = spec.distractor_band
        kept = ("infrastructure_error", "nondeterministic", "faults", "fault_calls")
        noted = {key: info[key] for key in kept if key in info}
        if tool_env.faults is not None:
            noted["env_kwargs"] = {"faults": tool_env.faults.to_json()}
        return Trajectory(
            env_id=self.spec.id if self.spec else spec.id,
            seed=cast("int", tool_env.episode.seed),
            actions=tuple(self._actions),
            rewards=tuple(self._rewards),
            messages=tuple(dict(message) for message in self._messages),
            tools=tuple(spec.tool_schemas),
            needed=info["breakdown"].needed,
            solved=info["breakdown"].solved,
            calls=info["breakdown"].calls,
            stop_reason=info.get("stop_reason", "truncated"),
            solved_ids=info["solved"],
            edges=info["edges"],
            final_answer_correct=info.get("final_answer_correct"),
            metadata={**described, "invalid_calls": info["invalid_calls"], **noted, **self._notes},
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begin an episode and its record."""
        self._leave()
        observation, info = self.env.reset(seed=seed, options=options)
        self._messages, self._rewards, self._actions = list(info["messages"]), [], []
        self._info, self._written = info, False
        return observation, info

    def step(self, action: str) -> tuple[str, SupportsFloat, bool, bool, dict[str, Any]]:
        """Play a turn and record it."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._messages += info["messages"]
        self._rewards.append(float(reward))
        self._actions.append(printable(action))
        self._info = info
        if terminated or truncated:
            self._write()
        return observation, reward, terminated, truncated, info

    def close(self) -> None:
        """Write what is left, then close the env."""
        self._leave()
        self._info = None
        super().close()

    def _leave(self) -> None:
        if self._actions and not self._written:
            self._write()

    def _write(self) -> None:
        self._written = True
        if self._path is not None:
            line = orjson.dumps(self.trajectory.to_json(), option=orjson.OPT_APPEND_NEWLINE)
            with self._path.open("ab") as file:
                file.write(line)
