"""What batch filling raises: a wrong setting before a run, and a run that has nothing to learn from."""

from __future__ import annotations

from astra_gym.errors import AstraError
from astra_train.errors import TrainingError


class FillingConfigError(AstraError, ValueError):
    """Settings of batch filling or of pass-rate sampling contradict themselves or verl's."""


class RolloutDataError(TrainingError):
    """A finished rollout lacks its reward, or the reward is no finite number."""


class NoSignalError(TrainingError):
    """The allowed rollouts are used up and too few groups carry a learning signal; the message says what was seen."""
