"""`import astra_gym` brings its names and little else."""

from __future__ import annotations

import subprocess
import sys

import pytest

import astra_gym

HEAVY = [
    "torch",
    "openai",
    "jinja2",
    "ray",
    "pyarrow",
    "pandas",
    "rich",
    "typer",
    "jsonschema",
    "jsonschema_rs",
    "RestrictedPython",
]


def in_a_fresh_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_brings_nothing_heavy_and_prints_nothing(record_testsuite_property: pytest.FixtureRequest) -> None:
    code = (
        "import sys, time\n"
        "start = time.perf_counter()\n"
        "import astra_gym\n"
        "seconds = time.perf_counter() - start\n"
        f"print(seconds, [name for name in {[*HEAVY, 'pydantic']} if name in sys.modules], sep='\\n')\n"
    )
    seconds, heavy = in_a_fresh_process(code).splitlines()
    record_testsuite_property("import_astra_gym_s", float(seconds))  # type: ignore[operator]
    assert heavy == "[]"


@pytest.mark.parametrize("name", astra_gym.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(astra_gym, name) is not None
    assert name in dir(astra_gym)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'astra_gym' has no attribute 'nothing'"):
        _ = astra_gym.nothing


@pytest.mark.parametrize("first", ["import astra_gym.rollout", "import astra_gym.registration, astra_gym.env", "pass"])
def test_functions_named_like_their_module_stay_functions(first: str) -> None:
    code = f"{first}\nimport astra_gym\nfrom astra_gym import *\nprint(callable(astra_gym.rollout), callable(rollout))"
    assert in_a_fresh_process(code).split() == ["True", "True"]


def test_the_table_of_late_names_is_complete() -> None:
    late = {name for names in astra_gym._HOME.values() for name in names}
    assert late <= set(astra_gym.__all__)
    assert late | set(vars(astra_gym)) >= set(astra_gym.__all__)
