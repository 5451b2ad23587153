"""Requests side by side, none of which outlives the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def together(work: Iterable[Awaitable[T]]) -> list[T]:
    """The results in order, once all have ended, so that what comes of them does not depend on which was first.

    Raises: the first error in order. (`asyncio.gather` by itself leaves the others running after an error.)
    """
    results = await asyncio.gather(*work, return_exceptions=True)
    done: list[T] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        done.append(result)
    return done
