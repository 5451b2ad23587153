"""RL rows as Parquet: one env a row, read by verl's own `RLHFDataset` and played by `ToolEnvAgentLoop`.

A row names the env (suite, registered id, seed, options); it holds no spec, no gold call and no answer. What can be
known before a run starts is checked here, when rows are written (`write_rl`) and again before training (`check_rows`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from astra_gym.errors import AstraError, CertificateError
from astra_gym.fault_injection import FaultOptions, Faults
from astra_gym.records import JSON
from astra_gym.registration import SHIPPED, SHIPPED_NAMESPACE, make, register_suite
from astra_gym.suite import Suite, open_suite
from astra_gym.types import Message, ToolEnvSpec
from astra_train.data.errors import DataError
from astra_train.rows import row_options

if TYPE_CHECKING:
    import pyarrow as pa

    from astra_train.chat_tokens import ChatTokens

DATA_SOURCE, AGENT_NAME = "astra_gym", "tool_env"
SHOWN = 5


@dataclass(slots=True)
class RlReport:
    """What was written."""

    rows: int = 0
    too_long: list[tuple[str, int]] = field(default_factory=list)
    """(env id, tokens) of the envs that were dropped because their prompt is longer than the limit."""
    longest_prompt: int = 0
    """In tokens; 0 without a tokenizer."""
    by_group: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Rows by domain and hops."""


@dataclass(frozen=True, slots=True)
class RlOptions:
    """What every row of a file has in common."""

    namespace: str = "train"
    """Of the registered ids, `namespace/<spec id>`; that of the shipped suite is fixed."""
    seed: int = 0
    """Of the first row's episode; row i has seed + i."""
    env_kwargs: Mapping[str, JSON] = field(default_factory=dict)
    """Options of `ToolEnv`: reward, beta, final_answer_weight, max_turns, stop_when_solved."""
    faults: FaultOptions = None
    """Injected faults: a rate, a mapping of `Faults`' fields, or "paper"."""
    max_prompt: int | None = None
    """Longest prompt (system message, tools and question), in tokens."""
    on_long: Literal["error", "drop"] = "error"
    system_prompt: str | None = None
    """As the agent loop's option of that name: counted in the prompt's length; the row holds the question only."""


def write_rl(
    path: str | Path,
    suite: str | Path | Suite | None,
    ids: Iterable[str] | None = None,
    *,
    options: RlOptions | None = None,
    tokens: ChatTokens | None = None,
    notes: Mapping[str, JSON] | None = None,
) -> RlReport:
    """Write one row an env; the file appears whole or not at all. The suite's ids are registered in this process.

    Args:
        suite: where the specs are; None is the shipped suite.
        ids: spec ids, in the order of the rows; default: all.
        tokens: the policy's, to measure prompts; needed for `options.max_prompt`.
        notes: kept in the file, for instance the split.

    Raises: DataError naming the envs that are not certified or whose prompts are too long, for options that `ToolEnv`
        refuses, and when the file cannot be written; SuiteError or UnknownEnvError for the suite.
    """
    from astra_train.data.parquet_files import write_rows

    options = options or RlOptions()
    if options.max_prompt is not None and tokens is None:
        raise DataError("a limit on prompts needs the policy's tokenizer (tokens=ChatTokens(tokenizer))")
    source = _SuiteSource.of(suite, options.namespace)
    chosen = list(source.suite.ids if ids is None else ids)
    faults = Faults.of(options.faults)
    report = RlReport()

    def rows() -> Iterator[dict[str, Any]]:
        for index, spec in enumerate(_within_limit(source.certified(chosen), options, tokens, report)):
            if index == 0:
                _check_env_options(source.env_id(spec.id), options.env_kwargs, faults)
            report.by_group[spec.domain, spec.hops] += 1
            yield _row(index, spec, source, options, faults)

    report.rows = write_rows(path, _schema(), rows(), {"kind": "rl", **(notes or {})})
    return report


def prompt_messages(spec: ToolEnvSpec, system_prompt: str | None = None) -> list[Message]:
    """The messages that an episode begins with."""
    system: list[Message] = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return [*system, {"role": "user", "content": spec.question}]


@dataclass(frozen=True, slots=True)
class _SuiteSource:
    """A suite whose ids are registered."""

    suite: Suite
    path: str
    """As rows have it: absolute, or "" for the shipped suite."""
    namespace: str

    @classmethod
    def of(cls, suite: str | Path | Suite | None, namespace: str) -> _SuiteSource:
        place = SHIPPED if suite is None else Path(suite.path if isinstance(suite, Suite) else suite).resolve()
        if place == SHIPPED:
            return cls(open_suite(SHIPPED), "", SHIPPED_NAMESPACE)  # registered by `import astra_gym`
        opened = open_suite(place)
        register_suite(place, namespace)
        return cls(opened, str(place), namespace)

    def env_id(self, spec_id: str) -> str:
        return f"{self.namespace}/{spec_id}"

    def certified(self, ids: Sequence[str]) -> Iterator[ToolEnvSpec]:
        """The specs, all of them certified. Raises: DataError at the end, naming those that are not."""
        refused: list[str] = []
        for spec_id in ids:
            try:
                spec = self.suite.load(spec_id)
            except CertificateError as error:
                refused.append(f"{spec_id} ({error})")
                continue
            if not refused:
                yield spec
        if refused:
            shown = "; ".join(refused[:SHOWN])
            raise DataError(
                f"{self.suite.path}: {len(refused)} of {len(ids)} envs are not certified: {shown}"
                f"{'; ...' if len(refused) > SHOWN else ''}; `astra check` tells why, leave them out or certify them"
            )


