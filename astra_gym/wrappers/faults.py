"""`ToolFaults`: tool calls that fail although the tool works, seeded, at a set rate.

The wrapper only sets `ToolEnv.faults`; what is hit and how is decided in `fault_injection.py`. So the faults are part
of the env itself: copies, pickles, states and replays have them, and `gymnasium.make(env_id, faults=...)` does the
same without a wrapper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from astra_gym.env import ToolEnv
from astra_gym.fault_injection import FAULT_KINDS, FaultOptions, FaultOptionsError, Faults


class ToolFaults(gym.Wrapper[str, str, str, str], RecordConstructorArgs):
    """Makes some calls of a `ToolEnv` fail. `info` tells which (`faults`, `fault_calls`), and trajectories keep it."""

    def __init__(
        self,
        env: gym.Env[str, str],
        rate: float = 0.2,
        kinds: Sequence[str] = FAULT_KINDS,
        recoverable: bool = True,
        seed: int | None = None,
        max_per_call: int = 1,
    ) -> None:
        """
        Args:
            rate: share of the calls that are hit; the paper's is 0.2.
            kinds: some of "timeout", "server_error", "rate_limit" (errors that say so), "stale" (the last result of the
                same tool) and "empty" (nothing, without a word).
            recoverable: whether the same call succeeds when it is made again.
            seed: hits other calls of the same episodes.
            max_per_call: how many times at most one call is hit in an episode.

        Raises: FaultOptionsError for the options, or when the env has faults already; TypeError for another env.
        """
        options: dict[str, Any] = {"rate": rate, "kinds": list(kinds), "recoverable": recoverable, "seed": seed}
        options["max_per_call"] = max_per_call
        RecordConstructorArgs.__init__(self, **options)
        gym.Wrapper.__init__(self, env)
        tool_env = env.unwrapped
        if not isinstance(tool_env, ToolEnv):
            raise TypeError(f"ToolFaults needs a ToolEnv, found {type(tool_env).__name__}")
        if tool_env.faults is not None:
            raise FaultOptionsError(f"{tool_env.tool_spec.id}: has faults already ({tool_env.faults!r}); set them once")
        tool_env.faults = options

    @property
    def faults(self) -> Faults:
        """What is injected."""
        return cast("Faults", cast("ToolEnv", self.unwrapped).faults)


def make_faulty(env: gym.Env[str, str], options: FaultOptions) -> gym.Env[str, str]:
    """`env` in a `ToolFaults` with these options, or `env` itself when they ask for none (None or "").

    Args:
        options: a rate, a mapping of `ToolFaults`' options, the same as JSON text, or "paper".
    """
    faults = Faults.of(options)
    return env if faults is None else ToolFaults(env, **faults.to_json())
