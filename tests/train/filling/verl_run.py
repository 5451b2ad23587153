"""A synchronous verl trainer whose rollouts are scripted: real config, real ReplayBuffer, real TransferQueue.

What the agent loop workers would write is written here, in their format and through verl's own classes; what to roll
out, what to train on and what is cleared is up to the sampler. Run as a script by `test_verl_sampler.py`; prints one
JSON object, the outcome of each scenario by name.
"""

from __future__ import annotations

import itertools
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ray
import torch
import transfer_queue as tq
import verl
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from verl.experimental.agent_loop import AgentLoopOutput
from verl.experimental.agent_loop.agent_loop import AgentLoopMetrics
from verl.trainer.ppo.padding_utils import upsample_batch_to_divisible_size
from verl.trainer.ppo.v1 import PPOTrainerColocateAsync, PPOTrainerSync
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

SIZE = 4
ONE, ZERO, GOOD = [1.0] * SIZE, [0.0] * SIZE, [0.0, 1.0, 0.0, 1.0]
BASE = [
    "trainer.v1.sampler.custom_sampler.path=pkg://astra_train.filling.sampler",
    "trainer.v1.sampler.custom_sampler.name=AdaptiveBatchFilling",
    "+trainer.v1.sampler.sampler_kwargs.poll_interval_s=0.01",
    "algorithm.rollout_correction.bypass_mode=true",
    "actor_rollout_ref.rollout.calculate_log_probs=true",
    f"actor_rollout_ref.rollout.n={SIZE}",
    "data.train_batch_size=2",
]


def config(*overrides: str) -> DictConfig:
    folder = Path(verl.__file__).parent / "trainer" / "config"
    with initialize_config_dir(str(folder), version_base=None):
        return compose("ppo_trainer", overrides=[*BASE, *overrides])


class Scripted:
    """What the two trainers share: prompts get the next scripted rewards; None is an infrastructure error."""

    finish_at_once = True

    def script(self, settings: DictConfig, rewards: Sequence[Sequence[float | None]]) -> None:
        self.config = settings
        self.trainer_mode = settings.trainer.v1.trainer_mode
        self.global_steps = 1
        self.rewards: Iterator[Sequence[float | None]] = itertools.chain(rewards, itertools.repeat(ZERO))
        self.sent: list[str] = []
        self.sent_at_once: list[int] = []
        self.unfinished: list[tuple[str, Sequence[float | None]]] = []
        self.replay_buffer = self._build_replay_buffer()  # type: ignore[attr-defined]

    def _add_prompts_to_generate(self, num_prompts: int) -> int:
        uids = [f"u{len(self.sent) + i}" for i in range(num_prompts)]
        self.sent += uids
        self.sent_at_once.append(num_prompts)
        tags = [{"is_prompt": True, "status": "pending", "global_steps": self.global_steps} for _ in uids]
        tq.kv_batch_put(keys=uids, partition_id="train", tags=tags)
        self.unfinished += [(uid, next(self.rewards)) for uid in uids]
        while self.unfinished and self.finish_at_once:
            self.finish()
        return num_prompts

    def finish(self, status: str = "finished", partition: str = "train", place: int = 0) -> None:
        uid, rewards = self.unfinished.pop(place)
        put_rollouts(uid, rewards, self.global_steps, partition)
        tq.kv_put(key=uid, partition_id=partition, tag={"status": status})

    def step(self, groups: int = 2) -> tuple[Any, dict[str, Any]]:
        """verl's `prepare_step` and sampling."""
        self._add_prompts_to_generate(groups)
        batch, metrics = self.replay_buffer.sample(self.global_steps, "train", groups)
        self.global_steps += 1
        return batch, metrics


class SyncRun(Scripted, PPOTrainerSync):
    def __init__(self, rewards: Sequence[Sequence[float | None]], *overrides: str) -> None:
        self.script(config(*overrides), rewards)


class AsyncRun(Scripted, PPOTrainerColocateAsync):
    finish_at_once = False

    def __init__(self, rewards: Sequence[Sequence[float | None]], *overrides: str) -> None:
        self.script(config("trainer.v1.trainer_mode=colocate_async", *overrides), rewards)


