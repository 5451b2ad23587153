"""`astra synthesize envs` as a user meets it: by exit code and by what is printed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from astra_gym.suite import open_suite
from tests.env_synthesis.llm.depots import answer, write_questions
from tests.llm.server import AnsweringServer, answering
from tests.models.chat_server import Reply, failure


def envs(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "astra_gym.cli", "synthesize", "envs", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200)


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Both streams, without the breaks of lines."""
    return " ".join((done.stdout + done.stderr).split())


@pytest.fixture(scope="module")
def server() -> Iterator[AnsweringServer]:
    with answering(answer) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_questions(tmp_path / "questions.jsonl", 6)
    return tmp_path


QUESTIONS = ("questions.jsonl", "--mode", "question", "-o", "suite.jsonl")


def test_the_report_tells_the_funnel_the_envs_and_the_cost(folder: Path, server: AnsweringServer) -> None:
    asked = ("--model", "writer", "--base-url", server.base_url, "--price-in", "2", "--price-out", "10")
    done = envs(folder, *QUESTIONS, *asked)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.strip("│ ").split("│")] for line in done.stdout.splitlines() if "│" in line]
    assert rows[:4] == [
        ["generate", "6", "1", "5"],
        ["serialisation", "5", "1", "4"],
        ["implementation", "4", "1", "3"],
        ["certified", "3", "0", "3"],
    ]
    assert "3 certified envs" in done.stdout
    assert "suite.jsonl: 3 envs" in done.stdout
    assert " USD spent (" in done.stdout
    again = envs(folder, *QUESTIONS, *asked, "--json")
    report = orjson.loads(again.stdout)
    assert (report["items"], report["kept"], report["resumed"], report["unanswered"]) == (6, 3, 6, 0)
    assert report["funnel"][0] == {"stage": "generate", "in": 6, "rejected": 1, "out": 5}
    assert report["usage"]["usd"] > 0
    cheaper = envs(folder, *QUESTIONS, *asked, "--max-calls", "7")
    assert cheaper.returncode == 2
    assert "holds the output of another run (budget was" in said(cheaper)
    assert "--overwrite" in said(cheaper)


def test_a_dead_judge_is_exit_code_1_with_its_message(folder: Path, server: AnsweringServer) -> None:
    def gone(_request: dict[str, Any]) -> Reply:
        return failure(404, "no such model")

    with answering(gone) as dead:
        judge = ("--judge-model", "judge", "--judge-url", dead.base_url, "--retries", "0")
        done = envs(folder, *QUESTIONS, "--model", "writer", "--base-url", server.base_url, *judge)
    assert done.returncode == 1
    assert f"stopped: judge at {dead.base_url}: the endpoint is down: it left 5 items in a row without" in said(done)
    assert "no model 'judge', or no chat endpoint under base_url" in said(done)
    assert "of 6 items are not done" in said(done)
    assert "nothing was kept" in said(done)
    assert (folder / "suite.jsonl").read_bytes() == b""


def test_an_item_that_fails_for_ever_is_named_and_exit_code_1(folder: Path) -> None:
    def failing(request: dict[str, Any]) -> Reply:
        return failure(500, "oops") if "K01" in request["messages"][1]["content"] else answer(request)

    with answering(failing) as bad:
        done = envs(folder, *QUESTIONS, "--model", "writer", "--base-url", bad.base_url, "--retries", "0")
    assert done.returncode == 1
    assert "the last failure: question-depots-" in said(done)
    assert "the server failed, also after the retries (HTTP 500: 'oops')" in said(done)
    assert "1 of 6 items are not done; what was finished is kept, the same command goes on" in said(done)
    assert len((folder / "suite.jsonl").read_bytes().splitlines()) == 2


def test_nothing_kept_is_exit_code_1(folder: Path, server: AnsweringServer) -> None:
    done = envs(folder, *QUESTIONS, "--model", "writer", "--base-url", server.base_url, "--max-calls", "2")
    assert done.returncode == 1
    assert "nothing was kept" in said(done)
    assert "budget" in done.stdout


