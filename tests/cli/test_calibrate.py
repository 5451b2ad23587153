"""`astra calibrate`: by rule, with a model behind a server, and what it says of wrong options."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from astra_gym.cli import app
from astra_gym.llm.errors import EndpointError
from tests.llm.server import answering, say

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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give --model NAME for a judge model, or --by-rule for none"),
        (["--by-rule", "--model", "m"], "give --model NAME"),
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
