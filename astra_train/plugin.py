"""What verl loads in the driver and in every Ray worker, through the entry point group `verl.plugins`.

On a machine with an accelerator there is nothing to register: the agent loop is named in a YAML file
(`configs/agent_loop.yaml`) and everything else is verl's own. Without one, or when `VERL_PLATFORM=cpu` asks for it,
this registers a CPU platform, CPU engines and the rollout server `hf` (see `cpu/`). verl reports a plugin that fails to
load at DEBUG level only, so this warns by itself.
"""

from __future__ import annotations

import os
import warnings


def load() -> None:
    """Register what this machine needs. Raises: whatever kept it from loading, after a visible warning."""
    try:
        from astra_train.versions import require_training

        require_training()
        if wants_cpu():
            from astra_train import cpu

            cpu.register()
    except Exception as error:
        warnings.warn(f"astra_train could not be loaded into verl: {error}", RuntimeWarning, stacklevel=2)
        raise


def wants_cpu() -> bool:
    """Whether verl is to run on the CPU: asked for by `VERL_PLATFORM`, or for want of an accelerator."""
    asked = os.environ.get("VERL_PLATFORM", "").strip().lower()
    if asked:
        return asked == "cpu"
    import torch

    return not torch.accelerator.is_available()


load()
