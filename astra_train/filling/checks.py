"""Whether a verl config fits batch filling and pass-rate sampling; asked before Ray starts and again by the sampler.

What verl 0.9.1 does with a group of an older policy version: its V1 trainer recomputes `old_log_probs` with the
current policy for every sample, so the ratio of an old group starts at 1 and nothing corrects for the policy that
sampled it. With `algorithm.rollout_correction.bypass_mode=true` the recorded `rollout_log_probs` are taken as
`old_log_probs` (ratio and clip are then against the policy that acted); with `rollout_is=token` or `sequence` they are
recomputed, and truncated importance weights against the recorded ones correct the difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from astra_train.filling.errors import FillingConfigError
from astra_train.filling.options import FillingOptions

SAMPLER = ("pkg://astra_train.filling.sampler", "AdaptiveBatchFilling")
PASS_RATE_DATASET = ("pkg://astra_train.filling.dataset", "PassRateDataset")


def check_filling(config: Mapping[str, Any]) -> None:
    """Refuse a verl config under which batch filling or pass-rate sampling would go wrong unnoticed.

    Args:
        config: verl's whole config, as a mapping of mappings (an OmegaConf DictConfig is one).

    Raises: FillingConfigError naming the setting and the override that would do.
    """
    fills = _is(config, "trainer.v1.sampler.custom_sampler", SAMPLER)
    if fills:
        options = FillingOptions.from_mapping(_at(config, "trainer.v1.sampler.sampler_kwargs") or {})
        if options.filter:
            _check_groups(config, options)
            _check_refill(config, options)
            _check_log_probs(config, options)
    if _is(config, "data.custom_cls", PASS_RATE_DATASET):
        _check_pass_rates(config, fills=fills)


def _check_groups(config: Mapping[str, Any], options: FillingOptions) -> None:
    """A group must be able to spread, and one that was sent out ahead must not be stale when its turn comes."""
    rollouts = _at(config, "actor_rollout_ref.rollout.n")
    if rollouts is not None and int(rollouts) < 2:
        raise FillingConfigError(
            f"actor_rollout_ref.rollout.n={rollouts}: a group of one has no spread; set it to 2 or more, or "
            "sampler_kwargs.filter=false"
        )
    mode = _at(config, "trainer.v1.trainer_mode")
    ahead = float(_at(config, f"trainer.v1.{mode}.num_warmup_batches") or 0)
    if options.max_staleness < ahead:
        raise FillingConfigError(
            f"sampler_kwargs.max_staleness={options.max_staleness}, but trainer_mode={mode} sends groups out "
            f"{ahead:g} batches ahead, so all would be stale: set max_staleness to {math.ceil(ahead) + 1} or more"
        )


def _check_refill(config: Mapping[str, Any], options: FillingOptions) -> None:
    """What is sent out must be whole fetches of the data loader."""
    batch = int(_at(config, "data.train_batch_size"))
    exact = (
        _at(config, "trainer.v1.trainer_mode") != "sync"
        or _at(config, "algorithm.filter_groups.enable")
        or _at(config, "trainer.v1.sampler.sync_refill_failed_groups")
    )
    fetch = 1 if exact else int(_at(config, "data.gen_batch_size") or batch)
    refill = options.refill_groups or batch
    if refill % fetch:
        raise FillingConfigError(
            f"sampler_kwargs.refill_groups={refill} is not a multiple of data.gen_batch_size={fetch}, in which prompts "
            "are fetched: set data.gen_batch_size=1, or a divisor of both"
        )
    if options.max_gen_batches > 1 and refill > (options.max_gen_batches - 1) * batch:
        raise FillingConfigError(
            f"sampler_kwargs.refill_groups={refill} is more than sampler_kwargs.max_gen_batches="
            f"{options.max_gen_batches} of data.train_batch_size={batch} allow for: nothing could be sent out"
        )


def _check_log_probs(config: Mapping[str, Any], options: FillingOptions) -> None:
    """Groups of older policies may train only against the log-probs that were recorded when they were sampled."""
    if options.max_staleness == 0:
        return
    correction = "algorithm.rollout_correction"
    corrected = _at(config, f"{correction}.bypass_mode") or _at(config, f"{correction}.rollout_is")
    if not (corrected and _at(config, "actor_rollout_ref.rollout.calculate_log_probs")):
        raise FillingConfigError(
            f"sampler_kwargs.max_staleness={options.max_staleness} trains on groups of older policies, but verl would "
            "recompute their old log-probs with the current one: set algorithm.rollout_correction.bypass_mode=true and "
            "actor_rollout_ref.rollout.calculate_log_probs=true (or rollout_correction.rollout_is=token instead of "
            "bypass_mode), or sampler_kwargs.max_staleness=0"
        )


def _check_pass_rates(config: Mapping[str, Any], *, fills: bool) -> None:
    if not fills:
        raise FillingConfigError(
            "data.custom_cls picks envs by pass rate, but only the AdaptiveBatchFilling sampler reports outcomes: set "
            f"trainer.v1.sampler.custom_sampler.path={SAMPLER[0]} and name={SAMPLER[1]} (with sampler_kwargs.filter="
            "false to train on every group)"
        )
    workers = _at(config, "data.dataloader_num_workers")
    if workers:
        raise FillingConfigError(
            f"data.dataloader_num_workers={workers}: picking envs by pass rate happens in the trainer's process, set 0"
        )


def _is(config: Mapping[str, Any], where: str, cls: tuple[str, str]) -> bool:
    path = str(_at(config, f"{where}.path") or "").replace("/", ".").replace("pkg:..", "pkg://")
    return (path, _at(config, f"{where}.name")) == cls


def _at(config: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, None where there is none."""
    value: Any = config
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
