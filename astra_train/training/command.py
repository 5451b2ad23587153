"""verl's command for a job: entry point, overrides, environment. What depends on the run joins the preset here."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from astra_train.training.job import DataFiles, TrainingJob
from astra_train.training.overrides import as_overrides, combine, split_override
from astra_train.training.presets import CONFIGS, Preset, Setting, load_preset, merge
from astra_train.training.run_folder import RunFolder

AGENT_LOOP = CONFIGS / "agent_loop.yaml"
"""Names the agent loop for verl's workers."""
_PLACEHOLDER = Path("RUN_FOLDER")
_ENDLESS_EPOCHS = 100_000
"""verl stops at the number of steps or of epochs, whichever comes first: with this the steps decide."""


@dataclass(frozen=True, slots=True)
class Command:
    """What is started, exactly."""

    program: tuple[str, ...]
    """`python -m verl.trainer.main_ppo`, or torchrun with `-m verl.trainer.sft_trainer`."""
    overrides: tuple[str, ...]
    environment: dict[str, str]
    """Added to the caller's environment."""

    @property
    def argv(self) -> list[str]:
        """Program and overrides."""
        return [*self.program, *self.overrides]

    def shown(self) -> str:
        """One line for people: torchrun and python by their names, paths of this interpreter left out."""
        program = ["python" if part == sys.executable else part for part in self.program]
        if program[:3] == ["python", "-m", "torch.distributed.run"]:
            program = ["torchrun", *program[3:]]
        return shlex.join([*program, *self.overrides])

    def script(self) -> str:
        """A shell script that does the same."""
        lines = ["#!/bin/sh"]
        lines += [f"export {name}={shlex.quote(value)}" for name, value in sorted(self.environment.items())]
        parts = [shlex.join(self.program), *(shlex.quote(override) for override in self.overrides)]
        return "\n".join(lines) + "\nexec " + " \\\n  ".join(parts) + "\n"


def settings_of(job: TrainingJob) -> Preset:
    """The preset of a job with its batch filling switched as asked. Raises: TrainingError."""
    return load_preset(job.recipe, job.preset).with_batch_filling(job.batch_filling)


def build_overrides(job: TrainingJob, preset: Preset, files: DataFiles, attempt: int) -> list[str]:
    """All overrides of a job: preset, then what the run needs, then the user's."""
    run = RunFolder(job.run or _PLACEHOLDER)
    own = _sft_settings(job, files, run) if job.recipe == "sft" else _rl_settings(job, files, run)
    own += _step_settings(job) + _seed_settings(job)
    own += [Setting("hydra.run.dir", str(run.hydra)), Setting("hydra.output_subdir", None)]
    lines = as_overrides(merge(preset.settings, tuple(own)))
    combined = combine(lines, job.overrides)
    if job.recipe == "sft":
        return combined
    variables = run_environment(run, attempt)
    prefix = "+ray_kwargs.ray_init.runtime_env.env_vars."
    return combined + as_overrides([Setting(prefix + name, value) for name, value in variables.items()])


def value_of(overrides: Sequence[str], key: str, default: str) -> str:
    """What the overrides set a key to."""
    found = [rest[1:] for _, name, rest in map(split_override, overrides) if name == key]
    return found[-1] if found else default


def _step_settings(job: TrainingJob) -> list[Setting]:
    if job.steps is None:
        return []
    return [Setting("trainer.total_training_steps", job.steps), Setting("trainer.total_epochs", _ENDLESS_EPOCHS)]


def _seed_settings(job: TrainingJob) -> list[Setting]:
    if job.seed is None:
        return []
    keys: tuple[str, ...] = ("trainer.seed", "engine.seed")
    if job.recipe != "sft":
        actor = "actor_rollout_ref.actor"
        keys = ("data.seed", f"{actor}.data_loader_seed", f"{actor}.fsdp_config.seed", "actor_rollout_ref.rollout.seed")
    if job.recipe == "ppo":
        keys += ("critic.data_loader_seed", "critic.fsdp.seed")
    return [Setting(key, job.seed) for key in keys]


def _files(paths: Sequence[Path]) -> list[str]:
    return [str(path) for path in paths]


