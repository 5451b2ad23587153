"""The files of a run: the suite, the rejected items beside it, and the mark that says whose they are.

`suite.jsonl` goes with `suite.rejected.jsonl` and `suite.run.json`. A run goes on with files that carry its own
fingerprint, and touches no others unless it is told to.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import orjson

from astra_gym.errors import PipelineError
from astra_gym.records import JSON, canonical_json, content_hash

_SHOWN_CHARS = 100


class Outputs:
    """Paths of one run; its own once it has claimed them."""

    def __init__(self, suite: Path, *, more: Iterable[str] = ()) -> None:
        """
        Args:
            suite: a `.jsonl` file, there already or not.
            more: suffixes of further files of the run, which it keeps itself.

        Raises: PipelineError when the name does not end in .jsonl, or its folder cannot be made.
        """
        if suite.suffix != ".jsonl":
            raise PipelineError(f"{suite}: a run writes one .jsonl file; found the suffix {suite.suffix!r}")
        self.suite = suite
        self.rejected = suite.with_suffix(".rejected.jsonl")
        self._mark = suite.with_suffix(".run.json")
        self._more = [suite.with_suffix(suffix) for suffix in more]
        try:
            suite.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PipelineError(f"{suite}: cannot be written: {error.strerror}") from error

    def claim(self, settings: JSON, *, overwrite: bool = False, show: bool = False) -> None:
        """Go on with the files of this very run, or begin them.

        Args:
            settings: plain JSON data; all that decides the result.
            overwrite: remove suite, rejected items and mark that are there; what `more` names is the caller's.
            show: keep the settings in the mark, so that a refusal can say what is not as it was.

        Raises: PipelineError when the files are another's, or cannot be written.
        """
        try:
            if overwrite:
                for path in (self._mark, self.suite, self.rejected):
                    path.unlink(missing_ok=True)
            self._check_and_mark(settings, overwrite, show)
        except OSError as error:
            raise PipelineError(f"{self.suite}: cannot be written: {error.strerror}") from error

    def _check_and_mark(self, settings: JSON, overwrite: bool, show: bool) -> None:
        fingerprint = content_hash(settings)
        mark = {"fingerprint": fingerprint, "settings": settings} if show else {"fingerprint": fingerprint}
        if self._mark.exists():
            found: JSON = None
            with suppress(orjson.JSONDecodeError):
                found = orjson.loads(self._mark.read_bytes())
            if isinstance(found, dict) and found.get("fingerprint") == fingerprint:
                return
            difference = _difference(found, settings)
        elif overwrite or not any(path.exists() for path in (self.suite, self.rejected, *self._more)):
            with appearing_whole(self._mark) as file:
                file.write(canonical_json(mark) + b"\n")
            return
        else:
            difference = None
        raise PipelineError(
            f"{self.suite}: holds the output of another run ({difference or 'other input, seed or options'}); "
            "choose another output, or start again with --overwrite"
        )


@contextmanager
def appearing_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write to; it takes the place of `path`, flushed to disk, when the block ends without an exception."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _difference(found: JSON, settings: JSON) -> str | None:
    """What is not as it was, where the mark tells; None where it does not."""
    before = found.get("settings") if isinstance(found, dict) else None
    now = orjson.loads(orjson.dumps(settings))
    if not isinstance(before, dict) or not isinstance(now, dict):
        return None
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return "; ".join(f"{name} was {_shown(before.get(name))}, now {_shown(now.get(name))}" for name in names) or None


def _shown(value: JSON) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
