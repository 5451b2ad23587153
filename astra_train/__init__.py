"""Training of tool-using language models on ASTRA Gym's envs, with verl unmodified.

`plugin` is what verl loads, `agent_loop` plays envs inside it, `cpu` lets it run without an accelerator; `data` writes
what it trains on, `training` builds and runs its commands. Importing this package pulls in neither torch nor verl.
"""

from __future__ import annotations

from astra_train.errors import ChatTemplateError, TrainingError

__all__ = ["ChatTemplateError", "TrainingError"]
