"""Wrappers of a `ToolEnv`. Gymnasium's own (`TimeLimit`, `RecordEpisodeStatistics`...) work as well."""

from astra_gym.wrappers.distractors import Distractors
from astra_gym.wrappers.faults import ToolFaults, make_faulty
from astra_gym.wrappers.record import RecordTrajectory

__all__ = ["Distractors", "RecordTrajectory", "ToolFaults", "make_faulty"]
