"""MuSiQue (multi-hop questions composed of single-hop ones): each single-hop question becomes a look-up tool.

A hop is "X >> relation" or a question in words; #k in it stands for the answer of hop k and becomes a reference. Tables
are filled with the answers of like hops in the file's other records.
Source of the data: https://github.com/StonyBrookNLP/musique (CC-BY-4.0).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from astra_gym.answers import Answer
from astra_gym.env_synthesis.sources.base import Item
from astra_gym.env_synthesis.sources.hops import Hop, filled, hop_answer, read_hops
from astra_gym.env_synthesis.sources.jsonl import read_lines, record_items, stem_prefix
from astra_gym.env_synthesis.sources.lookups import (
    LIBRARY,
    Relation,
    Row,
    choose_rows,
    fold,
    lookup_data,
    lookup_tool,
    stands_in,
    told_apart,
    without_aside,
)
from astra_gym.env_synthesis.sources.naming import unique
from astra_gym.env_synthesis.sources.triples import MAX_CHARS, RecordError
from astra_gym.records import JSON
from astra_gym.types import GoldCall, Provenance, Rejected, SubQuestion, ToolEnvSpec

URL = "https://github.com/StonyBrookNLP/musique"


class MusiqueSource:
    """The records of one MuSiQue file as uncertified envs, ids `<prefix>-<record number>-v0`.

    Args:
        path: JSONL (or a JSON array) of {id, question, question_decomposition, paragraphs, answer, answer_aliases}.
        skip_bad: give unreadable lines as `Rejected` instead of raising SuiteError.
        limit: read only the first so many records.
        prefix: start of every id; default `musique-` and the file's stem.
        seed: decides which other facts stand in the tables.
        version: commit or release of the data set, for the provenance.
    """

    name = "musique"

    def __init__(
        self,
        path: str | Path,
        *,
        skip_bad: bool = False,
        limit: int | None = None,
        prefix: str | None = None,
        seed: int = 0,
        version: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.skip_bad = skip_bad
        self.limit = limit
        self.seed = seed
        self.version = version
        self.prefix = prefix or stem_prefix(self.name, self.path)

    def items(self) -> Iterator[Item | Rejected]:
        """One item a record. Raises SuiteError for a file or line that cannot be read (see `skip_bad`)."""
        return record_items(self.path, self.prefix, skip_bad=self.skip_bad, limit=self.limit)

    def build(self, item: Item) -> ToolEnvSpec | Rejected:
        """The env of one record, or the stage ("parse", "flow", "answer", "tools", "spec") and reason against it."""
        try:
            return self._spec(item, item.payload["record"])
        except RecordError as error:
            return Rejected(id=item.id, stage=error.stage, reason=str(error))
        except ValidationError as error:
            return Rejected(id=item.id, stage="spec", reason=str(error))

    def _spec(self, item: Item, record: Mapping[str, JSON]) -> ToolEnvSpec:
        question, accepted = _question_and_answers(record)
        hops = read_hops(record, question)
        _check_ending(hops, accepted)
        relations = _with_unique_names(hops)
        tables = self._tables(item, hops, relations)
        answers = [hop_answer(hop) for hop in hops[:-1]]
        answers.append(hop_answer(hops[-1], [text for text in accepted if not stands_in(text, question)]))
        return ToolEnvSpec(
            id=item.id,
            question=question,
            answer=answers[-1],
            sub_questions=tuple(
                _step(i, hops, relations[hop.relation], answer)
                for i, (hop, answer) in enumerate(zip(hops, answers, strict=True))
            ),
            domain="encyclopedia",
            tools=tuple(lookup_tool(relation) for relation in tables),
            data=lookup_data(tables),
            library=LIBRARY,
            provenance=self._provenance(item, record),
        )

    @cached_property
    def _facts(self) -> dict[str, list[Row]]:
        """Rows of each relation over the whole file."""
        rows: dict[str, dict[tuple[str, str], Row]] = {}
        for line in read_lines(self.path, skip_bad=True):
            try:
                question, _ = _question_and_answers(line.record or {})
                hops = read_hops(line.record or {}, question)
            except RecordError:
                continue
            for hop in hops:
                row = _row(hop, hops)
                rows.setdefault(_kind(hop.relation), {}).setdefault((row.keys[0], fold(hop.answer)), row)
        return {kind: list(found.values()) for kind, found in rows.items()}

    def _tables(
        self, item: Item, hops: Sequence[Hop], relations: Mapping[Relation, Relation]
    ) -> dict[Relation, list[Row]]:
        tables: dict[Relation, list[Row]] = {}
        for relation, renamed in relations.items():
            rows = told_apart([_row(hop, hops) for hop in hops if hop.relation == relation])
            if rows is None:
                raise RecordError("tools", f"two hops look up {relation.question or relation.noun!r} of the same name")
            seed = f"{self.seed}:{item.id}:{_kind(relation)}"
            tables[renamed] = choose_rows(rows, self._facts.get(_kind(relation), []), seed)
        return tables

    def _provenance(self, item: Item, record: Mapping[str, JSON]) -> Provenance:
        return Provenance(
            door="import",
            dataset="MuSiQue",
            license="CC-BY-4.0",
            version=self.version,
            url=URL,
            record=str(record.get("id") or f"{self.path.name}:{item.payload['line']}"),
            generator=__name__,
        )


def _question_and_answers(record: Mapping[str, JSON]) -> tuple[str, list[str]]:
    """The question and every accepted final answer, the main one first."""
    question, answer = record.get("question"), record.get("answer")
    if not (isinstance(question, str) and isinstance(answer, str) and fold(question) and fold(answer)) or (
        max(len(question), len(answer)) > MAX_CHARS
    ):
        raise RecordError("parse", f"expected texts `question` and `answer`, found {question!r:.60} and {answer!r:.60}")
    if record.get("answerable") is False:
        raise RecordError("parse", "the record is marked as one that its paragraphs do not answer")
    aliases = record.get("answer_aliases")
    also = [alias for alias in aliases if isinstance(alias, str) and fold(alias)] if isinstance(aliases, list) else []
    return question.strip(), list(dict.fromkeys([answer.strip(), *also]))


def _check_ending(hops: Sequence[Hop], accepted: Sequence[str]) -> None:
    """The last hop gives the record's answer, and every other hop leads to it."""
    used = {part for hop in hops for part in hop.arguments if isinstance(part, int)}
    if unused := [i + 1 for i in range(len(hops) - 1) if i not in used]:
        raise RecordError("flow", f"no later hop uses the answer of hop {unused[0]}")
    if fold(hops[-1].answer) not in map(fold, accepted):
        raise RecordError("answer", f"the last hop gives {hops[-1].answer!r}, the record says {accepted[0]!r}")


