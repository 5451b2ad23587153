"""A model by its name on a command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from astra_gym.errors import ModelError
from astra_gym.models.base import ChatModel
from astra_gym.models.human import HumanModel
from astra_gym.models.openai_api import OpenAIModel
from astra_gym.models.oracle import OracleModel
from astra_gym.models.random_calls import RandomModel
from astra_gym.nearest import nearest

MODEL_NAMES = {
    "oracle": "plays the gold calls, in parallel where the graph allows",
    "oracle-sequential": "plays the gold calls, one a turn",
    "random": "random calls that fit the schemas, then a random answer",
    "human": "you, at the terminal",
    "openai:NAME": "the model NAME behind an OpenAI-compatible endpoint",
}
"""What `resolve_model` knows."""


def resolve_model(name: str, **options: Any) -> ChatModel:
    """The model of that name.

    Args:
        options: those of `OpenAIModel` (base_url, temperature, ...), for "openai:NAME"; None means not given.

    Raises: ModelError naming what there is; MissingExtraError when the model needs one.
    """
    given = {key: value for key, value in options.items() if value is not None}
    if name.startswith("openai:") and name != "openai:":
        return OpenAIModel(name.removeprefix("openai:"), **given)
    if name.startswith("hf:"):
        raise ModelError(
            f"{name}: local transformers models come with the training extra, which is not part of this version"
        )
    makers: dict[str, Callable[[], ChatModel]] = {
        "oracle": OracleModel,
        "oracle-sequential": lambda: OracleModel(parallel=False),
        "random": RandomModel,
        "human": HumanModel,
    }
    if name not in makers:
        near = nearest(name, makers, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise ModelError(f"no model {name!r}; there are {', '.join(MODEL_NAMES)}{meant}")
    if given:
        raise ModelError(f"{name} takes no {', '.join(sorted(given))}; only openai:NAME does")
    return makers[name]()
