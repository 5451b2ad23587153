"""What is drawn, and the log-probability that goes with it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from astra_train.generation.errors import GenerationError, RequestError
from astra_train.generation.sampling import Sampling, sample

LOGITS = torch.tensor([[2.0, 1.0, 0.0, -1.0, 4.0, 3.0]])


def setting(**options: Any) -> Sampling:
    return Sampling(**{"max_tokens": 1, "stop_token_ids": (), **options})


def drawn(options: dict[str, Any], draws: int = 400) -> list[int]:
    """What evenly spread uniforms give."""
    tokens, _ = sample(
        LOGITS.expand(draws, -1), [setting(**options)] * draws, [(i + 0.5) / draws for i in range(draws)]
    )
    return tokens


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, {0, 1, 2, 3, 4, 5}),
        ({"top_k": 2}, {4, 5}),
        ({"top_k": 0}, {0, 1, 2, 3, 4, 5}),
        ({"top_k": 100}, {0, 1, 2, 3, 4, 5}),
        ({"top_p": 0.6}, {4}),
        ({"top_p": 0.8}, {4, 5}),
        ({"top_p": 1e-9}, {4}),
        ({"top_p": 0.9, "temperature": 0.2}, {4}),
        ({"top_p": 0.7, "top_k": 2}, {4}),
        ({"temperature": 0.0}, {4}),
    ],
)
def test_only_what_the_filters_leave_is_drawn(options: dict[str, Any], kept: set[int]) -> None:
    assert set(drawn(options)) == kept


@pytest.mark.parametrize("options", [{}, {"temperature": 2.0}, {"top_k": 3}, {"top_p": 0.9, "temperature": 1.5}])
def test_tokens_come_as_often_as_they_are_likely(options: dict[str, Any]) -> None:
    tokens = drawn(options)
    weights = torch.softmax(LOGITS[0].double() / options.get("temperature", 1.0), -1)
    for token in set(range(6)) - set(tokens):
        weights[token] = 0
    weights /= weights.sum()
    for token in range(6):
        assert tokens.count(token) / 400 == pytest.approx(weights[token].item(), abs=0.005)


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53])
def test_a_token_of_no_probability_is_never_drawn(uniform: float) -> None:
    logits = torch.tensor([[float("-inf"), 1.0, float("-inf"), 2.0, float("-inf")]])
    assert sample(logits, [setting()], [uniform])[0][0] in (1, 3)


def test_log_probs_know_of_the_temperature_and_not_of_the_filters() -> None:
    settings = [setting(temperature=0.5, top_k=1), setting(temperature=0.0), setting(temperature=2.0, top_p=0.1)]
    tokens, log_probs = sample(LOGITS.expand(3, -1), settings, [0.9, 0.9, 0.9])
    assert tokens == [4, 4, 4]
    expected = [torch.log_softmax(LOGITS[0] / temperature, -1)[4].item() for temperature in (0.5, 1.0, 2.0)]
    assert log_probs == pytest.approx(expected, abs=1e-6)


def test_rows_are_independent() -> None:
    settings = [setting(top_k=1), setting(), setting(temperature=0.0), setting(top_p=0.8)]
    uniforms = [0.99, 0.999, 0.1, 0.99]
    together = sample(LOGITS.expand(4, -1), settings, uniforms)
    alone = [sample(LOGITS, [s], [u]) for s, u in zip(settings, uniforms, strict=True)]
    assert together[0] == [tokens[0] for tokens, _ in alone]
    assert together[1] == pytest.approx([log_probs[0] for _, log_probs in alone])


def test_logits_that_are_no_numbers_are_an_error() -> None:
    with pytest.raises(GenerationError, match="NaN"):
        sample(LOGITS * float("nan"), [setting()], [0.5])


@pytest.mark.parametrize(
    "options", [{"max_tokens": 0}, {"temperature": -0.1}, {"temperature": float("nan")}, {"top_p": 0.0}, {"top_k": -2}]
)
def test_impossible_settings_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=next(iter(options))):
        setting(**options)
