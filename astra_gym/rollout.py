"""One episode: `rollout` plays it, `replay` plays it again and compares; trajectories as JSONL.

The loop only carries text between a model and an env; what a call earns is decided in `env.py`. The types are imported
where they are used because this module is part of `import astra_gym`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import gymnasium as gym
import orjson

from astra_gym.errors import AstraError, ModelError, SuiteError, UnknownEnvError

if TYPE_CHECKING:
    from astra_gym.env import ToolEnv
    from astra_gym.models import ChatModel
    from astra_gym.records import JSON
    from astra_gym.types import Message, StopReason, Trajectory

SCORING_OPTIONS = (
    "reward",
    "beta",
    "final_answer_weight",
    "max_turns",
    "stop_when_solved",
    "faults",
    "require_certificate",
)
"""Options of `ToolEnv` that an episode depends on: recorded in `metadata["env_kwargs"]` for `replay`."""

NOTED = ("infrastructure_error", "nondeterministic", "faults", "fault_calls")
"""Entries of the last info that go into the metadata when they are there."""


class TrajectoryError(AstraError, ValueError):
    """A trajectory file is damaged, or a trajectory does not come out again as it was recorded."""


def rollout(
    env: gym.Env[str, str],
    model: ChatModel,
    *,
    seed: int = 0,
    max_steps: int | None = None,
    system_prompt: str | None = None,
    strict: bool = False,
) -> Trajectory:
    """Play one episode of a `ToolEnv`, bare or inside Gymnasium wrappers.

    Args:
        max_steps: stop after so many turns ("truncated"); the limits of the env and its wrappers hold besides.
        system_prompt: a first message for the model; the env does not see it.
        strict: raise the `ModelError` of a model that does not answer. Otherwise the episode ends there with the stop
            reason "model_error", the message in `metadata["error"]` and what was earned so far.
    """
    from astra_gym.tool_calls import printable

    tool_env = cast("ToolEnv", env.unwrapped)
    spec, tools = tool_env.tool_spec, tool_env.tool_spec.tool_schemas
    _, info = env.reset(seed=seed)
    system: list[Message] = [{"role": "system", "content": system_prompt}] if system_prompt is not None else []
    recording = Recording([*system, *info["messages"]], info)
    model.begin_episode(spec, seed)
    while not recording.stop_reason and (max_steps is None or len(recording.actions) < max_steps):
        try:
            action = printable(model.reply(recording.messages, tools))
        except ModelError as error:
            if strict:
                raise
            recording.stop_reason, recording.error = "model_error", str(error)
        else:
            recording.add(action, *env.step(action))
    return recording.trajectory(env, seed, model=model.name, usage=getattr(model, "usage", None))


@dataclass(slots=True)
class Recording:
    """What has happened so far in an episode, whoever plays it; `trajectory` makes the record of it."""

    messages: list[Message]
    info: dict[str, Any]
    actions: list[str] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    stop_reason: StopReason | None = None
    error: str | None = None

    def add(
        self, action: str, _observation: str, reward: Any, terminated: bool, truncated: bool, info: dict[str, Any]
    ) -> None:
        """Take in an action and what `step` gave for it."""
        self.info = info
        self.messages.extend(info["messages"])
        self.actions.append(action)
        self.rewards.append(float(reward))
        if terminated or truncated:  # a wrapper that truncates, such as TimeLimit, gives no reason
            self.stop_reason = info.get("stop_reason") or "truncated"

    def trajectory(
        self,
        env: gym.Env[str, str],
        seed: int,
        *,
        model: str | None = None,
        usage: Mapping[str, JSON] | None = None,
        notes: Mapping[str, JSON] | None = None,
    ) -> Trajectory:
        """The record, "truncated" while the episode is on; `notes` are put into its metadata."""
        from astra_gym.types import Trajectory

        spec, info = cast("ToolEnv", env.unwrapped).tool_spec, self.info
        metadata: dict[str, JSON] = {
            "domain": spec.domain,
            "scenario_type": spec.scenario_type,
            "hops": spec.hops,
            "distractor_band": spec.distractor_band,
            "invalid_calls": info["invalid_calls"],
        }
        if options := scoring_options(env):
            metadata["env_kwargs"] = options
        if self.error is not None:
            metadata["error"] = self.error
        metadata |= {key: info[key] for key in NOTED if key in info}
        if usage:
            metadata["usage"] = dict(usage)
        metadata |= notes or {}
        return Trajectory(
            env_id=env.spec.id if env.spec else spec.id,
            seed=seed,
            actions=tuple(self.actions),
            rewards=tuple(self.rewards),
            messages=tuple(dict(message) for message in self.messages),
            tools=tuple(spec.tool_schemas),
            needed=info["breakdown"].needed,
            solved=info["breakdown"].solved,
            calls=info["breakdown"].calls,
            stop_reason=self.stop_reason or "truncated",
            solved_ids=tuple(info["solved"]),
            edges=info["edges"],
            final_answer_correct=info.get("final_answer_correct"),
            model=model,
            metadata=metadata,
        )


def scoring_options(env: gym.Env[str, str]) -> dict[str, JSON]:
    """The options that the env was made with by `gymnasium.make` and that an episode depends on; injected faults,
    whether an option or the wrapper `ToolFaults` put them there."""
    kwargs = env.unwrapped.spec.kwargs if env.unwrapped.spec else {}
    options = {name: kwargs[name] for name in SCORING_OPTIONS if name in kwargs}
    faults = cast("ToolEnv", env.unwrapped).faults
    return options if faults is None else options | {"faults": faults.to_json()}


def replay(trajectory: Trajectory, env: gym.Env[str, str] | None = None) -> Trajectory:
    """Play the recorded actions again and compare every message, reward and count, byte for byte.

    Args:
        env: where to play; default: made from the recorded id and options. Give the env yourself when it was in a
            wrapper that changes what the model sees or earns.

    Returns: the trajectory as it came out, equal to the one given.
    Raises: TrajectoryError at the first difference; UnknownEnvError when nothing of that id is registered.
    """
    from astra_gym.models import ScriptedModel

    if env is None:
        made = _make(trajectory)
        try:
            return replay(trajectory, made)
        finally:
            made.close()
    first = trajectory.messages[0] if trajectory.messages else {}
    system_prompt = first.get("content") if first.get("role") == "system" else None
    model = ScriptedModel(*trajectory.actions)
    again = rollout(env, model, seed=trajectory.seed, max_steps=len(trajectory.actions), system_prompt=system_prompt)
    ended_from_outside = trajectory.stop_reason in ("truncated", "model_error") and again.stop_reason == "truncated"
    again = again.model_copy(
        update={
            "env_id": trajectory.env_id,
            "model": trajectory.model,
            "metadata": trajectory.metadata,
            "stop_reason": trajectory.stop_reason if ended_from_outside else again.stop_reason,
        }
    )
    if difference := first_difference(trajectory, again):
        raise TrajectoryError(f"{trajectory.env_id} seed {trajectory.seed} does not replay: {difference}")
    return again


def _make(trajectory: Trajectory) -> gym.Env[str, str]:
    try:
        return cast("gym.Env[str, str]", gym.make(trajectory.env_id, **trajectory.metadata.get("env_kwargs", {})))
    except gym.error.UnregisteredEnv as error:
        hint = "register its suite under the same namespace, or pass the env"
        raise UnknownEnvError(f"{trajectory.env_id!r} cannot be made ({error}); {hint}") from None


def first_difference(recorded: Trajectory, again: Trajectory) -> str | None:
    """Where two trajectories part: the message, the step or the field, what was recorded and what came now."""
    steps: tuple[tuple[str, Sequence[JSON], Sequence[JSON]], ...] = (
        ("message", recorded.messages, again.messages),
        ("reward of step", recorded.rewards, again.rewards),
    )
    for what, old, new in steps:
        for number, (a, b) in enumerate(zip(old, new, strict=False)):
            if (difference := _parted(a, b)) is not None:
                return f"{what} {number}: {difference}"
        if len(old) != len(new):
            return f"{what} {min(len(old), len(new))}: recorded {len(old)} in all, now {len(new)}"
    before, after = recorded.model_dump(mode="json"), again.model_dump(mode="json")
    return next((f"{key}: {d}" for key in before if (d := _parted(before[key], after[key])) is not None), None)


def _parted(recorded: JSON, again: JSON) -> str | None:
    old, new = orjson.dumps(recorded).decode(), orjson.dumps(again).decode()
    if old == new:
        return None
    same = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    start = max(0, same - 40)
    return f"recorded {old[start : start + 120]!r}, now {new[start : start + 120]!r} (from character {start})"


def write_trajectories(path: str | Path, trajectories: Iterable[Trajectory], *, append: bool = False) -> int:
    """Write trajectories, one JSON object a line; returns how many. Replaces the file unless `append`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with path.open("ab" if append else "wb") as file:
        for trajectory in trajectories:
            file.write(orjson.dumps(trajectory.to_json()) + b"\n")
            count += 1
    return count


def read_trajectories(path: str | Path) -> Iterator[Trajectory]:
    """The trajectories of a JSONL file, one at a time.

    Raises: TrajectoryError with `file:line` for a missing file, a damaged line or one cut off.
    """
    from pydantic import ValidationError

    from astra_gym.suite.stores import read_lines, why_not_json
    from astra_gym.types import Trajectory

    path = Path(path)
    try:
        with path.open("rb") as file:
            for number, _, raw in read_lines(file, path):
                try:
                    yield Trajectory.model_validate(orjson.loads(raw))
                except orjson.JSONDecodeError as error:
                    raise TrajectoryError(f"{path}:{number}: {why_not_json(error)}") from None
                except ValidationError as error:
                    first = error.errors(include_url=False)[0]
                    where = ".".join(map(str, first["loc"])) or "record"
                    raise TrajectoryError(f"{path}:{number}: not a trajectory: {where}: {first['msg']}") from None
    except SuiteError as error:
        raise TrajectoryError(str(error)) from None
    except OSError as error:
        raise TrajectoryError(f"{path}: {error.strerror}") from None
