"""Engines that the generation tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from astra_train.generation.engine import GenerationEngine
from tests.train.generation.models import make_model

EngineMaker = Callable[..., GenerationEngine]


@pytest.fixture
def make_engine() -> Iterator[EngineMaker]:
    """Makes engines, of a fresh Qwen3 unless a model is given, that are closed after the test."""
    engines: list[GenerationEngine] = []

    def make(model: Any = None, **options: Any) -> GenerationEngine:
        settings = {"max_model_len": 300, "threads": 1} | options
        engines.append(GenerationEngine(make_model() if model is None else model, **settings))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()
