"""A person at the terminal plays: sees the question, the tools and each result, and types calls or the answer."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, TextIO

import orjson
from rich.console import Console
from rich.json import JSON as PrettyJSON
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from astra_gym.models.human_input import LineError, action_of
from astra_gym.types import Message, ToolEnvSpec

HELP = 'a call: tool key=value key2="two words"   |   your final answer   |   ? shows the tools   |   ctrl-D leaves'
LONGEST_RESULT_CHARS = 4_000


class HumanModel:
    """Asks at the terminal. The end of the input ends the episode with an empty final answer."""

    name = "human"

    def __init__(self, console: Console | None = None, lines: TextIO | None = None) -> None:
        """
        Args:
            console: where to write; default: standard output.
            lines: where the person's lines come from; default: standard input.
        """
        self._console = console or Console(highlight=False)
        self._lines = lines
        self._shown = 0

    def begin_episode(self, spec: ToolEnvSpec, seed: int) -> None:  # noqa: ARG002
        self._shown = 0

    def reply(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> str:
        if self._shown == 0:
            self._show_tools(tools)
        for message in messages[self._shown :]:
            self._show_message(message)
        self._shown = len(messages)
        while True:
            try:
                line = self._read_line()
            except EOFError:
                self._console.print("\nleft", style="dim")
                return ""
            if line.strip() == "?":
                self._show_tools(tools)
                continue
            try:
                return action_of(line, tools)
            except LineError as error:
                self._console.print(escape(str(error)), style="yellow")

    def _read_line(self) -> str:
        self._console.print("[bold cyan]>[/] ", end="")
        stream = self._lines or sys.stdin
        if stream is sys.stdin and stream.isatty():
            return input()  # with line editing
        line = stream.readline()
        if not line:
            raise EOFError
        return line

    def _show_tools(self, tools: Sequence[dict[str, Any]]) -> None:
        table = Table(title="tools", title_justify="left", box=None, pad_edge=False)
        table.add_column("call", style="cyan", overflow="fold")
        table.add_column("what it does", overflow="fold")
        for tool in tools:
            function = tool["function"]
            table.add_row(escape(signature(function)), escape(function["description"]))
        self._console.print(table)
        self._console.print(escape(HELP), style="dim")

    def _show_message(self, message: Message) -> None:
        content = message["content"] or ""
        if message["role"] == "tool":
            self._show_result(content)
        elif message["role"] != "assistant":
            self._console.print(Text(content, style="bold"))

    def _show_result(self, content: str) -> None:
        try:
            body = orjson.loads(content)
        except orjson.JSONDecodeError:
            body = content
        if isinstance(body, dict | list) and len(content) <= LONGEST_RESULT_CHARS:
            self._console.print(PrettyJSON.from_data(body, indent=None if len(content) < 100 else 2))
        else:
            cut = f"… ({len(content):,} characters)" if len(content) > LONGEST_RESULT_CHARS else ""
            self._console.print(Text(content[:LONGEST_RESULT_CHARS] + cut))


def signature(function: dict[str, Any]) -> str:
    """`name key=type [optional=type]` of one tool."""
    parameters = function["parameters"]
    required = parameters.get("required", [])
    parts = [function["name"]]
    for key, schema in parameters.get("properties", {}).items():
        kind = _kind(schema)
        parts.append(f"{key}={kind}" if key in required else f"[{key}={kind}]")
    return " ".join(parts)


def _kind(schema: Any) -> str:
    if not isinstance(schema, dict):
        return "any"
    if choices := schema.get("enum"):
        return "|".join(map(str, choices[:8])) + ("|…" if len(choices) > 8 else "")
    kind = schema.get("type", "any")
    return "|".join(kind) if isinstance(kind, list) else str(kind)
