"""Rules of a configuration that verl does not check, or only in the middle of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astra_train.training.presets import Recipe

if TYPE_CHECKING:
    from omegaconf import DictConfig


def broken_rules(recipe: Recipe, config: DictConfig) -> list[str]:
    """The rules that a configuration breaks, each as one message."""
    try:
        return _sft_rules(config) if recipe == "sft" else _rl_rules(recipe, config)
    except (TypeError, ValueError) as error:
        return [f"a number was expected: {error}"]


def _sft_rules(config: DictConfig) -> list[str]:
    devices = int(config.trainer.nnodes) * int(config.trainer.n_gpus_per_node)
    parallel = int(config.engine.ulysses_sequence_parallel_size)
    room, longest = int(config.data.max_token_len_per_gpu) * parallel, int(config.data.max_length)
    problems = _divides("trainer.nnodes * trainer.n_gpus_per_node", devices, parallel)
    problems += _divides("data.train_batch_size", config.data.train_batch_size, devices // parallel or 1)
    if config.data.use_dynamic_bsz and room < longest:
        problems.append(_no_room("data.max_token_len_per_gpu", room, longest))
    return problems


def _rl_rules(recipe: Recipe, config: DictConfig) -> list[str]:
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    devices = int(config.trainer.nnodes) * int(config.trainer.n_gpus_per_node)
    longest = int(config.data.max_prompt_length) + int(config.data.max_response_length)
    parallel = int(actor.ulysses_sequence_parallel_size)
    problems = _divides("data.train_batch_size", config.data.train_batch_size, int(actor.ppo_mini_batch_size))
    problems += _divides("trainer.nnodes * trainer.n_gpus_per_node", devices, int(rollout.tensor_model_parallel_size))
    problems += _divides("trainer.nnodes * trainer.n_gpus_per_node", devices, parallel)
    rooms = {"actor_rollout_ref.rollout.max_model_len": rollout.max_model_len}
    if actor.use_dynamic_bsz:
        rooms["actor_rollout_ref.actor.ppo_max_token_len_per_gpu"] = int(actor.ppo_max_token_len_per_gpu) * parallel
        tokens = int(rollout.log_prob_max_token_len_per_gpu) * parallel
        rooms["actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu"] = tokens
    if recipe == "ppo" and config.critic.use_dynamic_bsz:
        tokens = int(config.critic.ppo_max_token_len_per_gpu) * int(config.critic.ulysses_sequence_parallel_size)
        rooms["critic.ppo_max_token_len_per_gpu"] = tokens
    problems += _micro_batches(recipe, config, devices)
    problems += [_no_room(key, int(room), longest) for key, room in rooms.items() if room and int(room) < longest]
    if recipe == "grpo" and int(rollout.n) < 2:
        problems.append(f"actor_rollout_ref.rollout.n={rollout.n}: a group of one has no advantage; set at least 2")
    if config.actor_rollout_ref.actor.checkpoint.async_save:
        problems.append("actor_rollout_ref.actor.checkpoint.async_save=true: such a run cannot be resumed by itself")
    return problems


def _micro_batches(recipe: Recipe, config: DictConfig, devices: int) -> list[str]:
    """Micro-batches of a fixed number of sequences have to fill the episodes of a step."""
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    sizes = {}
    if not actor.use_dynamic_bsz:
        sizes["actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu"] = actor.ppo_micro_batch_size_per_gpu
    if not rollout.log_prob_use_dynamic_bsz:
        sizes["actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu"] = rollout.log_prob_micro_batch_size_per_gpu
    if recipe == "ppo" and not config.critic.use_dynamic_bsz:
        sizes["critic.ppo_micro_batch_size_per_gpu"] = config.critic.ppo_micro_batch_size_per_gpu
    episodes = int(config.data.train_batch_size) * int(rollout.n)
    return [
        f"data.train_batch_size * actor_rollout_ref.rollout.n = {episodes} episodes a step on {devices} devices do not "
        f"divide into micro-batches of {size}; set {key} to a divisor"
        for key, size in sizes.items()
        if size and episodes % (devices * int(size))
    ]


def _divides(name: str, number: int, divisor: int) -> list[str]:
    if int(number) % max(1, divisor) == 0 and int(number) >= divisor:
        return []
    return [f"{name}={number} is not a multiple of {divisor}, into which it is divided"]


def _no_room(name: str, room: int, longest: int) -> str:
    return f"{name}: room for {room} tokens, but one sequence may have {longest}; raise it or lower the lengths"