def _within_limit(
    specs: Iterable[ToolEnvSpec], options: RlOptions, tokens: ChatTokens | None, report: RlReport
) -> Iterator[ToolEnvSpec]:
    for spec in specs:
        length = 0
        if tokens is not None:
            length = len(tokens.initial(prompt_messages(spec, options.system_prompt), spec.tool_schemas))
        if options.max_prompt is not None and length > options.max_prompt:
            report.too_long.append((spec.id, length))
        else:
            report.longest_prompt = max(report.longest_prompt, length)
            yield spec
    if report.too_long and options.on_long == "error":
        worst = sorted(report.too_long, key=lambda pair: (-pair[1], pair[0]))
        shown = ", ".join(f"{spec_id} ({length})" for spec_id, length in worst[:SHOWN])
        raise DataError(
            f"the prompts of {len(worst)} envs are longer than {options.max_prompt} tokens: {shown}"
            f"{', ...' if len(worst) > SHOWN else ''}; raise the limit to {worst[0][1]}, or drop them (on_long='drop')"
        )


def _check_env_options(env_id: str, env_kwargs: Mapping[str, JSON], faults: Faults | None) -> None:
    try:
        make(env_id, **env_kwargs, faults=faults).close()
    except (TypeError, ValueError) as error:
        raise DataError(f"{env_id} cannot be made with {dict(env_kwargs)}: {error}") from error


def _row(
    index: int, spec: ToolEnvSpec, source: _SuiteSource, options: RlOptions, faults: Faults | None
) -> dict[str, Any]:
    return {
        "prompt": [dict(message) for message in prompt_messages(spec)],
        "data_source": DATA_SOURCE,
        "agent_name": AGENT_NAME,
        "reward_model": {"style": "rule", "ground_truth": ""},
        "extra_info": {
            "env_id": source.env_id(spec.id),
            "suite": source.path,
            "namespace": source.namespace,
            "seed": options.seed + index,
            "index": index,
            "env_kwargs": orjson.dumps(dict(options.env_kwargs)).decode(),
            "faults": "" if faults is None else orjson.dumps(faults.to_json()).decode(),
            "domain": spec.domain,
            "hops": spec.hops,
            "scenario_type": spec.scenario_type,
            "distractor_band": spec.distractor_band,
        },
    }


@dataclass(frozen=True, slots=True)
class RowsChecked:
    """What `check_rows` found in order."""

    rows: int
    suites: tuple[str, ...]
    """Suite files, "" for the shipped one."""
    env_ids: tuple[str, ...]


def check_rows(path: str | Path) -> RowsChecked:
    """Check that every row can be played here: suite there, env id in it, options that the env takes.

    Registers the suites in this process.
    Raises: DataError with the file and the row number of the first row that cannot.
    """
    from astra_train.data.parquet_files import read_rows

    checker = _RowChecker()
    env_ids: list[str] = []
    for number, row in read_rows(path, ("prompt", "agent_name", "extra_info")):
        try:
            env_ids.append(checker.env_id(row))
        except (AstraError, OSError, TypeError, ValueError, LookupError) as error:
            raise DataError(f"{path}: row {number}: {error}") from error
    if not env_ids:
        raise DataError(f"{path}: no row to train on")
    return RowsChecked(len(env_ids), tuple(dict.fromkeys(suite for suite, _ in checker.known)), tuple(env_ids))


class _RowChecker:
    """Registers each suite once, makes one env for each set of options of a suite."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], frozenset[str]] = {}
        """Registered ids by suite and namespace."""
        self._made: set[tuple[str, ...]] = set()

    def env_id(self, row: Mapping[str, Any]) -> str:
        """The env id of a row that can be played. Raises: whatever is wrong with it, without the place."""
        info = row["extra_info"] or {}
        if missing := sorted({"env_id", "suite", "namespace", "seed", "env_kwargs", "faults"} - info.keys()):
            raise DataError(f"extra_info lacks {missing}, found {sorted(info)}; `astra data rl` writes these rows")
        if row["agent_name"] != AGENT_NAME or not row["prompt"]:
            raise DataError(f"expected the agent {AGENT_NAME!r} and a prompt, found {row['agent_name']!r}")
        env_id, suite, namespace = str(info["env_id"]), str(info["suite"]), str(info["namespace"])
        registered = self._registered(suite, namespace)
        if env_id not in registered:
            raise DataError(f"no env {env_id!r} among the {len(registered)} of {suite or 'the shipped suite'}")
        options = (suite, namespace, info["env_kwargs"] or "", info["faults"] or "")
        if options not in self._made:
            make(env_id, **row_options(info)).close()
            self._made.add(options)
        return env_id

    def _registered(self, suite: str, namespace: str) -> frozenset[str]:
        if (suite, namespace) not in self.known:
            shipped = (f"{SHIPPED_NAMESPACE}/{name}" for name in open_suite(SHIPPED).ids)
            self.known[suite, namespace] = frozenset(register_suite(suite, namespace) if suite else shipped)
        return self.known[suite, namespace]


def _schema() -> pa.Schema:
    import pyarrow as pa

    texts = ("env_id", "suite", "namespace", "env_kwargs", "faults", "domain", "scenario_type", "distractor_band")
    info = [(name, pa.string()) for name in texts]
    info += [(name, pa.int64()) for name in ("seed", "index", "hops")]
    return pa.schema(
        [
            ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
            ("data_source", pa.string()),
            ("agent_name", pa.string()),
            ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
            ("extra_info", pa.struct(info)),
        ]
    )
