"""What the training demo draws from the files of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import astra_gym
from astra_gym.comparison import compare
from astra_gym.env import ToolEnv
from astra_gym.registration import SHIPPED
from astra_gym.suite import open_suite
from astra_gym.summary import EpisodeScore
from astra_train.demo_figures import HELD_OUT_METRICS, draw_curve, read_curve, show_curve, show_stages

pytestmark = pytest.mark.filterwarnings("ignore")


def test_stages_and_curve_are_shown_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    specs = list(open_suite(SHIPPED))[:6]
    played = {
        name: [EpisodeScore.of(astra_gym.rollout(ToolEnv(spec), model, seed=1)) for spec in specs]
        for name, model in (("untrained", astra_gym.RandomModel()), ("SFT", astra_gym.OracleModel()))
    }
    report = compare(played, pairs=[("untrained", "SFT")])
    lines = [{"step": s, "data": dict.fromkeys(HELD_OUT_METRICS.values(), s / 10)} for s in (0, 5, 10)]
    lines.insert(1, {"step": 1, "data": {"actor/lr": 1.0}})
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    curve = read_curve(metrics)
    assert curve == {name: {0: 0.0, 5: 0.5, 10: 1.0} for name in HELD_OUT_METRICS}
    show_stages(report, "greedily")
    show_curve(curve)
    shown = capsys.readouterr().out
    assert "SFT over untrained, f1: +1.000" in shown
    assert "0.000 -> 1.000" in shown
    show_stages(compare(played, pairs=[("SFT", "untrained")]), "greedily")
    assert "untrained over SFT, f1: -1.000 [-1.000, -1.000] (worse, clear)" in capsys.readouterr().out
    assert draw_curve(curve, report, tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"
