"""What training reads: splits of a suite by content, oracle trajectories, SFT rows and RL rows as Parquet.

Nothing here needs torch or verl but `sft_dataset`, which verl loads by name.
"""

from __future__ import annotations

from astra_train.data.errors import DataError, LeakageError

__all__ = ["DataError", "LeakageError"]
