"""Which models are asked, how they sample, and what one item may cost. Plain data, as a TOML file or flags give it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from astra_gym.records import JSON, Record


class Endpoint(Record):
    """One model behind an OpenAI-compatible endpoint, and how it is sampled."""

    model: str = Field(min_length=1)
    base_url: str | None = None
    """Up to and with `/v1`; None: OPENAI_BASE_URL, else OpenAI's own."""
    api_key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the key; an endpoint given by `base_url` may need none."""
    temperature: float | None = Field(default=1.0, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=8000, ge=1)
    """None leaves it to the endpoint (or to `extra_body`, where it is called otherwise)."""
    price_in: float | None = Field(default=None, ge=0)
    """USD per million prompt tokens."""
    price_out: float | None = Field(default=None, ge=0)
    """USD per million completion tokens."""
    json_schema: Literal["auto", "on", "off"] = "auto"
    """Whether replies are constrained to their JSON Schema by the endpoint; auto: tried once, then as it turns out."""
    send_seed: bool = True
    """Whether the request carries `seed`, the sample's number."""
    extra_body: dict[str, JSON] = Field(default_factory=dict)
    """Further fields of the request."""

    @model_validator(mode="after")
    def _check(self) -> Endpoint:
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError(f"{self.model}: give both prices or none, found in {self.price_in}, out {self.price_out}")
        return self

    def sampling(self) -> dict[str, JSON]:
        """The settings that decide what the model says, besides the messages."""
        chosen = {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_tokens}
        return {key: value for key, value in chosen.items() if value is not None} | self.extra_body

    def usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What so many tokens cost; 0 without prices."""
        return (prompt_tokens * (self.price_in or 0.0) + completion_tokens * (self.price_out or 0.0)) / 1e6


class Asking(Record):
    """How often and how patiently models are asked."""

    judge_samples: int = Field(default=1, ge=1)
    """Votes of each judge."""
    reasks: int = Field(default=2, ge=0)
    """Further questions, with the error, after a reply that does not fit."""
    timeout_s: float = Field(default=120.0, gt=0)
    """Longest wait for one attempt."""
    retries: int = Field(default=4, ge=0)
    """Further attempts after a failure that may pass: connection, time-out, 408, 409, 429, 5xx, no choices."""
    first_wait_s: float = Field(default=0.5, ge=0)
    """Wait before the second attempt after an unusable answer; doubled each time. After a status code the client's."""
    down_after: int = Field(default=5, ge=1)
    """Items in a row that an endpoint must leave without an answer before it counts as dead."""


class LlmSettings(Asking):
    """The writer, the judges, and how they are asked."""

    writer: Endpoint
    judges: tuple[Endpoint, ...] = ()
    """Asked one by one, each `judge_samples` times; empty: the writer judges."""

    @property
    def asked_judges(self) -> tuple[Endpoint, ...]:
        return self.judges or (self.writer,)


class ItemBudget(Record):
    """What one item may cost, replies from the cache included, so that a resumed run decides alike. None: no limit."""

    calls: int | None = Field(default=200, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    """Prompt and completion together."""
    seconds: float | None = Field(default=None, gt=0)
    """Wall-clock time: the one limit that may decide otherwise in another run."""
    usd: float | None = Field(default=None, gt=0)
