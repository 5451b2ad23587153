"""ASTRA Gym: verifiable tool-use environments, played through `gymnasium.make`.

    import astra_gym, gymnasium
    env = gymnasium.make("astra/<name>-v0")                   # importing astra_gym registers the shipped suite
    question, info = env.reset(seed=0)
    text, reward, terminated, truncated, info = env.step('<tool_call>{"name": ..., "arguments": {...}}</tool_call>')

    astra_gym.register_suite("my_suite.jsonl", "mine")        # then gymnasium.make("mine/<name>-v0")
    astra_gym.rollout(env, astra_gym.OracleModel(), seed=0)   # -> Trajectory

What stands in `__all__` is public; the rest may change. Most of it is imported when first used, so that importing
this package stays quick and needs no extra.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from astra_gym.registration import (
    make,
    nearest_ids,
    register_shipped,
    register_suite,
    shipped_ids,
    unregister_suite,
)
from astra_gym.rollout import read_trajectories, replay, rollout, write_trajectories

if TYPE_CHECKING:
    from astra_gym.answers import Answer
    from astra_gym.env import ToolEnv
    from astra_gym.models import ChatModel, HumanModel, OpenAIModel, OracleModel, RandomModel, ScriptedModel
    from astra_gym.models import resolve_model as resolve_model
    from astra_gym.spaces import ToolCallSpace, UnicodeText
    from astra_gym.suite import Suite, SuiteWriter, open_suite, write_suite
    from astra_gym.summary import Summary, summarize
    from astra_gym.types import Decomposition, ToolEnvSpec, Trajectory
    from astra_gym.vector import ToolVectorEnv

__all__ = [
    "Answer",
    "ChatModel",
    "Decomposition",
    "HumanModel",
    "OpenAIModel",
    "OracleModel",
    "RandomModel",
    "ScriptedModel",
    "Suite",
    "SuiteWriter",
    "Summary",
    "ToolCallSpace",
    "ToolEnv",
    "ToolEnvSpec",
    "ToolVectorEnv",
    "Trajectory",
    "UnicodeText",
    "make",
    "nearest_ids",
    "open_suite",
    "read_trajectories",
    "register_shipped",
    "register_suite",
    "replay",
    "resolve_model",
    "rollout",
    "shipped_ids",
    "summarize",
    "unregister_suite",
    "write_suite",
    "write_trajectories",
]

_HOME = {
    "answers": ["Answer"],
    "env": ["ToolEnv"],
    "models": [
        "ChatModel",
        "HumanModel",
        "OpenAIModel",
        "OracleModel",
        "RandomModel",
        "ScriptedModel",
        "resolve_model",
    ],
    "spaces": ["ToolCallSpace", "UnicodeText"],
    "suite": ["Suite", "SuiteWriter", "open_suite", "write_suite"],
    "summary": ["Summary", "summarize"],
    "types": ["Decomposition", "ToolEnvSpec", "Trajectory"],
    "vector": ["ToolVectorEnv"],
}
"""Where the names that are imported on first use stand."""


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register_shipped()
