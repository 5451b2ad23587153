"""The copying heads that a tiny policy starts with."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from astra_train.policies.cli import app
from astra_train.policies.tiny import TinyShape, build_tiny

torch = pytest.importorskip("torch")
TEXTS = [f"town {number} of the county {number * 7} lies by the river" for number in range(400)]


def repeated_tokens_recalled(folder: Path) -> float:
    """Share of random tokens predicted rightly the second time that they come."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    generator = torch.Generator().manual_seed(5)
    once = torch.randint(10, model.config.vocab_size, (16, 40), generator=generator)
    ids = torch.cat([once, once], dim=1)
    with torch.no_grad():
        guessed = model(input_ids=ids).logits.argmax(-1)
    return (guessed[:, 41:-1] == ids[:, 42:]).float().mean().item()


def test_an_untrained_policy_recalls_what_stood_before(tmp_path: Path) -> None:
    build_tiny(tmp_path / "with", TEXTS, TinyShape(vocabulary=500))
    build_tiny(tmp_path / "without", TEXTS, TinyShape(vocabulary=500, copying=False))
    assert repeated_tokens_recalled(tmp_path / "with") > 0.7
    assert repeated_tokens_recalled(tmp_path / "without") < 0.1


def test_the_same_seed_gives_the_same_weights_and_leaves_torchs_own_generator_alone(tmp_path: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.manual_seed(3)
        build_tiny(tmp_path / name, TEXTS, TinyShape(vocabulary=400), seed=seed)
        assert torch.equal(torch.rand(4), expected)
    weights = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in "abc"}
    assert weights["a"] == weights["b"] != weights["c"]


@pytest.mark.parametrize("shape", [TinyShape(heads=2), TinyShape(layers=1), TinyShape(hidden=16)])
def test_a_shape_without_room_for_them_is_refused(tmp_path: Path, shape: TinyShape) -> None:
    with pytest.raises(ValueError, match="need at least 4 heads of 8 dimensions each, and 2 layers"):
        build_tiny(tmp_path / "policy", TEXTS, shape)


def test_the_command_installs_them_where_there_is_room(tmp_path: Path) -> None:
    def made(name: str, *options: str) -> float:
        done = CliRunner().invoke(app, ["tiny", "-o", str(tmp_path / name), "--vocabulary", "400", *options])
        assert done.exit_code == 0, done.output
        return repeated_tokens_recalled(tmp_path / name)

    assert made("default") > 0.5
    assert made("without", "--no-copying") < 0.1
    assert made("two_heads", "--heads", "2") < 0.1
    assert made("narrow", "--hidden", "16") < 0.2  # heads of 4 dimensions have no room; the model is made without
    refused = CliRunner().invoke(app, ["tiny", "-o", str(tmp_path / "p"), "--heads", "2", "--copying"])
    assert refused.exit_code == 2
    assert "at least 4 heads" in refused.output
