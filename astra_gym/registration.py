"""Suites become Gymnasium ids: `register_suite(path, namespace)`, then `gymnasium.make("namespace/<spec id>")`.

Each env is one `EnvSpec` that names the suite's path and the spec's id, put straight into Gymnasium's registry:
`gymnasium.register` looks through the whole registry each time, which for a hundred thousand ids would take hours. No
spec is read before its env is made; as its keyword arguments say all, an env can be made in any process.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, registry

from astra_gym.errors import SuiteError, UnknownEnvError
from astra_gym.nearest import nearest
from astra_gym.suite import Suite, open_suite
from astra_gym.suite.stores import SPEC_ID, Signature

if TYPE_CHECKING:  # they need pydantic, which takes as long to import as all the rest
    from astra_gym.env import ToolEnv
    from astra_gym.types import ToolEnvSpec
    from astra_gym.vector import ToolVectorEnv

SHIPPED = Path(__file__).resolve().parent.parent / "env_specs"
"""The suite that comes with the library, a folder of JSON files."""
SHIPPED_NAMESPACE = "astra"
ENTRY_POINT = "astra_gym.registration:make_env"
VECTOR_ENTRY_POINT = "astra_gym.registration:make_vector_env"
NAMESPACE = re.compile(r"[A-Za-z0-9_-]+")
OPEN_SUITES = 8
PARSED_SPECS = 64


def register_suite(
    path: str | Path, namespace: str, *, skip_bad: bool = False, replace: bool = False, **env_kwargs: Any
) -> list[str]:
    """Register every spec of a suite and return the env ids, `namespace/<spec id>`.

    Registering the same suite with the same options again is fine, also after the file has grown or shrunk.

    Args:
        skip_bad: leave out specs whose place in the suite is damaged.
        replace: let this suite take ids that another suite, or this one with other options, holds.
        env_kwargs: options of `ToolEnv` for every env of the suite; `gymnasium.make` can override them.

    Raises: SuiteError when the suite cannot be opened, a name does not suit Gymnasium or an id is taken.
    """
    path = Path(path).resolve()
    suite = open_suite(path, skip_bad=skip_bad, require_certificate=False)  # `ToolEnv` asks for it
    options = env_kwargs | ({"skip_bad": True} if skip_bad else {})
    ids = _register(path, namespace, suite.ids, options, replace)
    _remember(str(path), skip_bad, suite)
    return ids


def register_shipped() -> list[str]:
    """Register the suite that comes with the library, from its file names only; nothing when it is not there."""
    names = sorted(file.stem for file in SHIPPED.glob("*.json") if SPEC_ID.fullmatch(file.stem))
    return _register(SHIPPED, SHIPPED_NAMESPACE, names, {}, False)


def shipped_ids() -> list[str]:
    """The ids of the suite that comes with the library, as far as they are registered."""
    return [env_id for env_id, spec in _ours().items() if spec.kwargs["suite_path"] == str(SHIPPED)]


def unregister_suite(namespace: str) -> list[str]:
    """Take every env that `register_suite` put into `namespace` out of the registry; returns their ids."""
    ids = [env_id for env_id, spec in _ours().items() if spec.namespace == namespace]
    for env_id in ids:
        del registry[env_id]
    return ids


def make(env_id: str, **kwargs: Any) -> gym.Env[str, str]:
    """`gymnasium.make`, with the nearest ids in the error, and without its look through the whole registry.

    Raises: UnknownEnvError; CertificateError or SuiteError when the spec is not what was registered.
    """
    if env_id not in registry:
        raise UnknownEnvError(_unknown(env_id))
    return gym.make(registry[env_id], **kwargs)


def nearest_ids(env_id: str, n: int = 5) -> list[str]:
    """The ids of registered suites that are most like `env_id`, best first."""
    return nearest(env_id, _ours(), n)


def make_env(*, suite_path: str, spec_id: str, skip_bad: bool = False, **kwargs: Any) -> ToolEnv:
    """The entry point of every registered env."""
    from astra_gym.env import ToolEnv

    return ToolEnv(_load(suite_path, spec_id, skip_bad), **kwargs)


def make_vector_env(
    *, num_envs: int, suite_path: str, spec_id: str, skip_bad: bool = False, **kwargs: Any
) -> ToolVectorEnv:
    """The entry point of `gymnasium.make_vec`: many episodes of one env at a time."""
    from astra_gym.vector import ToolVectorEnv

    return ToolVectorEnv(_load(suite_path, spec_id, skip_bad), num_envs=num_envs, **kwargs)


def _register(path: Path, namespace: str, names: Iterable[str], options: dict[str, Any], replace: bool) -> list[str]:
    if not NAMESPACE.fullmatch(namespace):
        raise SuiteError(f"namespace {namespace!r}: expected letters, digits, '_' or '-', as in 'mine'")
    new: dict[str, EnvSpec] = {}
    for name in names:
        kwargs = {"suite_path": str(path), "spec_id": name, **options}
        env_id = f"{namespace}/{name}"
        new[env_id] = EnvSpec(env_id, entry_point=ENTRY_POINT, vector_entry_point=VECTOR_ENTRY_POINT, kwargs=kwargs)
    if not replace:
        for env_id in new.keys() & registry.keys():
            _check_same(registry[env_id], new[env_id])
    for env_id, spec in _ours().items():
        if spec.namespace == namespace and spec.kwargs["suite_path"] == str(path) and env_id not in new:
            del registry[env_id]
    registry.update(new)
    return list(new)


def _check_same(old: EnvSpec, new: EnvSpec) -> None:
    if old.entry_point != ENTRY_POINT or old.kwargs["suite_path"] != new.kwargs["suite_path"]:
        holder = old.kwargs.get("suite_path", old.entry_point)
    elif old.kwargs != new.kwargs:
        holder = f"the same suite with other options, {_options(old)} instead of {_options(new)}"
    else:
        return
    raise SuiteError(f"{new.id} is taken by {holder}; choose another namespace, or pass replace=True")


def _options(spec: EnvSpec) -> dict[str, Any]:
    return {key: value for key, value in spec.kwargs.items() if key not in {"suite_path", "spec_id"}}


def _ours() -> dict[str, EnvSpec]:
    return {env_id: spec for env_id, spec in registry.items() if spec.entry_point == ENTRY_POINT}


def _unknown(env_id: str) -> str:
    if near := nearest_ids(env_id):
        return f"no env {env_id!r}; the nearest are {', '.join(near)}"
    namespaces = sorted({str(spec.namespace) for spec in _ours().values()})
    return f"no env {env_id!r}; the namespaces registered are {namespaces}; register_suite(path, namespace) adds one"


_opened: dict[tuple[str, bool], Suite] = {}
"""The suites used last, the latest at the end; per process."""


def _remember(path: str, skip_bad: bool, suite: Suite) -> Suite:
    _opened.pop((path, skip_bad), None)
    _opened[path, skip_bad] = suite
    while len(_opened) > OPEN_SUITES:
        _opened.pop(next(iter(_opened)), None)
    return suite


def _load(path: str, spec_id: str, skip_bad: bool) -> ToolEnvSpec:
    suite = _opened.get((path, skip_bad)) or open_suite(path, skip_bad=skip_bad, require_certificate=False)
    _remember(path, skip_bad, suite)
    return _parsed(suite, spec_id, suite.signature(spec_id))


@lru_cache(maxsize=PARSED_SPECS)
def _parsed(suite: Suite, spec_id: str, signature: Signature | None) -> ToolEnvSpec:  # noqa: ARG001 - part of the key
    return suite.load(spec_id)
