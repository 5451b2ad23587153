"""Look-alike modules: the name of a standard module, and of its content only what is listed.

A real module object leads to `sys.modules` within two attribute look-ups, and which ones do changes with every Python
version. So tools never see one.
"""

from __future__ import annotations

import types
from typing import Any


def frozen(name: str, members: dict[str, Any]) -> types.ModuleType:
    """A module object that holds `members` and its name, nothing else."""
    module = types.ModuleType(name)
    module.__dict__.clear()
    module.__dict__.update(members)
    module.__dict__["__name__"] = name
    return module


def pick(source: Any, names: str) -> dict[str, Any]:
    """The listed names of a real module, those that this Python version has."""
    return {name: getattr(source, name) for name in names.split() if hasattr(source, name)}
