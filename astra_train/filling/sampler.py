"""Adaptive batch filling as a sampler of verl's V1 trainer.

    trainer.v1.sampler.custom_sampler.path=pkg://astra_train.filling.sampler
    trainer.v1.sampler.custom_sampler.name=AdaptiveBatchFilling

A thin adapter: `filler.py` decides, this reads finished groups from TransferQueue, sends out more prompts through
verl's refill function and hands the chosen groups over. Waiting groups stay in TransferQueue as they were rolled out,
with `rollout_log_probs` of their own policy version; `checks.py` says which setting makes the trainer use them.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from typing import Any

import transfer_queue as tq
from omegaconf import DictConfig
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.utils.skip import SkipManager

from astra_train.filling import outcomes
from astra_train.filling.checks import check_filling
from astra_train.filling.errors import FillingConfigError
from astra_train.filling.filler import BatchFiller
from astra_train.filling.groups import Group
from astra_train.filling.options import REWARD_METRIC, FillingOptions
from astra_train.filling.reading import read_rollouts, session_keys

TRAIN = "train"


class AdaptiveBatchFilling(ReplayBuffer):
    """verl's replay buffer with ASTRA's rule for what trains. Validation batches are left to verl.

    In the synchronous mode it waits for everything in flight once the batch is full, because verl then puts the
    rollout engine to sleep, and missing groups are sent out in whole refills. In the asynchronous modes it takes the
    batch at once and replaces every lost group by one.
    """

    def __init__(
        self,
        trainer_mode: str,
        trainer_config: DictConfig,
        max_off_policy_threshold: int | None,
        max_off_policy_strategy: str,
        sampler_kwargs: DictConfig,
        refill_fn: Any = None,
    ) -> None:
        self.options = FillingOptions.from_mapping(sampler_kwargs or {})
        if refill_fn is None and self.options.filter:
            raise FillingConfigError("batch filling needs verl's refill function; it is given by the V1 trainer only")
        trainer = getattr(refill_fn, "__self__", None)
        if getattr(trainer, "config", None) is not None:
            check_filling(trainer.config)  # type: ignore[union-attr]
        super().__init__(
            trainer_mode=trainer_mode,
            trainer_config=trainer_config,
            max_off_policy_threshold=max_off_policy_threshold,
            max_off_policy_strategy=max_off_policy_strategy,
            sampler_kwargs=sampler_kwargs,
            poll_interval=self.options.poll_interval_s,
            refill_fn=refill_fn,
        )
        self.filler = BatchFiller(self.options)
        self._synchronous = trainer_mode == "sync"
        self._places: dict[str, int] = {}
        self._next_place = itertools.count()
        self._judged: set[str] = set()
        self._looks = 0
        self._failed = 0

    @SkipManager.annotate_tq(role="rollout_tq", phase="sample")  # type: ignore[untyped-decorator]
    def sample(self, global_steps: int, partition_id: str, batch_size: int) -> tuple[tq.KVBatchMeta, dict[str, Any]]:
        """The batch of step `global_steps`: `batch_size` groups, whole, and what filling it took.

        Raises: NoSignalError when the allowed rollouts are used up and too few groups carry a signal;
            RolloutDataError when a finished rollout has no usable reward.
        """
        if partition_id != TRAIN:
            return super().sample(global_steps, partition_id, batch_size)  # type: ignore[no-any-return]
        began = time.monotonic()
        last_debug_time = time.time()
        self._forget(self.filler.begin(batch_size, version=global_steps - 1))
        self._failed = 0
        while not self._fill():
            last_debug_time = self._wait_for_next_poll(TRAIN, last_debug_time)
        batch = self.filler.take()
        self._forget(batch.discarded)
        wait_s = time.monotonic() - began
        metrics = {**batch.metrics, **outcomes.listener_metrics(wait_s), "filling/wait_s": wait_s}
        metrics["filling/groups_with_lost_rollouts"] = self._failed
        return self._hand_over(batch.groups), metrics

    def _fill(self) -> bool:
        """Look once: judge what has finished, send out what is missing; True when the batch is complete."""
        self._sync_metadata_from_transfer_queue()
        lost = self._judge_finished()
        in_flight = len(self.pending_keys[TRAIN]) + len(self.running_keys[TRAIN])
        groups = self.filler.to_dispatch(in_flight)
        if not self._synchronous:
            groups = max(groups, self.filler.to_replace(lost))
        if groups:
            self.refill_fn(groups)
            self.filler.dispatched(groups)
            in_flight += groups
        return self.filler.is_complete(in_flight, drain=self._synchronous)

    def _judge_finished(self) -> int:
        """Judge the groups that finished since the last look; returns how many of them are of no use."""
        for uid in self.prompt_global_steps[TRAIN]:
            if uid not in self._places:
                self._places[uid] = next(self._next_place)
        finished = (self.finished_keys[TRAIN] | self.failure_keys[TRAIN]) - self._judged
        if not finished:
            return 0
        self._looks += 1
        self._failed += len(finished & self.failure_keys[TRAIN])  # episodes that raised: the sandbox failed for good
        useless = []
        for group in self._read(sorted(finished, key=self._places.__getitem__)):
            self._judged.add(group.uid)
            outcomes.report(group)
            if not self.filler.add(group):
                useless.append(group)
        self._forget(useless)
        return len(useless)

    def _read(self, uids: list[str]) -> list[Group]:
        """The finished groups with their rewards, in the order of sending out."""
        keys = session_keys(self.partitions[TRAIN], set(uids))
        read = read_rollouts(keys, TRAIN, None if self.options.metric == REWARD_METRIC else self.options.metric)
        return [
            Group(
                uid=uid,
                env_id=read[uid].env_id if uid in read else "",
                version=self.prompt_global_steps[TRAIN][uid] - 1,
                dispatched=self._places[uid],
                finished=self._looks,
                rollouts=read[uid].rollouts if uid in read else (),
            )
            for uid in uids
        ]

    def _forget(self, groups: Iterable[Group]) -> None:
        """Clear groups from TransferQueue for good."""
        groups = list(groups)
        keys = [key for group in groups for rollout in group.rollouts for key in rollout.keys]
        self._clear([*(group.uid for group in groups), *keys])
        self._judged.difference_update(group.uid for group in groups)

    def _hand_over(self, groups: tuple[Group, ...]) -> tq.KVBatchMeta:
        """The groups' samples as verl's batch, in a fixed order; prompts and left-out rollouts are cleared."""
        keys, left_out = [], []
        for group in groups:
            train = group.usable if self.options.drop_masked else group.rollouts
            keys += [key for rollout in train for key in rollout.keys]
            left_out += [key for rollout in group.rollouts if rollout not in train for key in rollout.keys]
        tags = [self.partitions[TRAIN][key] for key in keys]
        self._clear([*(group.uid for group in groups), *left_out])
        self._judged.difference_update(group.uid for group in groups)
        return tq.KVBatchMeta(partition_id=TRAIN, keys=keys, tags=tags)

    def _clear(self, keys: list[str]) -> None:
        if keys:
            tq.kv_clear(partition_id=TRAIN, keys=keys)
        for key in keys:
            self.partitions[TRAIN].pop(key, None)
            self._places.pop(key, None)
            self.prompt_global_steps[TRAIN].pop(key, None)