def put_rollouts(uid: str, rewards: Sequence[float | None], step: int, partition: str) -> None:
    """The samples of a group as `AgentLoopWorkerTQ` stores them; the log-probs tell version and session apart."""
    keys, fields, tags = [], [], []
    for session, reward in enumerate(rewards):
        length = 2 + session
        info = {"solve_rate": float(reward == 1.0), "infrastructure_error": float(reward is None)}
        output = AgentLoopOutput(
            prompt_ids=[1, 2],
            response_ids=[3] * length,
            response_mask=[1] * length,
            response_logprobs=[-(step + session / 10)] * length,
            reward_score=0.0 if reward is None else reward,
            num_turns=2,
            metrics=AgentLoopMetrics(),
            extra_fields={"reward_extra_info": info, "min_global_steps": step - 1, "max_global_steps": step - 1},
        )
        field = output.as_dict() | {"uid": uid, "session_id": session, "extra_info": {"env_id": f"env-{uid}"}}
        field["loss_mask"] = field["response_mask"]
        field["input_ids"] = torch.cat([field["prompts"], field["responses"]])
        field["position_ids"] = torch.arange(len(field["input_ids"]))
        field["multi_modal_inputs"] = {}
        keys.append(f"{uid}_{session}_0")
        fields.append(field)
        tags.append({"status": "success", "seq_len": 2 + length, "global_steps": step, "min_global_steps": step - 1})
    if keys:
        tq.kv_batch_put(keys=keys, partition_id=partition, fields=list_of_dict_to_tensordict(fields), tags=tags)


def stored(partition: str = "train") -> list[str]:
    return sorted((tq.kv_list() or {}).get(partition, {}))


def uids(batch: Any) -> list[str]:
    return list(dict.fromkeys(key.split("_")[0] for key in batch.keys))


def plain(metrics: dict[str, Any]) -> dict[str, float]:
    return {name.removeprefix("filling/"): float(value) for name, value in metrics.items()}


def clear(batch: Any) -> None:
    tq.kv_clear(keys=batch.keys, partition_id=batch.partition_id)


def log_probs(batch: Any, field: str) -> list[list[float]]:
    data = tq.kv_batch_get(keys=batch.keys, partition_id="train", select_fields=[field])
    return [[round(value, 4) for value in row.tolist()] for row in data[field]]


def surplus_waits() -> dict[str, Any]:
    run = SyncRun([ZERO, GOOD, GOOD, GOOD, ONE, GOOD, GOOD])
    first, first_metrics = run.step()
    held = stored()
    clear(first)
    sent = list(run.sent_at_once)
    second, second_metrics = run.step()
    recorded = log_probs(second, "rollout_log_probs")
    run._compute_old_log_prob(second, {})
    out = {
        "first": uids(first),
        "keys": list(first.keys),
        "tags": [tag["min_global_steps"] for tag in second.tags],
        "held": held,
        "sent": sent,
        "second": uids(second),
        "recorded": recorded,
        "old": log_probs(second, "old_log_probs"),
        "metrics": [plain(first_metrics), plain(second_metrics)],
    }
    clear(second)
    return out | {"left": stored()}


def strictly_online() -> dict[str, Any]:
    kwargs = ("+trainer.v1.sampler.sampler_kwargs.max_staleness=0", "algorithm.rollout_correction.bypass_mode=false")
    run = SyncRun([ZERO, GOOD, GOOD, GOOD], *kwargs)
    first, _ = run.step()
    clear(first)
    waiting = stored()
    run.rewards = iter([GOOD, GOOD])
    second, metrics = run.step()
    clear(second)
    return {"waiting": waiting, "second": uids(second), "left": stored(), "metrics": plain(metrics)}


def infrastructure_errors() -> dict[str, Any]:
    run = SyncRun([[1.0, None, 0.0, 1.0], [1.0, None, 1.0, 1.0], [None, None, None, 1.0], GOOD])
    batch, metrics = run.step()
    padded = upsample_batch_to_divisible_size(batch, 2 * SIZE, eos_token_id=0)
    out = {"keys": list(batch.keys), "padded": len(padded), "metrics": plain(metrics)}
    clear(padded)
    return out | {"left": stored()}