CONFIG = """
mode = "question"
[source]
max_hops = 4
license = "MIT"
attribution = "the depots' own books"
[writer]
model = "from the file"
base_url = "{url}"
temperature = 0.25
[[judges]]
model = "judge-1"
base_url = "{url}"
[[judges]]
model = "judge-2"
base_url = "{url}"
[asking]
retries = 0
[budget]
calls = 90
[run]
concurrency = 1
"""


def test_a_file_configures_and_options_go_over_it(folder: Path, server: AnsweringServer) -> None:
    (folder / "run.toml").write_text(CONFIG.format(url=server.base_url))
    before = len(server.requests)
    done = envs(
        folder,
        "questions.jsonl",
        "-o",
        "s.jsonl",
        "--config",
        "run.toml",
        "--model",
        "option",
        "--limit",
        "1",
        "--license",
        "CC-BY-4.0",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    asked = server.requests[before:]
    assert {request["model"] for request in asked} == {"option", "judge-1", "judge-2"}
    assert {request["temperature"] for request in asked if request["model"] == "option"} == {0.25}
    mark = orjson.loads((folder / "s.run.json").read_bytes())
    assert mark["settings"]["budget"]["calls"] == 90
    assert mark["settings"]["source"]["max_hops"] == 4
    (spec,) = open_suite(folder / "s.jsonl")
    assert spec.provenance.license == "CC-BY-4.0"
    assert spec.provenance.details["attribution"] == "the depots' own books"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("questions.jsonl", "--model", "m"), "say with --mode what the input holds: one of corpus, domain"),
        (("questions.jsonl", "--mode", "question"), "name a model with --model"),
        (("gone.jsonl", "--mode", "question", "--model", "m"), "gone.jsonl: no such file"),
        (("questions.jsonl", "--mode", "poems", "--model", "m"), "the options: mode: Input should be 'corpus'"),
        (("questions.jsonl", "--mode", "question", "--model", "m", "--max-usd", "1"), "needs the prices of ['m']"),
        (("questions.jsonl", "--mode", "question", "--model", "m", "--price-in", "1"), "give both prices or none"),
        (("--mode", "domain", "--model", "m"), "reads at least one file, or a domain by --domain"),
        (
            ("questions.jsonl", "--mode", "question", "--model", "m", "--min-hops", "5", "--max-hops", "3"),
            "min_hops 5 is above max_hops 3",
        ),
        (
            ("questions.jsonl", "--mode", "question", "--model", "m", "--judge-url", "u"),
            "--judge-url needs --judge-model",
        ),
        (
            ("q", "--mode", "question", "--model", "m", "--judge-model", "a", "--judge-url", "u", "--judge-url", "v"),
            "1 of --judge-model, but 2 of --judge-url",
        ),
        (
            ("questions.jsonl", "--mode", "question", "--model", "m", "--scenario", "Multi-Hop=x"),
            "expected a shape and",
        ),
        (("questions.jsonl", "--config", "bad.toml", "--model", "m"), "bad.toml: not TOML"),
        (("questions.jsonl", "--config", "odd.toml", "--model", "m"), "odd.toml: budget.cals: Extra inputs"),
        ((".", "--mode", "corpus", "--model", "m"), "suite.jsonl: stands in ., which is read"),
        (("empty.jsonl", "--mode", "question", "--model", "m"), "there is nothing to read in the input"),
    ],
)
def test_bad_usage_is_exit_code_2_with_a_message(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    (folder / "bad.toml").write_text("[budget\n")
    (folder / "odd.toml").write_text('mode = "question"\n[budget]\ncals = 3\n')
    (folder / "empty.jsonl").write_text("")
    done = envs(folder, *arguments, "-o", "suite.jsonl")
    assert done.returncode == 2
    assert message in said(done).replace("│ ", "")
    assert "Traceback" not in done.stderr
    assert not (folder / "suite.jsonl").exists()


def test_without_the_client_the_extra_is_named(folder: Path) -> None:
    code = "import sys; sys.modules['openai'] = None\nfrom astra_gym.cli import main\nmain()"
    words = ["synthesize", "envs", *QUESTIONS, "--model", "m", "--base-url", "http://127.0.0.1:9/v1"]
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "pip install 'astra-gym[synth]'" in said(done)
    assert "Traceback" not in done.stderr
