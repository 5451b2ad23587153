"""Rows of like length share a micro-batch in training, and keep their order where it is asked for."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("verl")


@pytest.mark.parametrize(
    ("settings", "forward_only", "expected"),
    [
        ({"use_dynamic_bsz": False}, False, [2, 3, 1, 0]),
        ({"use_dynamic_bsz": False}, True, [0, 1, 2, 3]),
        ({"use_dynamic_bsz": True}, False, [0, 1, 2, 3]),
        ({"use_dynamic_bsz": False, "return_model_output": True}, False, [0, 1, 2, 3]),
    ],
)
def test_rows_are_sorted_whole_and_only_for_training(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, bool], forward_only: bool, expected: list[int]
) -> None:
    from verl.utils import tensordict_utils
    from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

    from astra_train.cpu.engines import CPUPolicyEngine

    seen: list[Any] = []

    def forward_backward_batch(*given: Any, **_: Any) -> str:
        seen.append(given[1])
        return "output"

    monkeypatch.setattr(FSDPEngineWithLMHead, "forward_backward_batch", forward_backward_batch)
    rows = [torch.full((length,), row) for row, length in enumerate((9, 7, 3, 5))]
    data = tensordict_utils.get_tensordict(
        {"input_ids": torch.nested.as_nested_tensor(rows, layout=torch.jagged), "row": torch.arange(4)}, settings
    )
    engine = object.__new__(CPUPolicyEngine)
    assert engine.forward_backward_batch(data, None, forward_only=forward_only) == "output"
    assert seen[0]["row"].tolist() == expected
    assert [int(row[0]) for row in seen[0]["input_ids"].unbind()] == expected
    assert tensordict_utils.get_non_tensor_data(seen[0], "use_dynamic_bsz", None) == settings["use_dynamic_bsz"]
