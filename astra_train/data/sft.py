"""SFT rows as Parquet: one played conversation a row, with the turns that are not to be learned.

`messages` and `tools` are JSON text, because Arrow would merge the arguments of different tools into one struct.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from astra_gym.records import JSON
from astra_gym.types import Message, Trajectory
from astra_train.data.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from astra_train.chat_tokens import ChatTokens

COLUMNS = ("messages", "tools", "env_id", "style", "domain", "hops", "seed", "f1", "unlearned_turns", "tokens")
SHOWN = 5


@dataclass(frozen=True, slots=True)
class SftRow:
    """One conversation to learn from."""

    messages: list[Message]
    """OpenAI form, arguments as JSON text."""
    tools: list[dict[str, JSON]]
    env_id: str
    style: str
    domain: str
    hops: int
    unlearned_turns: tuple[int, ...]
    """Assistant turns, from 0, that hold a mistake made on purpose: read, never learned."""
    tokens: int | None
    """Length with the tokenizer that the file was written with."""


@dataclass(slots=True)
class SftReport:
    """What was written."""

    rows: int = 0
    too_long: list[tuple[str, int]] = field(default_factory=list)
    """(env id, tokens) of the rows that were dropped because they are longer than the limit."""
    lengths: list[int] = field(default_factory=list)
    """Tokens of each row; without a tokenizer, characters of its messages."""
    learned: int = 0
    """Tokens to learn; 0 without a tokenizer."""
    by_style: Counter[str] = field(default_factory=Counter)
    by_hops: Counter[int] = field(default_factory=Counter)

    def length_at(self, share: float) -> int:
        """The length that `share` of the rows do not exceed (0.5: the median, 1: the longest)."""
        if not self.lengths:
            return 0
        return sorted(self.lengths)[min(len(self.lengths) - 1, int(share * len(self.lengths)))]


def write_sft(
    path: str | Path,
    trajectories: Iterable[Trajectory],
    *,
    tokens: ChatTokens | None = None,
    max_length: int | None = None,
    on_long: Literal["error", "drop"] = "error",
    notes: Mapping[str, JSON] | None = None,
) -> SftReport:
    """Write one row a trajectory; the file appears whole or not at all.

    Args:
        tokens: counts tokens; needed for `max_length`.
        max_length: longest row, in tokens.
        on_long: what becomes of longer rows: none is written and all are named, or they are dropped and counted.
        notes: kept in the file, for instance the suite and the split.

    Raises: DataError for rows that are too long or cannot be learned from, and when the file cannot be written.
    """
    from astra_train.data.parquet_files import write_rows

    if max_length is not None and tokens is None:
        raise DataError("a limit on tokens needs the policy's tokenizer (tokens=ChatTokens(tokenizer))")
    report = SftReport()
    dropped: list[tuple[str, int]] = []

    def rows() -> Iterator[dict[str, JSON]]:
        for trajectory in trajectories:
            row = _row(trajectory, tokens, report)
            if max_length is not None and report.lengths[-1] > max_length:
                dropped.append((trajectory.env_id, report.lengths.pop()))
                continue
            report.rows += 1
            report.by_style[row["style"]] += 1
            report.by_hops[row["hops"]] += 1
            if not (dropped and on_long == "error"):
                yield row
        if dropped and on_long == "error":
            raise DataError(_too_long(dropped, report.rows, max_length))

    write_rows(path, _schema(), rows(), {"kind": "sft", **(notes or {})})
    report.too_long = dropped
    return report


def read_sft(path: str | Path) -> Iterator[SftRow]:
    """The rows of a file. Raises: DataError with the row number for a damaged one."""
    from astra_train.data.parquet_files import read_rows

    for number, row in read_rows(path, COLUMNS):
        try:
            messages, tools = orjson.loads(row["messages"]), orjson.loads(row["tools"])
        except (orjson.JSONDecodeError, TypeError) as error:
            raise DataError(f"{path}: row {number}: `messages` and `tools` must be JSON text: {error}") from None
        yield SftRow(
            messages=messages,
            tools=tools,
            env_id=row["env_id"],
            style=row["style"],
            domain=row["domain"],
            hops=row["hops"],
            unlearned_turns=tuple(row["unlearned_turns"] or ()),
            tokens=row["tokens"],
        )


def _row(trajectory: Trajectory, tokens: ChatTokens | None, report: SftReport) -> dict[str, JSON]:
    from astra_train.data.encoding import encode_conversation

    metadata = trajectory.metadata
    if trajectory.stop_reason in ("infrastructure_error", "model_error"):
        raise DataError(f"{trajectory.env_id}: the episode ended with {trajectory.stop_reason}; leave it out")
    unlearned = [int(turn) for turn in metadata.get("mistake_turns") or ()]
    messages: list[Any] = list(trajectory.messages)
    length = None
    if tokens is not None:
        encoded = encode_conversation(tokens, messages, trajectory.tools, unlearned)
        length = len(encoded.token_ids)
        report.learned += sum(encoded.learned)
    report.lengths.append(length if length is not None else sum(len(str(m.get("content") or "")) for m in messages))
    return {
        "messages": orjson.dumps(messages).decode(),
        "tools": orjson.dumps(list(trajectory.tools)).decode(),
        "env_id": trajectory.env_id,
        "style": str(metadata.get("style", trajectory.model or "")),
        "domain": str(metadata.get("domain", "")),
        "hops": int(metadata.get("hops", 0)),
        "seed": trajectory.seed,
        "f1": trajectory.breakdown.f1,
        "unlearned_turns": unlearned,
        "tokens": length,
    }


def _too_long(dropped: list[tuple[str, int]], kept: int, max_length: int | None) -> str:
    worst = sorted(dropped, key=lambda pair: (-pair[1], pair[0]))
    shown = ", ".join(f"{env_id} ({length})" for env_id, length in worst[:SHOWN])
    return (
        f"{len(dropped)} of {kept + len(dropped)} rows are longer than {max_length} tokens: {shown}"
        f"{', ...' if len(worst) > SHOWN else ''}; raise the limit to {worst[0][1]}, or drop them (on_long='drop')"
    )


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("messages", pa.string()),
            ("tools", pa.string()),
            ("env_id", pa.string()),
            ("style", pa.string()),
            ("domain", pa.string()),
            ("hops", pa.int32()),
            ("seed", pa.int64()),
            ("f1", pa.float64()),
            ("unlearned_turns", pa.list_(pa.int32())),
            ("tokens", pa.int32()),
        ]
    )
