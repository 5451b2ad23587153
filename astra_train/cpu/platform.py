"""The CPU as a verl platform. verl asks Ray for a resource named GPU; the CPU preset gives it a logical one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
from verl.plugin.platform import PlatformBase

_NOTHING_TO_DO = ("empty_cache", "synchronize", "ipc_collect", "reset_peak_memory_stats", "set_device")
_NO_BYTES = ("memory_allocated", "memory_reserved", "max_memory_allocated", "max_memory_reserved")


def _device_module() -> ModuleType:
    """`torch.cpu` with the functions besides that verl calls on `torch.cuda`."""
    module = ModuleType("astra_train.cpu.device")
    module.__dict__.update({name: value for name, value in vars(torch.cpu).items() if not name.startswith("__")})
    answers: dict[str, Any] = dict.fromkeys(_NOTHING_TO_DO) | dict.fromkeys(_NO_BYTES, 0)
    answers |= {"current_device": "cpu", "device_count": 1, "is_available": True, "is_initialized": True}
    answers |= {"get_device_name": "cpu", "mem_get_info": _memory()}
    for name, answer in answers.items():
        setattr(module, name, lambda *_, answer=answer, **__: answer)
    module.manual_seed = module.manual_seed_all = torch.manual_seed  # type: ignore[attr-defined]
    module.get_rng_state = torch.get_rng_state  # type: ignore[attr-defined]
    module.set_rng_state = torch.set_rng_state  # type: ignore[attr-defined]
    return module


def _memory() -> tuple[int, int]:
    """Bytes of memory that are free and in all."""
    import psutil

    memory = psutil.virtual_memory()
    return int(memory.available), int(memory.total)


class CPUPlatform(PlatformBase):
    """One logical device, gloo between processes, no memory of its own to manage."""

    device_name = "cpu"
    vendor_name = "cpu"
    device_module = _device_module()

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:  # noqa: ARG002
        return not torch.accelerator.is_available()

    def current_device(self) -> Any:
        return "cpu"

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None:
        """There is one."""

    def synchronize(self, device_index: int | None = None) -> None:
        """Work on the CPU is done when it returns."""

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        """The allocator is the system's."""

    def empty_cache(self) -> None:
        """There is none."""

    def get_device_capability(self, device_index: int = 0) -> tuple[int | None, int | None]:  # noqa: ARG002
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    @contextlib.contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:  # noqa: ARG002
        yield

    def profiler_start(self) -> None:
        """There is no device profiler."""

    def profiler_stop(self) -> None:
        """There is no device profiler."""

    def ray_resource_name(self) -> str:
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return []

    def is_ipc_supported(self) -> bool:
        return False

    def cudart(self) -> Any:
        return None
