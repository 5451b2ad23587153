"""What verl gets from us on a machine without an accelerator, and what a user sees when it cannot be had."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from astra_gym.errors import MissingExtraError
from astra_train import versions

pytestmark = pytest.mark.timeout(600)


def python(source: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", source], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_verl_runs_on_the_cpu_platform_engines_and_rollout_server() -> None:
    done = python(
        "import verl, torch.distributed as dist\n"
        "from verl.utils.device import get_device_name, get_nccl_backend\n"
        "from verl.workers.engine import EngineRegistry\n"
        "from verl.workers.rollout.base import get_rollout_class\n"
        "from verl.workers.rollout.replica import get_rollout_replica_class\n"
        "print(get_device_name(), get_nccl_backend())\n"
        "print(EngineRegistry.get_engine_cls('value_model', 'fsdp2').__name__)\n"
        "print(get_rollout_class('hf').__name__, get_rollout_replica_class('hf').__name__)\n"
        "dist.init_process_group('cpu:gloo,cpu:gloo', init_method='tcp://127.0.0.1:0', rank=0, world_size=1)\n"
        "print(dist.get_world_size())\n",
        VERL_PLATFORM="cpu",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["cpu", "gloo", "CPUValueEngine", "HFServerAdapter", "HFReplica", "1"]


def test_a_version_of_verl_that_is_not_supported_is_said_when_verl_is_imported() -> None:
    done = python(
        "from astra_train import versions; versions.SUPPORTED['verl'] = '>=99'; import verl", VERL_PLATFORM="cpu"
    )
    assert "astra_train could not be loaded into verl" in done.stderr
    assert "needed: >=99" in done.stderr


def test_what_is_missing_or_of_another_version_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "SUPPORTED", {"numpy": ">=99", "no-such-package": ">=1", "pytest": ">=1"})
    with pytest.raises(
        MissingExtraError, match=r"numpy .* is installed, needed: >=99; no-such-package is not installed"
    ):
        versions.require_training()
    assert list(versions.require_training("pytest")) == ["pytest"]
