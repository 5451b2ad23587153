"""The modules that tools may import, by name."""

from __future__ import annotations

from types import ModuleType

from astra_gym.sandbox.modules.collections_ import COLLECTIONS
from astra_gym.sandbox.modules.dates import CALENDAR, DATETIME, TIME
from astra_gym.sandbox.modules.functions import COPY, FUNCTOOLS
from astra_gym.sandbox.modules.iteration import ITERTOOLS, OPERATOR
from astra_gym.sandbox.modules.numbers import DECIMAL, FRACTIONS, MATH, STATISTICS
from astra_gym.sandbox.modules.objects import ABC, ABSTRACT, DATACLASSES, ENUM, TYPING
from astra_gym.sandbox.modules.order import BISECT, HEAPQ
from astra_gym.sandbox.modules.randomness import RANDOM
from astra_gym.sandbox.modules.regex import RE
from astra_gym.sandbox.modules.texts import HASHLIB, JSON, STRING, TEXTWRAP

COLLECTIONS.__dict__["abc"] = ABSTRACT
MODULES: dict[str, ModuleType] = {
    module.__name__: module
    for module in (
        *(MATH, STATISTICS, FRACTIONS, DECIMAL, RANDOM),
        *(JSON, RE, STRING, TEXTWRAP, HASHLIB),
        *(DATETIME, CALENDAR, TIME),
        *(COLLECTIONS, ABSTRACT, ITERTOOLS, FUNCTOOLS, OPERATOR, HEAPQ, BISECT, COPY),
        *(ENUM, DATACLASSES, TYPING, ABC),
    )
}
MODULES["typing_extensions"] = TYPING
