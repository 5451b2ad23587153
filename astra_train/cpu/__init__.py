"""verl without an accelerator: a platform, engines and a rollout server, all at verl's own plugin points but one.

The exception: verl asks torch for the process group "cpu:gloo,cpu:gloo" (one backend for the CPU, one for the device),
which torch refuses when both are the CPU. There is no plugin point for it, so the name is made unique on the way.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

ROLLOUT_NAME = "hf"
"""`actor_rollout_ref.rollout.name` of the rollout server that this registers."""


def register() -> None:
    """Make verl run on this machine's CPU. May be called again."""
    from verl.plugin.platform import PlatformRegistry

    from astra_train.cpu.platform import CPUPlatform

    PlatformRegistry.register(platform="cpu")(CPUPlatform)
    _name_backends_once()
    _register_rollout()
    _register_engines()


def _register_rollout() -> None:
    from verl.workers.rollout import base
    from verl.workers.rollout.replica import RolloutReplicaRegistry

    def load_replica() -> Any:
        from astra_train.cpu.rollout import HFReplica

        return HFReplica

    RolloutReplicaRegistry.register(ROLLOUT_NAME, load_replica)
    base._ROLLOUT_REGISTRY[(ROLLOUT_NAME, "async")] = "astra_train.cpu.rollout.HFServerAdapter"


def _register_engines() -> None:
    """verl registers its FSDP engines for CUDA and NPU."""
    from verl.workers.engine import EngineRegistry

    from astra_train.cpu.engines import CPUPolicyEngine, CPUValueEngine

    for model_type, engine in (("language_model", CPUPolicyEngine), ("value_model", CPUValueEngine)):
        for backend in ("fsdp", "fsdp2"):
            if "cpu" not in EngineRegistry._engines[model_type][backend]:
                EngineRegistry.register(model_type=model_type, backend=backend, device="cpu")(engine)


def _name_backends_once() -> None:
    import torch.distributed

    given: Callable[..., Any] = torch.distributed.init_process_group
    if getattr(given, "names_backends_once", False):
        return

    @functools.wraps(given)
    def init_process_group(backend: str | None = None, *args: Any, **kwargs: Any) -> Any:
        if isinstance(backend, str):
            backend = ",".join(dict.fromkeys(backend.split(",")))
        return given(backend, *args, **kwargs)

    init_process_group.names_backends_once = True  # type: ignore[attr-defined]
    torch.distributed.init_process_group = init_process_group
