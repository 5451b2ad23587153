"""ToolEnvAgentLoop: verl's tokens <-> the turns of a `ToolEnv`.

One row of the RL data is one env; verl plays it `rollout.n` times, each time through here. Tokens in, tokens out: what
the model sampled is what the env is stepped with and what is trained on; the env's messages are appended as tokens with
`response_mask` 0. The reward is the env's, the sum of its step rewards. Source: arXiv 2601.21558, section on online RL.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput

from astra_gym.errors import SandboxError
from astra_train.chat_tokens import ChatTokens
from astra_train.cpu import ROLLOUT_NAME
from astra_train.rows import make_env

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import gymnasium as gym
    from transformers import PreTrainedTokenizerBase

    from astra_gym.env import ToolEnv
    from astra_gym.types import Message

_CHATS: dict[int, ChatTokens] = {}


@dataclass(slots=True)
class _Episode:
    """One episode as tokens."""

    prompt: list[int]
    response: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    turn: list[int] = field(default_factory=list)
    turns: int = 0
    stop_reason: str = ""
    reward: float = 0.0
    info: Mapping[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    env_s: float = 0.0
    generation_s: float = 0.0

    def sampled(self, tokens: Sequence[int], log_probs: Sequence[float] | None) -> None:
        self.turn = list(tokens)
        self.response += tokens
        self.mask += [1] * len(tokens)
        self.log_probs += log_probs if log_probs is not None else [0.0] * len(tokens)
        self.turns += 1

    def shown(self, tokens: Sequence[int]) -> None:
        self.response += tokens
        self.mask += [0] * len(tokens)
        self.log_probs += [0.0] * len(tokens)


class ToolEnvAgentLoop(AgentLoopBase):
    """Plays the env that a row names. verl instantiates it for every episode, with the options of the YAML file."""

    def __init__(
        self,
        *args: Any,
        max_turns: int | None = None,
        max_tokens_per_turn: int | None = None,
        system_prompt: str | None = None,
        retries: int = 2,
        env_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """
        Args:
            max_turns: assistant turns at most, by default what `rollout.multi_turn.max_assistant_turns` says, else 32;
                the env's own limit holds besides.
            max_tokens_per_turn: a turn cut off there ends the episode.
            retries: how often an episode is played again from its start after a fault of the sandbox.
            env_kwargs: options of `ToolEnv` for every row (reward, beta, stop_when_solved ...); a row's own win.
        """
        super().__init__(*args, **kwargs)
        self._chat = _chat_tokens(self.tokenizer, json.dumps(dict(self.apply_chat_template_kwargs or {})))
        configured = (self.rollout_config.get("multi_turn") or {}).get("max_assistant_turns")
        self._max_turns, self._turn_tokens = int(max_turns or configured or 32), max_tokens_per_turn
        self._system_prompt, self._retries = system_prompt, retries
        self._env_kwargs = dict(env_kwargs or {})

    async def run(self, sampling_params: dict[str, Any], **row: Any) -> AgentLoopOutput:
        """Play one episode.

        Raises: SandboxError when the sandbox failed again after `retries`; verl leaves such a sample out of the batch
            and counts its group as failed. ValueError for a prompt that is longer than `rollout.prompt_length`.
        """
        started = time.perf_counter()
        failure = ""
        for attempt in range(self._retries + 1):
            making = time.perf_counter()
            env = make_env(row["extra_info"], self._env_kwargs)
            try:
                episode = await self._play(env, int(row["extra_info"]["seed"]), sampling_params, making)
            except SandboxError as error:
                if attempt == self._retries:
                    raise
                failure = str(error)
            else:
                if "infrastructure_error" not in episode.info:
                    return self._output(episode, time.perf_counter() - started, row["extra_info"], attempt)
                failure = str(episode.info["infrastructure_error"])
            finally:
                env.close()
        raise SandboxError(f"{row['extra_info']['env_id']}: {self._retries + 1} attempts failed: {failure}")

    async def _play(
        self, env: gym.Env[str, str], seed: int, sampling_params: dict[str, Any], making: float
    ) -> _Episode:
        """One attempt; `making` is when the env began to be made."""
        _, info = env.reset(seed=seed)
        made_s = time.perf_counter() - making
        tools = cast("ToolEnv", env.unwrapped).tool_spec.tool_schemas
        system: list[Message] = [{"role": "system", "content": self._system_prompt}] if self._system_prompt else []
        episode = _Episode(self._chat.initial([*system, *info["messages"]], tools), info=info, env_s=made_s)
        self._check_prompt(episode.prompt, env)
        request_id = uuid4().hex
        while not episode.stop_reason:
            room = self.rollout_config.response_length - len(episode.response)
            if episode.turns == self._max_turns or room < 1:
                episode.stop_reason = "length" if room < 1 else "max_turns"
                break
            ended = await self._turn(episode, request_id, sampling_params, room)
            if not ended:
                episode.stop_reason = "length"
                break
            self._step(env, episode)
        return episode

    async def _turn(self, episode: _Episode, request_id: str, sampling_params: dict[str, Any], room: int) -> bool:
        """Let the model write a turn; returns whether it came to its end."""
        allowed = min(room, self._turn_tokens or room)
        started = time.perf_counter()
        more = {"episode": request_id} if self.rollout_config.name == ROLLOUT_NAME else {}
        output = await self.server_manager.generate(
            request_id=request_id,
            prompt_ids=episode.prompt + episode.response,
            sampling_params={**sampling_params, "max_tokens": allowed},
            **more,
        )
        episode.generation_s += time.perf_counter() - started
        first = episode.extra.get("min_global_steps", output.extra_fields.get("min_global_steps"))
        episode.extra |= output.extra_fields | {"min_global_steps": first}
        tokens = list(output.token_ids)[:room]
        episode.sampled(tokens, None if output.log_probs is None else list(output.log_probs)[:room])
        return bool(tokens) and tokens[-1] in self._chat.stop_token_ids

    def _step(self, env: gym.Env[str, str], episode: _Episode) -> None:
        """Give the turn to the env and append what it shows, if there is room for it and for another turn."""
        started = time.perf_counter()
        _, reward, terminated, truncated, info = env.step(self._chat.decode(episode.turn))
        episode.env_s += time.perf_counter() - started
        episode.reward += float(reward)
        episode.info = info
        if terminated or truncated:
            episode.stop_reason = str(info.get("stop_reason", "truncated"))
            return
        shown = self._chat.context([message for message in info["messages"] if message["role"] != "assistant"])
        if len(episode.response) + len(shown) >= self.rollout_config.response_length:
            episode.stop_reason = "length"
        elif episode.turns < self._max_turns:
            episode.shown(shown)

    def _check_prompt(self, prompt: Sequence[int], env: gym.Env[str, str]) -> None:
        limit = self.rollout_config.prompt_length
        if len(prompt) > limit:
            env_id = env.spec.id if env.spec else ""
            raise ValueError(
                f"{env_id}: the prompt has {len(prompt)} tokens, actor_rollout_ref.rollout.prompt_length is {limit}; "
                "raise it, or leave the env out when the data is made (`astra data rl --max-prompt`)"
            )

    def _output(
        self, episode: _Episode, episode_s: float, extra_info: Mapping[str, Any], attempts: int
    ) -> AgentLoopOutput:
        info = reward_extra_info(episode.info)
        info |= {
            "turns": float(episode.turns),
            "truncated": float(episode.stop_reason in ("length", "truncated", "max_turns")),
            "infrastructure_error": 0.0,  # an episode that was lost is raised, see `run`
            "retries": float(attempts),
            "env_s": episode.env_s,
            "episode_s": episode_s,
        }
        fields: dict[str, Any] = {
            **episode.extra,
            "turn_scores": [],
            "tool_rewards": [],
            "reward_extra_info": info,
            "env_id": extra_info["env_id"],
            "stop_reason": episode.stop_reason,
        }
        return AgentLoopOutput(
            prompt_ids=episode.prompt,
            response_ids=episode.response,
            response_mask=episode.mask,
            response_logprobs=episode.log_probs,
            num_turns=2 * episode.turns,
            metrics=AgentLoopMetrics(generate_sequences=episode.generation_s, tool_calls=episode.env_s),
            reward_score=episode.reward,
            extra_fields=fields,
        )


def reward_extra_info(info: Mapping[str, Any]) -> dict[str, float]:
    """The env's own account of an episode as numbers, for verl's metrics and filters."""
    breakdown = info["breakdown"]
    edges = list(info["edges"].values())
    return {
        "f1": breakdown.f1,
        "recall": breakdown.recall,
        "precision": breakdown.precision,
        "solved": breakdown.solved / breakdown.needed if breakdown.needed else 1.0,
        "solve_rate": float(breakdown.solved == breakdown.needed),
        "needed": float(breakdown.needed),
        "calls": float(info["calls"]),
        "invalid_calls": float(info["invalid_calls"]),
        "edges_satisfied": edges.count("satisfied") / len(edges) if edges else 1.0,
        "final_answer_correct": float(info.get("final_answer_correct") is True),
        "faults": float(info.get("faults", 0)),
    }


def _chat_tokens(tokenizer: PreTrainedTokenizerBase, template_kwargs: str) -> ChatTokens:
    """One `ChatTokens` a tokenizer: making it renders the template several times."""
    chat = _CHATS.get(id(tokenizer))
    if chat is None or chat.tokenizer is not tokenizer:
        chat = _CHATS[id(tokenizer)] = ChatTokens(tokenizer, json.loads(template_kwargs))
    return chat
