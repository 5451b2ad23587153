"""The envs of a suite with distractors among their tools: what `astra distract` runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from astra_gym.distractors import DistractorError, Mixer, Mixing, ToolPool, resolve_embedding
from astra_gym.env_synthesis.sources.base import Item
from astra_gym.records import JSON
from astra_gym.suite import Suite
from astra_gym.types import Rejected, ToolEnvSpec


class DistractedSource:
    """A door: each env of `suite`, with tools from the pool of that suite and others mixed in."""

    name = "distract"

    def __init__(self, suite: Suite, mixing: Mixing, *, others: Sequence[Suite] = (), base_url: str | None = None):
        """Reads all suites once and embeds their tools.

        Args:
            others: further suites whose tools go into the pool.
            base_url: endpoint of an "openai:NAME" embedding.

        Raises: DistractorError, SuiteError, CertificateError; MissingExtraError, ModelError for the embedding.
        """
        self.suite = suite
        self.mixing = mixing
        self.pool = ToolPool.of(chain(suite, *others))
        domains = frozenset[str]().union(*(tool.domains for tool in self.pool.tools))
        if len(domains) < 2 and mixing.variant != "none":
            raise DistractorError(
                f"{suite.path}: all tools are of one domain, {sorted(domains)}, and a distractor is of another; "
                "add a suite of other domains to the pool (--pool)"
            )
        embedding = resolve_embedding(mixing.embedding, base_url=base_url) if mixing.variant == "banded" else None
        self._mixer = Mixer(self.pool, mixing, embedding=embedding)

    def items(self) -> Iterator[Item | Rejected]:
        """The envs' ids, in order."""
        yield from (Item(spec_id, None) for spec_id in self.suite.ids)

    def build(self, item: Item) -> ToolEnvSpec | Rejected:
        """One env with its distractors."""
        return self._mixer.mix(self.suite.load(item.id)).spec

    def config(self) -> dict[str, JSON]:
        """What determines the output."""
        return {"pool": self.pool.content, "suite": list(self.suite.ids), **self.mixing.to_json()}

    def close(self) -> None:
        """End the worker that ran candidates in this process."""
        self._mixer.close()
