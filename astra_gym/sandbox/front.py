"""What every executor does before a call reaches a tool: is there such a tool, and do its arguments fit."""

from __future__ import annotations

from difflib import get_close_matches

from astra_gym.sandbox.program import Program
from astra_gym.sandbox.session import Outcome
from astra_gym.sandbox.validation import ArgumentValidator
from astra_gym.types import ToolCall, ToolError, ToolResult

MAX_NAME_SHOWN = 80


class Front:
    """The tools of a program as a caller sees them."""

    __slots__ = ("checks",)

    def __init__(self, program: Program) -> None:
        self.checks = {tool.name: ArgumentValidator(tool).check for tool in program.tools}

    def refuse(self, call: ToolCall) -> ToolResult | None:
        """The error result of a call that must not reach a tool, else None."""
        check = self.checks.get(call.name)
        if check is None:
            return self.unknown(call.name)
        error = check(call.arguments)
        return None if error is None else ToolResult(None, error)

    def unknown(self, name: str) -> ToolResult:
        """The error for a tool that does not exist: the nearest names, then all."""
        names = list(self.checks)
        near = get_close_matches(name[:MAX_NAME_SHOWN], names, n=3)
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        shown = name.encode("utf-8", "replace").decode()[:MAX_NAME_SHOWN]
        message = f"there is no tool {shown!r}; {hint}the tools are {', '.join(names[:50])}"
        return ToolResult(None, ToolError("unknown_tool", message))


def to_result(outcome: Outcome) -> ToolResult:
    """The result that an outcome stands for."""
    done, payload = outcome
    return ToolResult(payload) if done else ToolResult(None, ToolError(*payload))
