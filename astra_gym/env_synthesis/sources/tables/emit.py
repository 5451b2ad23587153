"""A program as an env: sub-questions with gold calls and typed answers, tools and distractors, the data they read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from astra_gym.answers import Answer
from astra_gym.env_synthesis.sources.tables.description import TableSet, Terms
from astra_gym.env_synthesis.sources.tables.kinds import Kind
from astra_gym.env_synthesis.sources.tables.operation import Operation, Undecided
from astra_gym.env_synthesis.sources.tables.programs import Node, Program
from astra_gym.env_synthesis.sources.tables.telling import Teller
from astra_gym.env_synthesis.sources.tables.units import unit_of
from astra_gym.env_synthesis.sources.tables.vetting import gives_away, one_sided
from astra_gym.env_synthesis.sources.tables.wording import main_question
from astra_gym.env_synthesis.sources.tables.world import cut
from astra_gym.records import JSON
from astra_gym.types import GoldCall, Provenance, SubQuestion, ToolEnvSpec

GENERATOR = "astra-gym tables"


def emit(
    env_id: str, program: Program, tables: TableSet, operations: Sequence[Operation], rng: Random, distractors: int
) -> ToolEnvSpec | None:
    """The spec of `program`, not yet certified; None when it would not earn a certificate.

    Args:
        operations: all operations of the domain, from which distractors are drawn.
        distractors: how many tools to add that no sub-question needs; fewer when fewer qualify.
    """
    ids = {node: f"q{number}" for number, node in enumerate(program.nodes, start=1)}
    teller = Teller(rng)
    question = main_question(program, tables, rng)
    used = list({node.operation.name: node.operation for node in program.nodes}.values())
    shown = [*used, *_distractors(program, used, operations, rng, distractors)]
    rng.shuffle(shown)
    if gives_away(program, question, shown):
        return None
    spec = ToolEnvSpec(
        id=env_id,
        question=question,
        answer=_final_answer(program),
        sub_questions=tuple(_sub_question(node, ids, teller) for node in program.nodes),
        domain=tables.name,
        tools=tuple(operation.tool for operation in shown),
        data={name.upper(): rows for name, rows in cut(program.world, _needs(shown)).items()},
        provenance=_provenance(tables.terms, program),
    )
    return None if one_sided(program, spec) else spec


def _sub_question(node: Node, ids: Mapping[Node, str], teller: Teller) -> SubQuestion:
    arguments = {
        name: {"$ref": ids[value]} if isinstance(value, Node) else value for name, value in node.arguments.items()
    }
    return SubQuestion(
        id=ids[node],
        question=teller.plain_question(node),
        answer=answer_of(node),
        depends_on=tuple(ids[upstream] for upstream in node.inputs),
        call=GoldCall(tool=node.operation.name, arguments=arguments),
        result_path=node.operation.path,
    )


def answer_of(node: Node) -> Answer:
    """The typed answer of a node. A choice among what the arguments name is marked as one."""
    kind, value = node.kind, node.value
    if kind.base == "flag":
        return Answer(kind="bool", value=value)
    if kind.base == "number":
        slack = 0.5 * 10.0**-node.operation.decimals if node.operation.decimals else 0.0
        if kind.unit == "%":
            return Answer(kind="percentage", value=value, abs_tol=slack)
        return Answer(kind="number", value=value, unit=_unit(kind), abs_tol=slack)
    if kind.base == "date" or kind.dated:
        return Answer(kind="date", value=value, choices=_choices(node))
    if kind.base == "entities":
        return Answer(kind="list" if node.operation.family == "first" else "set", value=value)
    return Answer(kind="text", value=value, choices=_choices(node))


def _choices(node: Node) -> tuple[str, ...]:
    if not node.operation.chooses:
        return ()
    return tuple(str(value.value if isinstance(value, Node) else value) for value in node.arguments.values())


def _unit(kind: Kind) -> str | None:
    return unit_of(kind.unit).answer_unit if kind.unit else None


def _final_answer(program: Program) -> Answer:
    """The answer of the only sink, or the list of all in order."""
    answers = [answer_of(node) for node in program.sinks]
    if len(answers) == 1:
        return answers[0]
    return Answer(
        kind="list",
        value=[answer.value for answer in answers],
        abs_tol=max(answer.abs_tol for answer in answers),
        choices=tuple(choice for answer in answers for choice in answer.choices),
    )


def _distractors(
    program: Program, used: Sequence[Operation], operations: Sequence[Operation], rng: Random, wanted: int
) -> list[Operation]:
    """Working tools of the same domain that answer no sub-question, even under its gold arguments."""
    names = {operation.name for operation in used}
    near = {parameter.name for operation in used for parameter in operation.parameters}
    pool = [operation for operation in operations if operation.name not in names]
    pool = rng.sample(pool, min(len(pool), 6 * wanted))
    pool.sort(key=lambda operation: near.isdisjoint(parameter.name for parameter in operation.parameters))
    found: list[Operation] = []
    for operation in pool:
        if len(found) < wanted and not any(_answers(operation, node, program) for node in program.nodes):
            found.append(operation)
    return found


def _answers(operation: Operation, node: Node, program: Program) -> bool:
    """Whether `operation` gives the value of `node` when called with the arguments of `node`."""
    plain = program.plain(node.arguments)
    if {parameter.name for parameter in operation.parameters} != plain.keys():
        return False
    try:
        return bool(operation.run(program.world, plain) == node.value)
    except Undecided:
        return operation.output == node.kind  # the tool may break a tie just so


def _needs(operations: Sequence[Operation]) -> dict[str, set[str]]:
    needs: dict[str, set[str]] = {}
    for operation in operations:
        for table, columns in operation.needs.items():
            needs.setdefault(table, set()).update(columns)
    return needs


def _provenance(terms: Terms, program: Program) -> Provenance:
    details: dict[str, JSON] = {"rows": sum(len(rows) for rows in program.world.values())}
    if terms.attribution:
        details["attribution"] = terms.attribution
    return Provenance(
        door="tables",
        dataset=terms.dataset,
        license=terms.license,
        version=terms.version,
        url=terms.url,
        generator=GENERATOR,
        details=details,
    )
