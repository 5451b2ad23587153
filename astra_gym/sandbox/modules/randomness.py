"""`random`: the episode's seeded numbers, or a generator with a seed of the tool's own."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

from astra_gym.sandbox.guards import operators
from astra_gym.sandbox.guards.iteration import collect
from astra_gym.sandbox.limits import MAX_BITS, MAX_LENGTH
from astra_gym.sandbox.meter import charge, current_meter, out, spend
from astra_gym.sandbox.modules.frozen import frozen
from astra_gym.sandbox.words import words

GENERATOR_COST = 128
_DISTRIBUTIONS = (
    "random uniform triangular gauss normalvariate lognormvariate expovariate betavariate gammavariate paretovariate "
    "vonmisesvariate weibullvariate"
)


class Random:
    """`random.Random` with the methods whose size is bounded."""

    __slots__ = ("_generator",)

    def __init__(self, seed: Any = None) -> None:
        spend(GENERATOR_COST)
        self._generator = random.Random()
        self.seed(seed)

    def _source(self) -> random.Random:
        return self._generator

    def seed(self, seed: Any = None) -> None:
        spend(GENERATOR_COST)
        if seed is None:
            seed = current_meter().episode.seed_text
        if type(seed) not in (int, float, str, bytes, bool):
            raise TypeError("the seed must be a number or text")
        self._source().seed(seed)

    def randint(self, a: Any, b: Any) -> int:
        return self._source().randint(operators.check_int(a), operators.check_int(b))

    def randrange(self, *bounds: Any) -> int:
        return self._source().randrange(*map(operators.check_int, bounds))

    def choice(self, seq: Any) -> Any:
        if isinstance(seq, (set, frozenset)):
            raise TypeError("'set' object is not subscriptable")
        return self._source().choice(seq)

    def choices(self, population: Any, weights: Any = None, *, cum_weights: Any = None, k: int = 1) -> list[Any]:
        items = collect(population)
        if k > MAX_LENGTH:
            out()
        charge(16 * k)
        spread = [None if values is None else collect(values) for values in (weights, cum_weights)]
        return self._source().choices(items, spread[0], cum_weights=spread[1], k=k)

    def sample(self, population: Any, k: int, *, counts: Any = None) -> list[Any]:
        if isinstance(population, (set, frozenset)):
            raise TypeError("Population must be a sequence. For dicts or sets, use sorted(d).")
        if k > MAX_LENGTH:
            out()
        charge(16 * k + len(population))
        return self._source().sample(population, k, counts=counts)

    def shuffle(self, x: Any) -> None:
        charge(16 * len(x))
        self._source().shuffle(x)

    def getrandbits(self, k: int) -> int:
        if k > MAX_BITS:
            out("number_too_large")
        return self._source().getrandbits(k)

    def randbytes(self, n: int) -> bytes:
        if n > MAX_BITS // 8:
            out()
        return self._source().randbytes(n)


def _distribution(name: str) -> Callable[..., float]:
    def draw(self: Random, *parameters: Any) -> float:
        if not all(math.isfinite(parameter) for parameter in parameters):
            raise ValueError(f"random.{name} takes finite numbers")  # with others some of these loop for ever
        return getattr(self._source(), name)(*parameters)  # type: ignore[no-any-return]

    draw.__name__ = name
    return draw


for _name in words(_DISTRIBUTIONS):
    setattr(Random, _name, _distribution(_name))


class _EpisodeRandom(Random):
    """The generator of the episode in progress."""

    __slots__ = ()

    def __init__(self) -> None:
        """Nothing is drawn before the first call."""

    def _source(self) -> random.Random:
        return current_meter().episode.random()


random.Random("text")
_episode = _EpisodeRandom()
_METHODS = ("seed", "randint", "randrange", "choice", "choices", "sample", "shuffle", "getrandbits", "randbytes")
RANDOM = frozen(
    "random",
    {"Random": Random, **{name: getattr(_episode, name) for name in (*_METHODS, *words(_DISTRIBUTIONS))}},
)