def failed_groups() -> dict[str, Any]:
    run = SyncRun([])
    run.finish_at_once = False
    run.rewards = iter([[], [1.0, 0.0], GOOD, GOOD])
    run._add_prompts_to_generate(2)
    run.finish("failure")
    run.finish("failure")
    run.finish_at_once = True
    batch, metrics = run.replay_buffer.sample(1, "train", 2)
    clear(batch)
    return {"uids": uids(batch), "keys": list(batch.keys), "held": stored(), "metrics": plain(metrics)}


def no_signal(*overrides: str) -> dict[str, Any]:
    run = SyncRun([ONE], "+trainer.v1.sampler.sampler_kwargs.max_gen_batches=3", *overrides)
    batch, metrics = run.step()
    out = {"uids": uids(batch), "sent": list(run.sent_at_once), "metrics": plain(metrics)}
    clear(batch)
    return out | {"left": stored()}


def validation() -> dict[str, Any]:
    run = SyncRun([])
    tq.kv_put(key="v0", partition_id="val", tag={"is_prompt": True, "status": "pending", "global_steps": 1})
    run.unfinished = [("v0", ZERO)]
    run.finish(partition="val")
    batch, metrics = run.replay_buffer.sample(1, "val", 1)
    clear(batch)
    return {"keys": len(batch.keys), "metrics": metrics, "poll": run.replay_buffer.poll_interval}


def asynchronous() -> dict[str, Any]:
    run = AsyncRun([ZERO, GOOD, GOOD, GOOD])
    run._add_prompts_to_generate(3)
    for place in (0, 1, 0):
        run.finish(place=place)
    batch, _ = run.replay_buffer.sample(1, "train", 2)
    clear(batch)
    flying = [uid for uid, _ in run.unfinished]
    return {"uids": uids(batch), "sent": list(run.sent_at_once), "flying": flying, "left": stored()}


def missing_reward() -> dict[str, Any]:
    run = SyncRun([], "+trainer.v1.sampler.sampler_kwargs.metric=elegance")
    run.rewards = iter([GOOD, GOOD])
    return {"keys": list(run.step()[0].keys)}


SCENARIOS: dict[str, Callable[[], Any]] = {
    "surplus_waits": surplus_waits,
    "strictly_online": strictly_online,
    "infrastructure_errors": infrastructure_errors,
    "failed_groups": failed_groups,
    "no_signal": no_signal,
    "flat": lambda: no_signal("+trainer.v1.sampler.sampler_kwargs.at_cap=flat"),
    "unfiltered": lambda: no_signal("+trainer.v1.sampler.sampler_kwargs.filter=false"),
    "validation": validation,
    "asynchronous": asynchronous,
    "missing_reward": missing_reward,
    "no_bypass": lambda: SyncRun([], "algorithm.rollout_correction.bypass_mode=false"),
}


def outcome(scenario: Callable[[], Any]) -> Any:
    try:
        return scenario()
    except Exception as error:  # noqa: BLE001 - the outcome of a scenario may be an error; the test looks at it
        return {"error": type(error).__name__, "message": str(error), "trace": traceback.format_exc()}
    finally:
        for partition, keys in (tq.kv_list() or {}).items():
            if keys:
                tq.kv_clear(keys=list(keys), partition_id=partition)


def start_ray(attempts: int = 3) -> None:
    """Ray gives its processes 30 seconds to come up, which a busy machine does not always make."""
    for left in reversed(range(attempts)):
        try:
            ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
            return
        except Exception:
            ray.shutdown()
            if not left:
                raise


def main() -> None:
    start_ray()
    tq.init(DictConfig({"backend": {"SimpleStorage": {"num_data_storage_units": 1}}}))
    try:
        found = {name: outcome(scenario) for name, scenario in SCENARIOS.items()}
    finally:
        tq.close()
        ray.shutdown()
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
