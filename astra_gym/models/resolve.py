"""A model by its name on a command line: one for an episode, or a factory of many that share what is costly.

Other packages add models by an entry point in the group `astra_gym.models`: its name is the prefix ("hf" for
"hf:DIR"), its object a function `(rest_of_the_name, **options) -> Callable[[], ChatModel]`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from astra_gym.errors import MissingExtraError, ModelError
from astra_gym.models.base import ChatModel
from astra_gym.models.first_tool import EveryToolModel, FirstToolModel
from astra_gym.models.human import HumanModel
from astra_gym.models.openai_api import OpenAIModel
from astra_gym.models.oracle import OracleModel
from astra_gym.models.random_calls import RandomModel
from astra_gym.nearest import nearest

ENTRY_POINTS = "astra_gym.models"
MODEL_NAMES = {
    "oracle": "plays the gold calls, in parallel where the graph allows",
    "oracle-sequential": "plays the gold calls, one a turn",
    "random": "random calls that fit the schemas, then a random answer",
    "first-tool": "calls the first tool with words or numbers of the question and answers with the result",
    "every-tool": "calls each tool once in order, with words, numbers or the last result, and answers with the last",
    "human": "you, at the terminal",
    "openai:NAME": "the model NAME behind an OpenAI-compatible endpoint",
    "hf:DIR": "a transformers model, from a folder or by its id; needs the extra `train`",
}
"""What `resolve_model` knows."""
BASELINES = ("oracle", "random", "first-tool", "every-tool")
"""Rules to stand beside every result: the most that can be had, chance, the easiest call, and all calls by rote."""
_RULES: Mapping[str, Callable[[], ChatModel]] = {
    "oracle": OracleModel,
    "oracle-sequential": lambda: OracleModel(parallel=False),
    "random": RandomModel,
    "first-tool": FirstToolModel,
    "every-tool": EveryToolModel,
    "human": HumanModel,
}


def resolve_model(name: str, **options: Any) -> ChatModel:
    """The model of that name, for one episode at a time; arguments and errors as of `resolve_models`."""
    prefix, _, rest = name.partition(":")
    if prefix == "openai" and rest:
        return _openai_model(rest, options)
    return resolve_models(name, **options)()


def resolve_models(name: str, **options: Any) -> Callable[[], ChatModel]:
    """What makes models of that name: call it once for each episode that is to be played at the same time.

    Weights, an engine or connections are made once, here, and shared by the models.

    Args:
        options: those of the model (base_url, temperature, top_p, top_k, max_tokens, ...); None means not given.

    Raises: ModelError naming what there is; MissingExtraError when the model needs one.
    """
    check_model_name(name)
    given = {key: value for key, value in options.items() if value is not None}
    prefix, _, rest = name.partition(":")
    if name in _RULES:
        if given:
            raise ModelError(f"{name} takes no {', '.join(sorted(given))}; it plays by a rule")
        return _RULES[name]
    if prefix == "openai":
        return _openai_model(rest, given).another
    return _load(name, _entry_points(prefix)[0], rest, given)


def check_model_name(name: str) -> None:
    """Nothing when there is such a model; nothing is loaded. Raises: ModelError, MissingExtraError."""
    prefix, _, rest = name.partition(":")
    if name in _RULES or (rest and (prefix == "openai" or _entry_points(prefix))):
        return
    if rest and prefix == "hf":
        raise MissingExtraError(f"{name}: local models come with the training extra: pip install 'astra-gym[train]'")
    near = nearest(name, _RULES, 1)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise ModelError(f"no model {name!r}; there are {', '.join(MODEL_NAMES)}{meant}")


def takes_sampling(name: str) -> bool:
    """Whether a model of that name has sampling options: one with weights has, a rule has not."""
    return ":" in name


def default_concurrency(name: str) -> int:
    """How many episodes of that model to play at a time: an endpoint waits, an engine batches, a rule gains nothing."""
    if not takes_sampling(name):
        return 1
    return 16 if name.startswith("openai:") else 64


def _openai_model(name: str, options: Mapping[str, Any]) -> OpenAIModel:
    given = {key: value for key, value in options.items() if value is not None}
    if "top_k" in given:  # not in OpenAI's own protocol; vLLM and others read it
        given["extra_body"] = {**given.get("extra_body", {}), "top_k": given.pop("top_k")}
    return OpenAIModel(name, **given)


def _entry_points(prefix: str) -> list[EntryPoint]:
    return list(entry_points(group=ENTRY_POINTS, name=prefix))


def _load(name: str, found: EntryPoint, rest: str, options: Mapping[str, Any]) -> Callable[[], ChatModel]:
    try:
        factory: Callable[[], ChatModel] = found.load()(rest, **options)
    except MissingExtraError:
        raise
    except ImportError as error:
        raise MissingExtraError(f"{name} needs packages: pip install 'astra-gym[train]' ({error})") from error
    return factory
