"""Builds, checks, runs, resumes and exports verl's training runs; verl itself runs unmodified in a child process.

`presets` reads the settings, `job` is what the user asked for, `command` turns both into verl's command line,
`preflight` and, in a process of its own, `validator` refuse what cannot work before Ray starts, `process` runs it,
`progress` shows it, `run_folder` and `checkpoints` keep it, `export` makes a Hugging Face folder of it.
"""

from __future__ import annotations

from astra_train.training.job import TrainingJob
from astra_train.training.run import Prepared, prepare, train

__all__ = ["Prepared", "TrainingJob", "prepare", "train"]