def _rl_settings(job: TrainingJob, files: DataFiles, run: RunFolder) -> list[Setting]:
    model = [Setting("actor_rollout_ref.model.path", job.model)] if job.model else []
    if job.recipe == "ppo":
        model.append(Setting("critic.model.path", job.model or "${actor_rollout_ref.model.path}"))
    held_out = files.validation or files.train
    unvalidated = [Setting("trainer.val_before_train", False), Setting("trainer.test_freq", -1)]
    return [
        *model,
        Setting("data.train_files", _files(files.train) or ["DATA/train.parquet"]),
        Setting("data.val_files", _files(held_out) or ["DATA/validation.parquet"]),
        *([] if files.validation or not files.train else unvalidated),
        Setting("actor_rollout_ref.rollout.agent.agent_loop_config_path", str(AGENT_LOOP)),
        Setting("trainer.project_name", "astra"),
        Setting("trainer.experiment_name", run.path.name),
        Setting("trainer.default_local_dir", str(run.checkpoints)),
        Setting("trainer.rollout_data_dir", str(run.rollouts / "train")),
        Setting("trainer.validation_data_dir", str(run.rollouts / "validation")),
        Setting("trainer.resume_mode", "auto" if job.resume else "disable"),
    ]


def _sft_settings(job: TrainingJob, files: DataFiles, run: RunFolder) -> list[Setting]:
    unvalidated = [Setting("trainer.test_freq", -1)] if files.train and not files.validation else []
    return [
        *([Setting("model.path", job.model)] if job.model else []),
        Setting("data.train_files", _files(files.train) or ["DATA/train.parquet"]),
        Setting("data.val_files", _files(files.validation) or None),
        *unvalidated,
        Setting("trainer.project_name", "astra"),
        Setting("trainer.experiment_name", run.path.name),
        Setting("trainer.default_local_dir", str(run.checkpoints)),
        Setting("trainer.resume_mode", "auto" if job.resume else "disable"),
    ]


def run_environment(run: RunFolder, attempt: int) -> dict[str, str]:
    """Where verl's loggers write; its file logger begins a new file, so each attempt has its own."""
    return {
        "VERL_FILE_LOGGER_PATH": str(run.attempt(attempt) / "metrics.jsonl"),
        "TENSORBOARD_DIR": str(run.tensorboard),
    }


def child_environment(device: str) -> dict[str, str]:
    """What is added to the environment of verl's process."""
    environment = {
        "PYTHONUNBUFFERED": "1",
        "HYDRA_FULL_ERROR": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if device == "cpu":
        environment |= {
            "VERL_PLATFORM": "cpu",
            "CUDA_VISIBLE_DEVICES": "-1",  # none for torch, one by Ray's count, which is given one logical device
            "RAY_prestart_worker_first_driver": "0",  # else one process a logical CPU is started at once
            # Ray gives each worker one thread otherwise; stages take turns, so each may have all cores
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(os.cpu_count() or 1),
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY") or "PASSIVE",  # spinning starves the other processes
        }
    return environment


def build_command(job: TrainingJob, overrides: Sequence[str], attempt: int, nodes: int, per_node: int) -> Command:
    """The command of a job.

    Args:
        nodes: machines; SFT on several is started on each (MASTER_ADDR is the first, by default this one).
        per_node: processes on each.
    """
    environment = child_environment(value_of(overrides, "trainer.device", "cuda"))
    environment |= run_environment(RunFolder(job.run or _PLACEHOLDER), attempt)
    if job.recipe != "sft":
        program: tuple[str, ...] = (sys.executable, "-m", "verl.trainer.main_ppo")
    else:
        program = (sys.executable, "-m", "torch.distributed.run", *_torchrun(nodes, per_node))
        program += ("-m", "verl.trainer.sft_trainer")
    return Command(program, tuple(overrides), environment)


def _torchrun(nodes: int, per_node: int) -> tuple[str, ...]:
    """torchrun's arguments; on further machines the same script runs with PET_NODE_RANK=1, 2 ... set."""
    if nodes <= 1:
        return ("--standalone", "--nnodes=1", f"--nproc_per_node={per_node}")
    address = os.environ.get("MASTER_ADDR") or socket.gethostname()
    return (
        f"--nnodes={nodes}",
        f"--nproc_per_node={per_node}",
        f"--master_addr={address}",
        f"--master_port={os.environ.get('MASTER_PORT', '29500')}",
    )
