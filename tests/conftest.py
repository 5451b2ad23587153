"""What every test stands on: a cache folder of its own, so that no test reads or writes the user's vet records."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("ASTRA_CACHE_DIR")
    os.environ["ASTRA_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["ASTRA_CACHE_DIR"]
    else:
        os.environ["ASTRA_CACHE_DIR"] = before
