"""The same run on Ray: the same bytes, and the same end when an endpoint is dead."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.env_synthesis.llm.depots import answer, write_questions
from tests.llm.server import answering
from tests.models.chat_server import Reply, failure

ITEMS = 6


def synthesize(folder: Path, url: str, *options: str) -> subprocess.CompletedProcess[str]:
    words = ["synthesize", "envs", "questions.jsonl", "--mode", "question", "--model", "writer", "--base-url", url]
    command = [sys.executable, "-m", "astra_gym.cli", *words, "--retries", "0", "--json", *options]
    quiet = {**os.environ, "RAY_DEDUP_LOGS": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280, env=quiet)


def test_ray_gives_the_same_suite_as_the_local_engine(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    write_questions(tmp_path / "questions.jsonl", ITEMS)
    with answering(answer) as server:
        local = synthesize(tmp_path, server.base_url, "-o", "local.jsonl")
        assert local.returncode == 0, local.stderr
        on_ray = synthesize(tmp_path, server.base_url, "-o", "ray.jsonl", "--engine", "ray", "--actors", "2")
        assert on_ray.returncode == 0, on_ray.stderr
    for suffix in (".jsonl", ".rejected.jsonl"):
        assert (tmp_path / f"ray{suffix}").read_bytes() == (tmp_path / f"local{suffix}").read_bytes()
    assert orjson.loads(on_ray.stdout)["funnel"] == orjson.loads(local.stdout)["funnel"]


def test_a_dead_endpoint_ends_a_run_on_ray_with_its_message(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    write_questions(tmp_path / "questions.jsonl", ITEMS)

    def gone(_request: dict[str, Any]) -> Reply:
        return failure(401, "bad key")

    with answering(gone) as server:
        done = synthesize(tmp_path, server.base_url, "-o", "ray.jsonl", "--engine", "ray", "--actors", "1")
    assert done.returncode == 1
    assert "stopped: writer at http://127.0.0.1" in done.stderr
    assert "the API key is refused" in done.stderr
    assert (tmp_path / "ray.jsonl").read_bytes() == b""
