"""Who plays: a `ChatModel` reads the messages so far and writes the next assistant turn, which is the env's action.

`ScriptedModel` repeats given turns, `OracleModel` plays the gold calls, `RandomModel` guesses, `HumanModel` asks at the
terminal and `OpenAIModel` asks an OpenAI-compatible endpoint. `resolve_model` finds one by name.
"""

from astra_gym.models.base import ChatModel
from astra_gym.models.human import HumanModel
from astra_gym.models.openai_api import OpenAIModel
from astra_gym.models.oracle import OracleModel
from astra_gym.models.random_calls import RandomModel
from astra_gym.models.resolve import MODEL_NAMES, resolve_model
from astra_gym.models.scripted import ScriptedModel

__all__ = [
    "MODEL_NAMES",
    "ChatModel",
    "HumanModel",
    "OpenAIModel",
    "OracleModel",
    "RandomModel",
    "ScriptedModel",
    "resolve_model",
]
