"""`astra calibrate`: by rule, with authored judges, with a model behind a server, and what it says of wrong options."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from astra_gym.cli import app
from astra_gym.llm.authored import AuthoredServer
from astra_gym.llm.errors import EndpointError
from tests.llm.server import answering, say

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "calibrate_authored.py"
FEW = ["--good", "2", "--per-flaw", "1"]


def astra(*arguments: str):
    return CliRunner().invoke(app, ["calibrate", *arguments])


def test_judges_by_rule_are_shown_as_a_table():
    shown = astra("--by-rule", *FEW)
    assert shown.exit_code == 0
    assert "Judges on 8 decompositions" in shown.stdout
    for check in ("necessity", "dependency", "atomicity", "serialisation", "completeness", "final_answer"):
        assert check in shown.stdout


def test_a_model_is_measured_over_its_endpoint_and_its_misses_are_listed():
    with answering(lambda _: say("No idea.")) as server:
        shown = astra("--model", "m", "--base-url", server.base_url, "--json", *FEW)
    assert shown.exit_code == 0, shown.output
    report = json.loads(shown.stdout)
    assert report["decompositions"] == 8
    assert [check["recall"] for check in report["checks"]] == [0.0] * 6
    assert {check["sound"]["unknown"] for check in report["checks"]} == {2}
    assert len(report["misses"]) == 2 * 6 + 6
    assert report["usage"]["calls"] > 0


def test_only_the_checks_that_are_named_are_measured():
    shown = astra("--by-rule", *FEW, "--check", "completeness", "--check", "necessity", "--json")
    report = json.loads(shown.stdout)
    assert report["decompositions"] == 4
    assert [check["check"] for check in report["checks"]] == ["necessity", "completeness"]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("calibrate_authored_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def authored(example: ModuleType) -> Iterator[AuthoredServer]:
    with AuthoredServer(example.authored_replies(example.read_mistakes())) as server:
        yield server


@pytest.mark.parametrize("samples", [1, 3])
def test_what_authored_judges_get_wrong_is_what_is_reported(
    example: ModuleType, authored: AuthoredServer, samples: int
):
    """Of three samples a majority decides, so that what one of them gets wrong does not count."""
    words = ["--model", "authored", "--base-url", authored.base_url, "--judge-samples", str(samples), "--json"]
    report = json.loads(astra(*words).stdout)
    wrong = [one for one in example.read_mistakes() if samples == 1 or one.seed is None]
    missed = sorted((miss["id"], miss["check"], miss["flaw"] or "") for miss in report["misses"])
    assert missed == sorted((one.env, one.check, one.flaw or "") for one in wrong)
    assert all(asked.fitted for asked in authored.asked)
    for check in report["checks"]:
        ours = [one for one in wrong if one.check == check["check"]]
        alarms, silent = sum(one.flaw is None for one in ours), sum(one.text is not None for one in ours)
        found = 12 - (len(ours) - alarms)
        assert check["recall"] == pytest.approx(found / 12)
        assert check["precision"] == pytest.approx(found / (found + alarms))
        assert check["kept"] == pytest.approx((24 - alarms) / 24)
        assert check["broken"]["unknown"] == silent
        assert check["agreement"]["judges"] == (samples if samples > 1 else 0)
    assert min(check["recall"] for check in report["checks"]) < 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give --model NAME for a judge model, or --by-rule for none"),
        (["--by-rule", "--model", "m"], "give --model NAME"),
        (["--by-rule", "--check", "style"], "no check is called style; there are necessity, dependency"),
        (
            ["--model", "a", "--model", "b", "--base-url", "x", "--base-url", "y", "--base-url", "z"],
            "2 of --model, but 3",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(arguments, said):
    shown = astra(*arguments)
    assert shown.exit_code == 2
    assert said in " ".join(shown.output.replace("│", " ").split())


def test_a_dead_endpoint_measures_nothing():
    shown = astra("--model", "m", "--base-url", "http://127.0.0.1:9/v1", *FEW)
    assert isinstance(shown.exception, EndpointError)
    assert "127.0.0.1:9" in str(shown.exception)
