"""Options of commands that ask several models: which endpoint is whose."""

from __future__ import annotations

import typer


def one_each(
    models: list[str], urls: list[str], model_option: str, url_option: str, default: str | None = None
) -> list[str | None]:
    """The endpoint of each model: its own, the one that is given for all, or the default.

    Raises: BadParameter when their numbers do not fit.
    """
    if len(urls) not in (0, 1, len(models)):
        raise typer.BadParameter(
            f"{len(models)} of {model_option}, but {len(urls)} of {url_option}: give one, or one each"
        )
    return [*urls] if len(urls) == len(models) else [urls[0] if urls else default] * len(models)
