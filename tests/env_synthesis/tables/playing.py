"""Tool sources run as plain Python: enough to compare them with the gold answers, no sandbox, no process."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

from astra_gym.env_synthesis.sources.tables.operation import Operation, World
from astra_gym.gold import resolve_call, resolve_pointer
from astra_gym.records import JSON
from astra_gym.types import ToolEnvSpec, ToolFunction

Tool = Callable[..., dict[str, JSON]]


def compiled(tool: ToolFunction, data: Mapping[str, JSON]) -> Tool:
    names: dict[str, JSON] = {name: copy.deepcopy(rows) for name, rows in data.items()}
    exec(compile(tool.source, tool.name, "exec"), names)
    found: Tool = names[tool.name]
    return found


def tool_of(operation: Operation, world: World) -> Tool:
    return compiled(operation.tool, {name.upper(): dict(rows) for name, rows in world.items()})


def gold_values(spec: ToolEnvSpec) -> dict[str, JSON]:
    """What the gold calls give at their result paths, each reference filled from an upstream output."""
    tools = {tool.name: compiled(tool, spec.data) for tool in spec.tools}
    outputs: dict[str, JSON] = {}
    for sub in spec.topological:
        assert sub.call is not None
        call = resolve_call(spec, sub.call, outputs)
        outputs[sub.id] = tools[call.name](**call.arguments)
    return {sub.id: resolve_pointer(outputs[sub.id], sub.result_path) for sub in spec.sub_questions}
