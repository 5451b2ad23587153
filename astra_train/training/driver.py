"""What we add inside verl's trainer process: means over a step's episodes in its metrics.

verl logs the reward of a training step, but not what the agent loop says about each episode. Named as
`trainer.checkpoint_callback_class`, verl makes this object before anything is rolled out and keeps it; it listens to
the groups that the sampler reports, and the sampler adds these numbers to the step's metrics.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from verl.trainer.ppo.checkpoint_callback import CheckpointCallback

from astra_train.filling.groups import Group
from astra_train.filling.outcomes import listen

PREFIX = "episode/"


class EpisodeMetrics(CheckpointCallback):
    """Means of `reward_extra_info` over all episodes that finished in a step, whether their groups train or not."""

    def __init__(self, config: Any = None) -> None:
        self.config = config
        self._values: defaultdict[str, list[float]] = defaultdict(list)
        listen(self)

    def observe(self, group: Group) -> None:
        """Take in a finished group."""
        for rollout in group.rollouts:
            for name, value in rollout.metrics.items():
                if isinstance(value, int | float) and math.isfinite(value):
                    self._values[name].append(float(value))

    def metrics(self, rollout_s: float) -> dict[str, float]:
        """The means since the last call, and the time that all envs took together, making them included: as a share of
        the episodes' own time, and of the time by the clock in which all of them were played side by side."""
        values, self._values = self._values, defaultdict(list)
        means = {f"{PREFIX}{name}": math.fsum(found) / len(found) for name, found in values.items()}
        env_s, episode_s = math.fsum(values.get("env_s", ())), math.fsum(values.get("episode_s", ()))
        shares = {"env_time_share": episode_s, "env_clock_share": rollout_s if "env_s" in values else 0.0}
        return means | {f"{PREFIX}{name}": env_s / whole for name, whole in shares.items() if whole > 0}
