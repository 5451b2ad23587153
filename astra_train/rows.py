"""A row of RL data -> the env that it names: the one place that reads `extra_info`, for training and for the checks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

import gymnasium as gym
import orjson

import astra_gym


def row_options(extra_info: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `ToolEnv` that a row asks for. Raises: ValueError when its `env_kwargs` is no JSON object."""
    text = extra_info.get("env_kwargs") or "{}"
    try:
        options = orjson.loads(text)
    except (orjson.JSONDecodeError, TypeError) as error:
        raise ValueError(f"env_kwargs must be a JSON object, found {text!r}: {error}") from None
    if not isinstance(options, dict):
        raise ValueError(f"env_kwargs must be a JSON object, found {text!r}")
    faults = extra_info.get("faults")
    return {**options, "faults": faults} if faults else options


def make_env(extra_info: Mapping[str, Any], env_kwargs: Mapping[str, Any]) -> gym.Env[str, str]:
    """The env of a row; its suite is registered in this process when it is first met.

    Args:
        env_kwargs: options for every row; the row's own win.

    Raises: SuiteError when the suite is not there; gymnasium's UnregisteredEnv when it has no such env; ValueError and
        FaultOptionsError for the options.
    """
    if suite := str(extra_info.get("suite") or ""):
        _register(suite, str(extra_info.get("namespace") or ""))
    options = {**env_kwargs, **row_options(extra_info)}
    return cast("gym.Env[str, str]", gym.make(str(extra_info["env_id"]), **options))


@lru_cache(maxsize=64)
def _register(suite: str, namespace: str) -> None:
    astra_gym.register_suite(suite, namespace)
