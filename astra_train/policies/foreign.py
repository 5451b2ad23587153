"""Calls into transformers: quiet ones, and whatever they raise as one error of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from astra_train.policies.folders import ModelFolderError

_LONGEST_MESSAGE = 300


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Nothing but errors is printed inside; what was set before is set again afterwards."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Raises: ModelFolderError, `what` and then the first words of whatever was raised inside."""
    try:
        yield
    except Exception as error:
        text = " ".join(str(error).split())
        raise ModelFolderError(f"{what}: {type(error).__name__}: {text[:_LONGEST_MESSAGE]}") from error


@contextmanager
def collected(problems: list[str]) -> Iterator[None]:
    """A ModelFolderError raised inside ends the block and becomes an entry of `problems`."""
    try:
        yield
    except ModelFolderError as error:
        problems.append(str(error))
