"""The labelled set: decompositions of certified envs as they are, and broken in one known way each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from astra_gym.env_synthesis.llm.calibration.breaking import FLAWS, Flaw
from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.items import Language, LlmItem
from astra_gym.env_synthesis.llm.referring import by_reference, program_of
from astra_gym.env_synthesis.llm.sources.suites import decomposition_of
from astra_gym.records import content_hash
from astra_gym.registration import SHIPPED
from astra_gym.suite import open_suite
from astra_gym.types import Decomposition, ToolEnvSpec

_MOST_HOPS = 20


@dataclass(frozen=True)
class Labelled:
    """A draft of which it is known whether it is sound."""

    drafted: Drafted
    truth: ToolEnvSpec
    """The certified env that it was made from."""
    flaw: Flaw | None
    """None: sound."""

    @property
    def check(self) -> str | None:
        """The check that must find the flaw."""
        return None if self.flaw is None else FLAWS[self.flaw][0]


def table_envs() -> list[ToolEnvSpec]:
    """The shipped envs whose decompositions a table vouches for."""
    return [spec for spec in open_suite(SHIPPED) if spec.provenance.door == "tables"]


def labelled_set(specs: Iterable[ToolEnvSpec], *, good: int = 24, per_flaw: int = 12) -> list[Labelled]:
    """`good` sound drafts and `per_flaw` of each flaw, fewer where the envs do not offer as many; always the same ones.

    Envs of a single step are passed over: hardly anything in them can be broken. An env gives one draft of a flaw.
    """
    several = [spec for spec in specs if len(spec.sub_questions) > 1]
    labelled = list(islice(sound(_mixed(several, "sound")), good))
    for flaw in FLAWS:
        labelled += islice(broken(_mixed(several, flaw), flaw), per_flaw)
    return labelled


def sound(specs: Iterable[ToolEnvSpec]) -> Iterator[Labelled]:
    """The decompositions of `specs` as they are, upstream answers referred to in words."""
    for spec in specs:
        yield Labelled(_drafted(by_reference(decomposition_of(spec)), spec), spec, None)


def broken(specs: Iterable[ToolEnvSpec], flaw: Flaw) -> Iterator[Labelled]:
    """The decompositions of `specs` with one flaw, of those that offer a place for it."""
    break_it: Callable[[Decomposition], Decomposition | None] = FLAWS[flaw][1]
    for spec in specs:
        found = break_it(by_reference(decomposition_of(spec)))
        if found is not None:
            yield Labelled(_drafted(found, spec), spec, flaw)


def _drafted(decomposition: Decomposition, spec: ToolEnvSpec) -> Drafted:
    language: Language = "zh" if decomposition.language == "zh" else "en"
    program = program_of(decomposition)
    item = LlmItem.make(
        "given",
        domain=decomposition.domain,
        language=language,
        decomposition=decomposition,
        tool_spec=spec,
        answer_from=program,
        max_hops=_MOST_HOPS,
    )
    return Drafted(item, decomposition, program)


def _mixed(specs: Sequence[ToolEnvSpec], salt: str) -> list[ToolEnvSpec]:
    """`specs` in an order of their own for each `salt`, so that every flaw draws on all domains and shapes."""
    return sorted(specs, key=lambda spec: content_hash([salt, spec.id]))
