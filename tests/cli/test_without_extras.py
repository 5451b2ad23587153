"""The commands of training on an installation that has none of its libraries: a message, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BARE = """
import importlib.metadata, sys

GONE = {"torch", "transformers", "verl", "ray", "tensordict", "transfer_queue", "packaging", "gguf", "tokenizers"}
DISTRIBUTIONS = GONE | {"TransferQueue"}
found = importlib.metadata.version


class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in GONE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def version(name):
    if name in DISTRIBUTIONS:
        raise importlib.metadata.PackageNotFoundError(name)
    return found(name)


sys.meta_path.insert(0, Gone())
importlib.metadata.version = version
from astra_gym.cli import main
main()
"""


@pytest.mark.parametrize(
    "words",
    [
        ["train", "grpo", "--preset", "cpu", "--model", "m", "--data", "d", "--run", "r"],
        ["train", "sft", "--preset", "paper", "--dry-run"],
        ["train", "export", "r"],
        ["policy", "tiny", "-o", "new"],
        ["policy", "smollm2", "-o", "new"],
        ["policy", "check", "."],
        ["demo", "--train"],
        ["eval", "--model", "hf:m", "--limit", "1"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_what_is_missing_is_said_with_what_to_install(words: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BARE, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "pip install 'astra-gym[train]'" in " ".join(done.stderr.split())
    assert not (tmp_path / "new").exists()
