"""What requests have cost: calls, tokens, money, time."""

from __future__ import annotations

from dataclasses import dataclass, fields

from astra_gym.records import JSON


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over requests. `calls`, tokens and `usd` include what came from the cache, at the price it had."""

    calls: int = 0
    """Replies asked for, re-asks included; attempts repeated after a failure are not counted again."""
    cached_calls: int = 0
    """Of those, how many the cache answered."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    cached_usd: float = 0.0
    """Of `usd`, what the cache saved."""
    seconds: float = 0.0
    """Time spent waiting for replies."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def spent_usd(self) -> float:
        """What was paid: not what the cache answered."""
        return self.usd - self.cached_usd

    def as_json(self) -> dict[str, JSON]:
        return {f.name: getattr(self, f.name) for f in fields(self)}
