"""verl's data loader over `PassRateDataset`, built by verl's own functions. Run as a script by `test_verl_dataset.py`.

Prints one JSON object: what was handed out before and after a checkpoint, in a run that went on and in one resumed.
"""

from __future__ import annotations

import io
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import verl
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torchdata.stateful_dataloader import StatefulDataLoader
from verl.trainer.ppo.utils import create_rl_dataset, create_rl_sampler
from verl.utils.dataset.rl_dataset import collate_fn

from astra_train.filling import outcomes
from astra_train.filling.checks import check_filling
from tests.train.filling.making import group

ENVS, BATCH = 40, 4


def write(path: Path, prefix: str, rows: int, *, env_ids: bool = True) -> str:
    table = [
        {
            "prompt": [{"role": "user", "content": f"question {i}"}],
            "data_source": "astra_gym",
            "extra_info": {"env_id": f"{prefix}{i}" if env_ids else "", "index": i},
        }
        for i in range(rows)
    ]
    pq.write_table(pa.Table.from_pylist(table), path)
    return str(path)


def config(folder: Path, *overrides: str) -> DictConfig:
    here = Path(verl.__file__).parent / "trainer" / "config"
    files = [f"data.train_files={folder}/train.parquet", f"data.val_files={folder}/val.parquet"]
    chosen = [
        "data.custom_cls.path=pkg://astra_train.filling.dataset",
        "data.custom_cls.name=PassRateDataset",
        "data.dataloader_num_workers=0",
        "data.shuffle=false",
        f"data.train_batch_size={BATCH}",
        "+data.pass_rates.group_size=${actor_rollout_ref.rollout.n}",
        "actor_rollout_ref.rollout.n=4",
        "trainer.v1.sampler.custom_sampler.path=pkg://astra_train.filling.sampler",
        "trainer.v1.sampler.custom_sampler.name=AdaptiveBatchFilling",
        "algorithm.rollout_correction.bypass_mode=true",
    ]
    with initialize_config_dir(str(here), version_base=None):
        return compose("ppo_trainer", overrides=[*files, *chosen, *overrides])


def loader(settings: DictConfig, files: Any, *, train: bool) -> StatefulDataLoader:
    """As `PPOTrainer._init_dataloader` builds it."""
    data = settings.data
    dataset = create_rl_dataset(files, data, tokenizer=None, processor=None, is_train=train)
    if not train:
        return StatefulDataLoader(dataset, batch_size=len(dataset), num_workers=0, collate_fn=collate_fn)
    sampler = create_rl_sampler(data, dataset)
    return StatefulDataLoader(
        dataset, batch_size=BATCH, num_workers=0, drop_last=True, collate_fn=collate_fn, sampler=sampler
    )


def env_ids(batch: dict[str, Any]) -> list[str]:
    return [info["env_id"] for info in batch["extra_info"]]


def learn(handed_out: list[str], version: int) -> None:
    """Env 0 of every ten is half solved, the others never: what a sampler would report."""
    for env_id in handed_out:
        passed = 2 if int(env_id[1:]) % 10 == 0 else 0
        outcomes.report(group("g", [1.0] * passed + [0.0] * (4 - passed), version=version, env_id=env_id))


def take(iterator: Any, batches: int, version: int) -> list[list[str]]:
    taken = []
    for i in range(batches):
        taken.append(env_ids(next(iterator)))
        learn(taken[-1], version + i)
    return taken


def endless(loading: StatefulDataLoader) -> Any:
    while True:
        yield from loading


def main(folder: Path) -> None:
    train, val = write(folder / "train.parquet", "t", ENVS), write(folder / "val.parquet", "v", 8)
    settings = config(folder)
    check_filling(settings)
    first = loader(settings, train, train=True)
    validation = loader(settings, val, train=False)
    iterator = endless(first)
    early = take(iterator, 23, 0)
    saved = io.BytesIO()
    torch.save(first.state_dict(), saved)
    went_on = take(iterator, 12, 23)
    dataset = first.dataset
    del first, iterator, dataset
    saved.seek(0)
    second = loader(settings, train, train=True)
    second.load_state_dict(torch.load(saved, weights_only=False))
    resumed_iterator = endless(second)
    resumed = take(resumed_iterator, 12, 23)
    late = Counter(int(env_id[1:]) % 10 == 0 for batch in take(resumed_iterator, 60, 35) for env_id in batch)
    listeners = outcomes.listener_metrics(1.0)
    errors = [
        error_of(config(folder, f"data.val_files={train}"), train),
        error_of(settings, write(folder / "train.parquet", "t", 4, env_ids=False)),
        error_of(settings, write(folder / "train.parquet", "t", 4), batches=40),
    ]
    found = {
        "early": early,
        "went_on": went_on,
        "resumed": resumed,
        "good_share": late[True] / late.total(),
        "validation": [env_ids(batch) for batch in validation],
        "seen_share": listeners["pass_rates/seen_share"],
        "errors": errors,
    }
    sys.stdout.write("\n" + json.dumps(found) + "\n")


def error_of(settings: DictConfig, files: str, batches: int = 0) -> str:
    try:
        iterator = endless(loader(settings, files, train=True))
        for _ in range(batches):
            next(iterator)
    except Exception as error:  # noqa: BLE001 - the error is what is looked at
        return f"{type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
