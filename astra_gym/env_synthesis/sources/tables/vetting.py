"""Quick looks at a program before it is emitted, so that another one can be tried: the certificate decides.

Two things are looked for: an answer that stands where the question or a tool's document gives it away, and a
comparison that one argument wins whatever the other one is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from astra_gym.env_synthesis.sources.tables.operation import Operation, Undecided
from astra_gym.env_synthesis.sources.tables.phrases import folded
from astra_gym.env_synthesis.sources.tables.programs import Program
from astra_gym.perturb import perturbations
from astra_gym.records import JSON
from astra_gym.types import ToolCall, ToolEnvSpec


def gives_away(program: Program, question: str, shown: Iterable[Operation]) -> bool:
    """Whether an answer of `program` can be read in the question, a literal argument or a document of `shown`."""
    needles = {folded(text) for node in program.nodes if not node.operation.chooses for text in _texts(node.value)}
    if not needles:
        return False
    read = [folded(question), *(folded(str(value)) for _, value in program.literals())]
    read += [_folded_once(operation.documents) for operation in shown]
    return any(needle in text for text in read for needle in needles)


def one_sided(program: Program, spec: ToolEnvSpec) -> bool:
    """Whether one argument of a comparison in `program` wins in every trial that the certificate would make."""
    for node in program.nodes:
        if not node.operation.chooses:
            continue
        call = ToolCall(node.operation.name, program.plain(node.arguments))
        won: dict[str, list[bool]] = {name: [] for name in call.arguments}
        for trial in perturbations(spec, node.operation.tool, call):
            try:
                winner = node.operation.run(program.world, trial.call.arguments)
            except Undecided:
                continue
            for name in won:
                won[name].append(winner == trial.call.arguments[name])
        if any(all(wins) for wins in won.values()):
            return True
    return False


def _texts(value: JSON) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


@lru_cache(maxsize=8192)
def _folded_once(text: str) -> str:
    return folded(text)