def _with_unique_names(hops: Sequence[Hop]) -> dict[Relation, Relation]:
    """Each relation of the hops with a tool name that no other has."""
    named: dict[Relation, Relation] = {}
    for hop in hops:
        if hop.relation not in named:
            taken = [relation.tool_name for relation in named.values()]
            named[hop.relation] = replace(hop.relation, name=unique(hop.relation.tool_name, taken))
    return named


def _kind(relation: Relation) -> str:
    """Relations of one kind have rows that can stand in one table."""
    return f"{len(relation.subjects)}:{fold(relation.question or relation.noun)}"


def _row(hop: Hop, hops: Sequence[Hop]) -> Row:
    parts = filled(hop, hops)
    value = hop_answer(hop).value
    plain = tuple(without_aside(part) for part in parts)
    return Row(tuple(dict.fromkeys([parts, plain])), value, frozenset([fold(str(value)), fold(hop.answer)]))


def _step(index: int, hops: Sequence[Hop], relation: Relation, answer: Answer) -> SubQuestion:
    hop = hops[index]
    ups = tuple(f"q{part + 1}" for part in hop.arguments if isinstance(part, int))
    arguments = [{"$ref": f"q{part + 1}"} if isinstance(part, int) else part for part in hop.arguments]
    return SubQuestion(
        id=f"q{index + 1}",
        question=_readable(hop, filled(hop, hops)),
        answer=answer,
        depends_on=ups,
        call=GoldCall(tool=relation.tool_name, arguments=dict(zip(relation.subjects, arguments, strict=True))),
        result_path=f"/{relation.field}",
    )


def _readable(hop: Hop, names: Sequence[str]) -> str:
    """The hop in words, with the names in their places."""
    if not hop.relation.question:
        return f"What is the {hop.relation.noun} of {names[0]}?"
    asked = hop.relation.question
    for name in names:
        asked = asked.replace("{}", name, 1)
    return asked
