"""The leakage check on files: what SFT and RL data train on against what validation data measures on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from astra_gym.registration import SHIPPED
from astra_gym.suite import Suite, open_suite
from astra_train.data.content import Content, content_of, content_of_messages
from astra_train.data.errors import DataError
from astra_train.data.parquet_files import read_notes, read_rows
from astra_train.data.sft import read_sft
from astra_train.data.split import Leak, check_leakage, refuse_leakage


def contents_of_file(path: str | Path) -> Iterator[Content]:
    """What each row of an SFT or RL file asks about. Raises: DataError; SuiteError when the suite of a row is gone."""
    kind = read_notes(path).get("kind")
    if kind == "sft":
        for row in read_sft(path):
            yield replace(content_of_messages(row.env_id, row.messages), domain=row.domain, hops=row.hops)
    elif kind == "rl":
        yield from _of_rl(path)
    else:
        raise DataError(f"{path}: expected a file that `astra data` wrote, found one of kind {kind!r}")


def check_files(train: Iterable[str | Path], validation: str | Path) -> list[Leak]:
    """Everything that the training files share with the validation file."""
    trained = (content for path in train for content in contents_of_file(path))
    return check_leakage(trained, contents_of_file(validation), common=_common(validation))


def refuse_leaking_files(train: Iterable[str | Path], validation: str | Path) -> None:
    """Raises: LeakageError when a training file shares anything with the validation file."""
    trained = (content for path in train for content in contents_of_file(path))
    refuse_leakage(trained, contents_of_file(validation), common=_common(validation))


def _common(path: str | Path) -> frozenset[str] | None:
    """The texts that both sides may name, as the split of this file had them."""
    common = read_notes(path).get("common")
    return None if common is None else frozenset(common)


def _of_rl(path: str | Path) -> Iterator[Content]:
    suites: dict[str, Suite] = {}
    for number, row in read_rows(path, ("extra_info",)):
        info = row["extra_info"] or {}
        place, env_id = info.get("suite"), info.get("env_id")
        if place is None or env_id is None:
            raise DataError(
                f"{path}: row {number}: extra_info names no suite and env; `astra data rl` writes these rows"
            )
        if place not in suites:
            suites[place] = open_suite(place or SHIPPED, require_certificate=False)
        yield content_of(suites[place].load(str(env_id).rpartition("/")[2]))
