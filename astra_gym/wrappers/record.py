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
from astra_gym.rollout import Recording
from astra_gym.tool_calls import printable
from astra_gym.types import Trajectory


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
        self._recording: Recording | None = None
        self._written = False

    @property
    def trajectory(self) -> Trajectory:
        """The episode so far, "truncated" until it has ended. Raises: ResetNeeded before the first reset."""
        if self._recording is None:
            raise ResetNeeded("no episode to record yet; call reset() first")
        seed = cast("int", cast("ToolEnv", self.unwrapped).episode.seed)
        return self._recording.trajectory(self, seed, notes=self._notes)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begin an episode and its record."""
        self._leave()
        observation, info = self.env.reset(seed=seed, options=options)
        self._recording, self._written = Recording(list(info["messages"]), info), False
        return observation, info

    def step(self, action: str) -> tuple[str, SupportsFloat, bool, bool, dict[str, Any]]:
        """Play a turn and record it."""
        result = self.env.step(action)
        if self._recording is not None:
            self._recording.add(printable(action), *result)
        if result[2] or result[3]:
            self._write()
        return result

    def close(self) -> None:
        """Write what is left, then close the env."""
        self._leave()
        self._recording = None
        super().close()

    def _leave(self) -> None:
        if self._recording is not None and self._recording.actions and not self._written:
            self._write()

    def _write(self) -> None:
        self._written = True
        if self._path is not None:
            line = orjson.dumps(self.trajectory.to_json(), option=orjson.OPT_APPEND_NEWLINE)
            with self._path.open("ab") as file:
                file.write(line)
