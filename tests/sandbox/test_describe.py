"""The description says what the policy does, name by name."""

from __future__ import annotations

import re

import pytest

from astra_gym.sandbox import PolicyViolationError, check_source, describe_policy
from astra_gym.sandbox.limits import Limits


def test_every_described_member_can_be_imported() -> None:
    lines = re.findall(r"^- `([\w.]+)`: (.+)$", describe_policy(), re.MULTILINE)
    assert {"math", "json", "re", "datetime", "itertools", "decimal", "random"} <= {name for name, _ in lines}
    for module, members in lines:
        for member in members.split(", "):
            check_source(f"from {module} import {member} as x\ndef f():\n    return x", "f")


def test_every_described_builtin_is_defined() -> None:
    found = re.search(r"^Builtins: (.+)\.$", describe_policy(), re.MULTILINE)
    assert found is not None
    names = found[1].split(", ")
    assert {"len", "sorted", "isinstance", "print", "property"} <= set(names)
    for name in names:
        check_source(f"def f():\n    return {name}(1)", "f")


def test_every_name_described_as_missing_is_refused() -> None:
    found = re.search(r"^- names: (.+)\.$", describe_policy(), re.MULTILINE)
    assert found is not None
    for name in found[1].split(", "):
        with pytest.raises(PolicyViolationError):
            check_source(f"def f():\n    return {name}", "f")


def test_limits_are_the_ones_in_force() -> None:
    assert f"{Limits().fuel:,} loop steps" in describe_policy()
