"""The agent loop plays what `rollout` plays: same messages, same tokens, same reward."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import astra_gym
from astra_gym.errors import SandboxError
from astra_gym.types import Trajectory

pytestmark = pytest.mark.filterwarnings("ignore")
BAD = '<tool_call>{"name": "no_such_tool", "arguments": {}}</tool_call>'


class ScriptedServer:
    """Answers each turn with the next of the given token lists, and keeps the prompts it was asked with."""

    def __init__(self, turns: Sequence[list[int]]) -> None:
        self.turns = list(turns)
        self.prompts: list[list[int]] = []

    async def generate(self, *, request_id: str, prompt_ids: list[int], sampling_params: dict[str, Any]) -> Any:
        from verl.workers.rollout.replica import TokenOutput

        assert request_id
        self.prompts.append(list(prompt_ids))
        tokens = self.turns.pop(0)[: sampling_params["max_tokens"]]
        extra = {"min_global_steps": len(self.prompts), "max_global_steps": len(self.prompts)}
        return TokenOutput(token_ids=tokens, log_probs=[-0.5] * len(tokens), extra_fields=extra)


@pytest.fixture(scope="module")
def tokenizer(tiny_folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_folder)


@pytest.fixture(scope="module")
def chat(tokenizer: Any) -> Any:
    from astra_train.chat_tokens import ChatTokens

    return ChatTokens(tokenizer)


def make_loop(tokenizer: Any, server: Any, *, prompt: int = 4000, response: int = 8000, **options: Any) -> Any:
    """A function that makes the agent loop, to be called where an event loop runs: verl would open another one."""
    from omegaconf import OmegaConf
    from verl.experimental.agent_loop.agent_loop import DictConfigWrap

    from astra_train.agent_loop import ToolEnvAgentLoop

    rollout = {"name": "vllm", "prompt_length": prompt, "response_length": response}
    config = OmegaConf.create({"actor_rollout_ref": {"rollout": rollout}, "data": {}})
    return lambda: ToolEnvAgentLoop(
        trainer_config=DictConfigWrap(config),
        server_manager=server,
        tokenizer=tokenizer,
        processor=None,
        dataset_cls=None,
        data_config=DictConfigWrap(config.data),
        hf_model_type="qwen3",
        **options,
    )


def row(env_id: str, **more: Any) -> dict[str, Any]:
    return {"extra_info": {"env_id": env_id, "suite": "", "namespace": "", "seed": 3, "env_kwargs": "", **more}}


def play(loop: Any, env_id: str, **more: Any) -> Any:
    async def episode() -> Any:
        return await loop().run({"temperature": 1.0}, **row(env_id, **more))

    return asyncio.run(episode())


def tokens_of(chat: Any, trajectory: Trajectory) -> tuple[list[int], list[int], list[int]]:
    """Prompt, response and mask that the messages of a trajectory come to."""
    prompt = chat.initial(trajectory.messages[:1], trajectory.tools)
    response: list[int] = []
    mask: list[int] = []
    rest = list(trajectory.messages[1:])
    for number, action in enumerate(trajectory.actions):
        turn = chat.assistant(action)
        rest.pop(0)
        shown = []
        while rest and rest[0]["role"] == "tool":
            shown.append(rest.pop(0))
        context = chat.context(shown) if number + 1 < len(trajectory.actions) else []
        response += turn + context
        mask += [1] * len(turn) + [0] * len(context)
    return prompt, response, mask


@pytest.mark.parametrize("style", ["oracle", "with mistakes"])
def test_loop_and_rollout_agree_on_tokens_mask_reward_and_counts(
    tokenizer: Any, chat: Any, long_env_ids: list[str], style: str
) -> None:
    for env_id in long_env_ids:
        env = gym.make(env_id)
        actions = list(astra_gym.rollout(env, astra_gym.OracleModel(), seed=3).actions)
        if style == "with mistakes":
            actions = [f"First I try: {BAD}", *actions[:-1], f"{actions[0]}\n{BAD}", "I do not know é."]
        played = astra_gym.rollout(env, astra_gym.ScriptedModel(*actions), seed=3)
        server = ScriptedServer([chat.assistant(action) for action in actions])
        output = play(make_loop(tokenizer, server), env_id)
        prompt, response, mask = tokens_of(chat, played)
        assert output.prompt_ids == prompt
        assert output.response_ids == response
        assert output.response_mask == mask
        assert output.reward_score == pytest.approx(played.total_reward, abs=1e-12)
        info = output.extra_fields["reward_extra_info"]
        assert (info["calls"], info["needed"]) == (played.calls, played.needed)
        assert info["invalid_calls"] == played.metadata["invalid_calls"]
        assert info["final_answer_correct"] == float(played.final_answer_correct is True)
        assert info["f1"] == pytest.approx(played.breakdown.f1)
        assert output.extra_fields["stop_reason"] == played.stop_reason
        ours = [p for p, m in zip(output.response_logprobs, output.response_mask, strict=True) if m]
        assert ours == [-0.5] * sum(mask)
        assert all(p == 0 for p, m in zip(output.response_logprobs, output.response_mask, strict=True) if not m)


def test_each_turn_is_asked_with_exactly_what_came_before(tokenizer: Any, chat: Any, long_env_ids: list[str]) -> None:
    env = gym.make(long_env_ids[0])
    actions = astra_gym.rollout(env, astra_gym.OracleModel(parallel=False), seed=3).actions
    server = ScriptedServer([chat.assistant(action) for action in actions])
    output = play(make_loop(tokenizer, server), long_env_ids[0])
    whole = output.prompt_ids + output.response_ids
    assert len(server.prompts) == len(actions) > 2
    assert all(whole[: len(prompt)] == prompt for prompt in server.prompts)
    assert output.extra_fields["min_global_steps"] == 1
    assert output.extra_fields["max_global_steps"] == len(actions)


def test_a_turn_cut_off_ends_the_episode_unplayed_and_keeps_what_was_earned(
    tokenizer: Any, chat: Any, long_env_ids: list[str]
) -> None:
    env = gym.make(long_env_ids[0])
    played = astra_gym.rollout(env, astra_gym.OracleModel(parallel=False), seed=3)
    turns = [chat.assistant(action) for action in played.actions]
    room = len(tokens_of(chat, played)[1]) - len(turns[-1]) + 1
    for limits in ({"response": room}, {"max_tokens_per_turn": max(map(len, turns[:-1])), "response": 9000}):
        if "max_tokens_per_turn" in limits:
            turns[-1] = chat.assistant("so " * 400)
        output = play(make_loop(tokenizer, ScriptedServer(turns), **limits), long_env_ids[0])
        info = output.extra_fields["reward_extra_info"]
        assert output.extra_fields["stop_reason"] == "length"
        assert info["truncated"] == 1.0
        assert info["final_answer_correct"] == 0.0
        assert output.reward_score == pytest.approx(played.total_reward)
        assert len(output.response_ids) == len(output.response_mask) <= limits["response"]


def test_turns_are_limited(tokenizer: Any, chat: Any, long_env_ids: list[str]) -> None:
    server = ScriptedServer([chat.assistant(BAD)] * 9)
    output = play(make_loop(tokenizer, server, max_turns=4), long_env_ids[0])
    assert output.num_turns == 8
    assert output.extra_fields["stop_reason"] == "max_turns"
    assert output.reward_score == 0.0
    assert output.response_mask[-1] == 1


def test_options_of_the_row_win_over_those_of_the_loop(tokenizer: Any, chat: Any, long_env_ids: list[str]) -> None:
    env = gym.make(long_env_ids[0])
    actions = astra_gym.rollout(env, astra_gym.OracleModel(), seed=3).actions
    server = ScriptedServer([chat.assistant(action) for action in actions])
    loop = make_loop(tokenizer, server, env_kwargs={"stop_when_solved": True, "max_turns": 1})
    output = play(loop, long_env_ids[0], env_kwargs='{"max_turns": 20}')
    assert output.extra_fields["stop_reason"] == "solved"
    assert output.response_mask[-1] == 1


def test_a_prompt_longer_than_the_limit_is_refused(tokenizer: Any, long_env_ids: list[str]) -> None:
    with pytest.raises(ValueError, match=r"the prompt has \d+ tokens.*prompt_length is 20"):
        play(make_loop(tokenizer, ScriptedServer([]), prompt=20), long_env_ids[0])


def test_a_sandbox_that_fails_is_tried_again_and_never_rewarded(
    tokenizer: Any, chat: Any, long_env_ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from astra_train import agent_loop

    env = gym.make(long_env_ids[0])
    actions = astra_gym.rollout(env, astra_gym.OracleModel(), seed=3).actions
    turns = [chat.assistant(action) for action in actions]
    given = agent_loop.make_env
    broken: list[int] = []

    def make_env(*args: Any) -> Any:
        made = given(*args)
        if len(broken) < 2:
            broken.append(1)

            class NoSandbox(gym.Wrapper):  # type: ignore[type-arg]
                def reset(self, **_: Any) -> Any:
                    raise SandboxError("the worker was killed")

            return NoSandbox(made)
        return made

    monkeypatch.setattr(agent_loop, "make_env", make_env)
    output = play(make_loop(tokenizer, ScriptedServer(turns)), long_env_ids[0])
    assert output.reward_score == pytest.approx(1.0)
    assert output.extra_fields["reward_extra_info"]["retries"] == 2.0
    broken.clear()
    with pytest.raises(SandboxError, match=r"2 attempts failed|the worker was killed"):
        play(make_loop(tokenizer, ScriptedServer(turns), retries=1), long_env_ids[0])


def test_a_fault_in_the_middle_of_an_episode_is_played_again_from_its_start(
    tokenizer: Any, chat: Any, long_env_ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from astra_train import agent_loop

    env = gym.make(long_env_ids[0])
    actions = astra_gym.rollout(env, astra_gym.OracleModel(parallel=False), seed=3).actions
    turns = [chat.assistant(action) for action in actions]
    given = agent_loop.make_env

    class DiesOnce(gym.Wrapper):  # type: ignore[type-arg]
        left = 1

        def step(self, action: str) -> Any:
            result = self.env.step(action)
            if not DiesOnce.left:
                return result
            DiesOnce.left -= 1
            return result[0], 0.0, False, True, {**result[4], "infrastructure_error": "the worker was killed"}

    monkeypatch.setattr(agent_loop, "make_env", lambda *args: DiesOnce(given(*args)))
    server = ScriptedServer([turns[0], *turns])
    output = play(make_loop(tokenizer, server), long_env_ids[0])
    assert output.reward_score == pytest.approx(1.0)
    assert len(server.prompts) == len(turns) + 1
    DiesOnce.left = 9
    with pytest.raises(SandboxError, match="2 attempts failed: the worker was killed"):
        play(make_loop(tokenizer, ScriptedServer([turns[0]] * 9), retries=1), long_env_ids[0])
