"""2WikiMultihopQA (questions with evidence triples): each relation becomes a look-up tool, a comparison a compare tool.

A triple whose subject is another triple's object depends on it. Comparison questions end in a call that compares what
the look-ups gave; its result must be the record's answer, or the record is rejected. Tables are filled from the
file's other records.
Source of the data: https://github.com/Alab-NII/2wikimultihop (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from astra_gym.env_synthesis.sources.base import Item
from astra_gym.env_synthesis.sources.comparison_steps import Candidate, Ending, compare
from astra_gym.env_synthesis.sources.jsonl import read_lines, record_items, stem_prefix
from astra_gym.env_synthesis.sources.lookups import (
    LIBRARY,
    Relation,
    Row,
    choose_rows,
    fold,
    lookup_data,
    lookup_tool,
    told_apart,
)
from astra_gym.env_synthesis.sources.triples import (
    Chain,
    RecordError,
    Triple,
    TripleRecord,
    chain_triples,
    read_record,
    relation_of,
)
from astra_gym.env_synthesis.sources.wiki_values import Vocabulary, answer_of, same_as, value_of
from astra_gym.types import GoldCall, Provenance, Rejected, SubQuestion, ToolEnvSpec

URL = "https://github.com/Alab-NII/2wikimultihop"


class TwoWikiSource:
    """The records of one 2WikiMultihopQA file as uncertified envs, ids `<prefix>-<record number>-v0`.

    Args:
        path: JSONL (or a JSON array) of {question, answer, evidences, ...}; `evidences_id`, `supporting_facts` and
            `qa_pairs` are used where a record has them.
        skip_bad: give unreadable lines as `Rejected` instead of raising SuiteError.
        limit: read only the first so many records.
        prefix: start of every id; default `two-wiki-` and the file's stem.
        seed: decides which other facts stand in the tables.
        version: commit or release of the data set, for the provenance.
    """

    name = "two-wiki"

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
        self.prefix = prefix or stem_prefix("2wiki", self.path)

    def items(self) -> Iterator[Item | Rejected]:
        """One item a record. Raises SuiteError for a file or line that cannot be read (see `skip_bad`)."""
        return record_items(self.path, self.prefix, skip_bad=self.skip_bad, limit=self.limit)

    def build(self, item: Item) -> ToolEnvSpec | Rejected:
        """The env of one record, or the stage ("parse", "flow", "answer", "tools", "spec") and reason against it."""
        try:
            return self._spec(item, read_record(item.payload["record"]))
        except RecordError as error:
            return Rejected(id=item.id, stage=error.stage, reason=str(error))
        except ValidationError as error:
            return Rejected(id=item.id, stage="spec", reason=str(error))

    def _spec(self, item: Item, record: TripleRecord) -> ToolEnvSpec:
        chains = chain_triples(record)
        tables = self._tables(item, chains)
        steps = [self._step(record, chains, i) for i in range(len(chains))]
        final = self._final(record, chains, steps)
        tools = [lookup_tool(relation) for relation in tables]
        data = lookup_data(tables)
        if final.step is not None and final.tool is not None:
            steps.append(final.step)
            tools.append(final.tool)
            data |= final.data
        return ToolEnvSpec(
            id=item.id,
            question=record.question,
            answer=final.answer,
            sub_questions=tuple(steps),
            domain="encyclopedia",
            tools=tuple(tools),
            data=data,
            library=LIBRARY,
            provenance=self._provenance(item, record),
        )

    @cached_property
    def _facts(self) -> tuple[dict[str, list[Row]], Vocabulary]:
        """Rows of each relation over the whole file, and which spellings mean the same country or place."""
        triples: list[Triple] = []
        for line in read_lines(self.path, skip_bad=True):
            try:
                triples += read_record(line.record or {}).triples
            except RecordError:
                continue
        vocabulary = Vocabulary()
        for triple in triples:
            for text, entity_id in zip(triple.objects, triple.object_ids, strict=True):
                vocabulary.learn(triple.relation, text, entity_id)
        rows: dict[str, dict[tuple[str, str], Row]] = {}
        for triple in triples:
            row = _row([triple.subject], triple, vocabulary)
            rows.setdefault(fold(triple.relation), {}).setdefault((fold(triple.subject), repr(row.value)), row)
        return {relation: list(found.values()) for relation, found in rows.items()}, vocabulary

    def _tables(self, item: Item, chains: Sequence[Chain]) -> dict[Relation, list[Row]]:
        """The rows of each relation of a record: its own and others of the file."""
        known, vocabulary = self._facts
        asked: dict[str, list[Chain]] = {}
        for chain in chains:
            asked.setdefault(fold(chain.triple.relation), []).append(chain)
        tables: dict[Relation, list[Row]] = {}
        for name, own in asked.items():
            rows = told_apart([_row(chain.names, chain.triple, vocabulary) for chain in own])
            if rows is None:
                raise RecordError("tools", f"two subjects of {name!r} have the same name")
            seed = f"{self.seed}:{item.id}:{name}"
            tables[relation_of(own[0].triple.relation)] = choose_rows(rows, known.get(name, []), seed)
        return tables

    def _step(self, record: TripleRecord, chains: Sequence[Chain], index: int) -> SubQuestion:
        chain = chains[index]
        relation = relation_of(chain.triple.relation)
        value = value_of(chain.triple.relation, chain.triple.objects)
        (subject,) = relation.subjects
        up = () if chain.upstream is None else (f"q{chain.upstream + 1}",)
        question = f"What is the {relation.noun} of {chain.name}?"
        return SubQuestion(
            id=f"q{index + 1}",
            question=record.asked[index] if record.asked else question,
            answer=answer_of(chain.triple.relation, value, self._facts[1], record.question),
            depends_on=up,
            call=GoldCall(tool=relation.tool_name, arguments={subject: {"$ref": up[0]} if up else chain.name}),
            result_path=f"/{relation.field}",
        )

    def _final(self, record: TripleRecord, chains: Sequence[Chain], steps: Sequence[SubQuestion]) -> Ending:
        """The answer to the whole: the last look-up's, or that of a comparison of two."""
        used = {chain.upstream for chain in chains}
        ends = [i for i in range(len(chains)) if i not in used]
        if len(ends) == 1:
            answer = steps[ends[0]].answer
            if not answer.matches(record.answer):
                raise RecordError(
                    "answer", f"the last look-up gives {answer.value!r}, the record says {record.answer!r}"
                )
            return Ending(answer)
        relations = {chains[i].triple.relation for i in ends}
        if len(ends) != 2 or len(relations) != 1 or any(len(chains[i].triple.objects) > 1 for i in ends):
            raise RecordError("flow", f"expected one last look-up or two of the same kind, found {len(ends)}")
        candidates = [_candidate(chains, steps, i) for i in ends]
        return compare(
            record.question, record.answer, relations.pop(), candidates, f"q{len(chains) + 1}", self._facts[1]
        )

    def _provenance(self, item: Item, record: TripleRecord) -> Provenance:
        return Provenance(
            door="import",
            dataset="2WikiMultihopQA",
            license="Apache-2.0",
            version=self.version,
            url=URL,
            record=record.id or f"{self.path.name}:{item.payload['line']}",
            generator=__name__,
        )


def _row(names: Sequence[str], triple: Triple, vocabulary: Vocabulary) -> Row:
    value = value_of(triple.relation, triple.objects)
    return Row(tuple((name,) for name in names), value, same_as(triple.relation, value, vocabulary))


def _candidate(chains: Sequence[Chain], steps: Sequence[SubQuestion], end: int) -> Candidate:
    """A last look-up with the thing of the question that it speaks about."""
    root = end
    while (up := chains[root].upstream) is not None:
        root = up
    return Candidate(chains[root].name, chains[root].names, steps[end].id, steps[end].answer.value)
