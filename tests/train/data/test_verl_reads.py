"""verl itself reads the files: its RL data set as it is, its SFT trainer's loading and collating of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

import astra_gym
from astra_train.data.rl import write_rl
from astra_train.data.sft import write_sft
from astra_train.data.styles import STYLES, play
from tests.specs import JOIN

pytest.importorskip("verl", reason="needs the extra `train`")

RL_SCRIPT = """
import json, sys
from omegaconf import OmegaConf
from transformers import AutoTokenizer
from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn
config = OmegaConf.create({"max_prompt_length": 4096, "filter_overlong_prompts": False, "return_raw_chat": True})
tokenizer = AutoTokenizer.from_pretrained(sys.argv[2])
data = RLHFDataset(sys.argv[1], tokenizer, config)
batch = collate_fn([data[i] for i in range(len(data))])
row = data[1]
print("RESULT", json.dumps({
    "rows": len(data), "raw_prompt": row["raw_prompt"], "agent": row["agent_name"], "info": row["extra_info"],
    "index": row["index"], "batched": len(batch["raw_prompt"]), "seeds": [r["extra_info"]["seed"] for r in data],
}))
"""
SFT_SCRIPT = """
import json, sys
from omegaconf import OmegaConf
from transformers import AutoTokenizer
from verl.trainer.sft_trainer import create_sft_dataset
from verl.utils.dataset.dataset_utils import SFTTensorCollator
tokenizer = AutoTokenizer.from_pretrained(sys.argv[2])
told = {}
for mode in ("no_padding", "right"):
    config = OmegaConf.create({
        "custom_cls": {"path": "pkg://astra_train.data.sft_dataset", "name": "ToolSFTDataset"},
        "max_length": 2048, "pad_mode": mode, "truncation": "error", "apply_chat_template_kwargs": {},
    })
    data = create_sft_dataset(OmegaConf.create([sys.argv[1]]), config, tokenizer, None, max_samples=-1)
    batch = SFTTensorCollator(mode)([data[i] for i in range(len(data))])
    ids = batch["input_ids"]
    lengths = ids.offsets().diff().tolist() if ids.is_nested else list(ids.shape)
    told[mode] = {"lengths": lengths, "keys": sorted(batch), "learned": int(sum(r["loss_mask"].sum() for r in data))}
print("RESULT", json.dumps(told))
"""


def printed_by(script: str, *arguments: Path, cwd: Path) -> dict[str, object]:
    """What the script printed after RESULT; its own warnings do not count."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, timeout=280
    )
    assert done.returncode == 0, done.stderr[-2000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    told: dict[str, object] = orjson.loads(line.removeprefix("RESULT "))
    return told


def test_verls_rl_data_set_reads_the_rows_unmodified(tmp_path: Path, tiny_folder: Path) -> None:
    ids = [env_id.partition("/")[2] for env_id in astra_gym.shipped_ids()[:4]]
    write_rl(tmp_path / "rl.parquet", None, ids)
    told = printed_by(RL_SCRIPT, tmp_path / "rl.parquet", tiny_folder, cwd=tmp_path)
    with astra_gym.make(f"astra/{ids[1]}") as env:
        question, _ = env.reset(seed=0)
    assert (told["rows"], told["batched"], told["index"], told["seeds"]) == (4, 4, 1, [0, 1, 2, 3])
    assert told["raw_prompt"] == [{"role": "user", "content": question}]
    assert told["agent"] == "tool_env"
    info = told["info"]
    assert isinstance(info, dict)
    assert (info["env_id"], info["suite"], info["env_kwargs"], info["faults"]) == (f"astra/{ids[1]}", "", "{}", "")


def test_verls_sft_trainer_loads_and_collates_the_rows(tmp_path: Path, tiny_folder: Path) -> None:
    write_sft(tmp_path / "sft.parquet", [play(JOIN, style) for style in STYLES])
    told = printed_by(SFT_SCRIPT, tmp_path / "sft.parquet", tiny_folder, cwd=tmp_path)
    bare, padded = told["no_padding"], told["right"]
    assert isinstance(bare, dict)
    assert isinstance(padded, dict)
    assert len(bare["lengths"]) == len(STYLES)
    assert bare["keys"] == ["input_ids", "loss_mask", "position_ids"]
    assert padded["lengths"] == [len(STYLES), 2048]
    assert padded["keys"] == ["attention_mask", *bare["keys"]]
    assert 0 < bare["learned"] == padded["learned"] < sum(bare["lengths"])
