"""verl's RL data set, with the next env picked by pass rate: a curriculum where verl's V1 trainer has no hook for one.

    data.custom_cls.path=pkg://astra_train.filling.dataset  data.custom_cls.name=PassRateDataset
    data.dataloader_num_workers=0  '+data.pass_rates={group_size:8}'

The trainer's sampler goes on counting rows and epochs; which row an index stands for is decided when it is asked for.
Outcomes come from `AdaptiveBatchFilling`. The estimates are part of the data loader's state, which verl saves with
every checkpoint and loads on resume.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verl.utils.dataset.rl_dataset import RLHFDataset

from astra_train.filling import outcomes
from astra_train.filling.errors import FillingConfigError
from astra_train.filling.pass_rates import PassRateOptions, PassRates

PATIENCE_BATCHES = 16
"""Training batches that may be handed out before any outcome has come back."""


class PassRateDataset(RLHFDataset):
    """Hands out the env with the best prospects whatever index is asked for; validation files are read in order.

    Raises: FillingConfigError when training and validation files are the same (verl builds both from this class and
        tells them apart by nothing else), when a row has no env id, and when no outcome is ever reported.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        train, val = (_paths(self.config.get(name)) for name in ("train_files", "val_files"))
        if train == val:
            raise FillingConfigError(f"data.train_files and data.val_files are the same, {train}: give two files")
        self._batch = int(self.config.get("train_batch_size") or 1)
        self.pass_rates: PassRates | None = None
        if _paths(self.original_data_files) == train:
            options = PassRateOptions.from_mapping(self.config.get("pass_rates") or {})
            self.pass_rates = PassRates(self._env_ids(), options)
            outcomes.listen(self.pass_rates)

    def __getitem__(self, item: int) -> dict[str, Any]:
        """A row as verl's data set gives it: the picked one when training, row `item` otherwise."""
        if self.pass_rates is None:
            return super().__getitem__(item)  # type: ignore[no-any-return]
        if self.pass_rates.observed == 0 and self.pass_rates.picks >= PATIENCE_BATCHES * self._batch:
            raise FillingConfigError(
                f"{self.pass_rates.picks} envs were handed out and no outcome was reported for any of them: is the "
                "sampler AdaptiveBatchFilling, and does extra_info.env_id reach the rollouts?"
            )
        return super().__getitem__(self.pass_rates.pick())  # type: ignore[no-any-return]

    def state_dict(self) -> dict[str, Any]:
        """The estimates, for the data loader's state; empty for validation."""
        return {} if self.pass_rates is None else self.pass_rates.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state; one saved without pass rates leaves the prior."""
        if self.pass_rates is not None and state:
            self.pass_rates.load_state_dict(state)

    def _env_ids(self) -> list[str]:
        env_ids = [(info or {}).get("env_id") for info in self.dataframe["extra_info"]]
        missing = [row for row, env_id in enumerate(env_ids) if not env_id]
        if missing:
            raise FillingConfigError(f"{_paths(self.data_files)}: row {missing[0]} has no extra_info.env_id")
        return [str(env_id) for env_id in env_ids]


def _paths(files: Any) -> list[str]:
    if files is None:
        return []
    return [str(files)] if isinstance(files, str) else [str(file) for file in files]
