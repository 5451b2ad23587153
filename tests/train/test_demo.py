"""The demo's training half, in small: every stage through the real commands, and what it holds out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from astra_gym.registration import SHIPPED
from astra_gym.suite import open_suite
from astra_train import demo
from astra_train.data.content import content_of
from astra_train.data.split import common_texts

pytestmark = pytest.mark.timeout(1800)


def test_all_stages_run_and_nothing_held_out_was_read_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    small = replace(
        demo.DemoPlan(),
        envs=240,
        sft_steps=2,
        sft_batch=8,
        grpo_steps=1,
        grpo_prompts=2,
        grpo_episodes=4,
        evaluated=6,
        validated=4,
    )
    report = demo.Demo(tmp_path, demo.TINY_BASE, small).run()
    assert [model.model for model in report.models][:3] == ["untrained", "SFT", "GRPO"]
    assert {"first-tool", "every-tool", "random"} <= {model.model for model in report.models}
    assert {model.all.envs for model in report.models} == {6}
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"
    assert "GRPO over SFT, solve_rate" in capsys.readouterr().out
    contents = [content_of(spec) for spec in open_suite(tmp_path / "train_suite.jsonl")]
    read = demo.texts_read(demo.TINY_BASE)
    held_out = [content_of(spec) for spec in open_suite(tmp_path / "held_out.jsonl")]
    own = set().union(*(content.entities for content in held_out)) - common_texts(contents)
    assert own
    assert not own & read


def test_envs_that_name_what_the_base_has_read_are_not_measured_on() -> None:
    contents = {spec.id: content_of(spec) for spec in open_suite(SHIPPED)}
    common = common_texts(contents.values())
    named = next(content for content in contents.values() if content.entities - common)
    entity = min(named.entities - common)
    kept = demo.unread(contents, contents, {entity, *common})
    assert set(contents) - set(kept) == {key for key, content in contents.items() if entity in content.entities}
    assert named.id not in kept
    assert demo.unread(contents, contents, ()) == list(contents)


def test_a_stage_that_fails_names_its_command(tmp_path: Path) -> None:
    missing = demo.Demo(tmp_path, tmp_path / "no-such-model", replace(demo.DemoPlan(), envs=60))
    with pytest.raises(demo.TrainingError, match=r"`astra train sft .*no-such-model.* ended with exit code"):
        missing.run()


def test_the_base_is_small_and_knows_what_it_read() -> None:
    assert sum(file.stat().st_size for file in demo.TINY_BASE.iterdir()) < 8e6
    assert len(demo.texts_read(demo.TINY_BASE)) > 500
    assert demo.texts_read(Path(__file__).parent) == frozenset()


def test_without_the_training_libraries_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from astra_gym.cli import app
    from astra_gym.errors import MissingExtraError

    def not_there() -> None:
        raise MissingExtraError("training cannot run here: verl is not installed")

    monkeypatch.setattr(demo, "require_training", not_there)
    plain = ["demo", "-n", "12", "-o", str(tmp_path / "suite.jsonl")]
    assert CliRunner().invoke(app, plain).exit_code == 0
    (tmp_path / "suite.jsonl").unlink()
    done = CliRunner().invoke(app, [*plain, "--train"])
    assert isinstance(done.exception, MissingExtraError)
    assert not (tmp_path / "suite.jsonl").exists()  # said before anything was done
