"""Who plays: a `ChatModel` reads the messages so far and writes the next assistant turn, which is the env's action.

`ScriptedModel` repeats given turns, `OracleModel` plays the gold calls, `RandomModel` guesses, `HumanModel` asks at the
terminal and `OpenAIModel` asks an OpenAI-compatible endpoint; `FirstToolModel` and `EveryToolModel` are trivial rules.
`resolve_model` finds one by name, `resolve_models` makes many that share what is costly.
"""

from astra_gym.models.base import ChatModel
from astra_gym.models.first_tool import EveryToolModel, FirstToolModel
from astra_gym.models.human import HumanModel
from astra_gym.models.openai_api import OpenAIModel
from astra_gym.models.oracle import OracleModel
from astra_gym.models.random_calls import RandomModel
from astra_gym.models.resolve import BASELINES, MODEL_NAMES, resolve_model, resolve_models
from astra_gym.models.scripted import ScriptedModel

__all__ = [
    "BASELINES",
    "MODEL_NAMES",
    "ChatModel",
    "EveryToolModel",
    "FirstToolModel",
    "HumanModel",
    "OpenAIModel",
    "OracleModel",
    "RandomModel",
    "ScriptedModel",
    "resolve_model",
    "resolve_models",
]
