"""`astra policy`: folders are written and checked; what is wrong is said, with exit code 1 or 2."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

pytest.importorskip("transformers", reason="needs the train extra")
pytest.importorskip("torch", reason="needs the train extra")

from astra_train.errors import TrainingError
from astra_train.policies.cli import app

SMALL = ["--hidden", "32", "--layers", "2", "--heads", "2", "--vocabulary", "400", "--context", "512"]


def astra_policy(*words):
    return CliRunner().invoke(app, [*map(str, words)], catch_exceptions=True)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy") / "tiny"
    done = astra_policy("tiny", "-o", folder, *SMALL)
    assert done.exit_code == 0, done.output
    return folder


def test_a_tiny_policy_passes_the_check(tiny):
    done = astra_policy("check", tiny, "--required-tokens", 512, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["ok"]
    assert (found["architecture"], found["context_length"]) == ("Qwen3ForCausalLM", 512)
    assert found["fingerprint"].startswith("config:")


def test_a_model_that_will_not_do_exits_1(tiny):
    done = astra_policy("check", tiny, "--required-tokens", 513)
    assert done.exit_code == 1
    assert "reads 512 tokens at most" in done.output


def test_a_folder_with_something_in_it_is_not_written_over(tiny):
    done = astra_policy("tiny", "-o", tiny, *SMALL)
    assert isinstance(done.exception, TrainingError)
    assert "holds something already" in str(done.exception)


def test_a_width_that_does_not_divide_is_bad_usage(tmp_path):
    done = astra_policy("tiny", "-o", tmp_path / "new", "--hidden", "100", "--heads", "3")
    assert done.exit_code == 2
    assert not (tmp_path / "new").exists()
