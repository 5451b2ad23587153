"""Which versions of the training libraries this plugin is written for; a check that imports none of them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from astra_gym.errors import MissingExtraError

SUPPORTED = {
    "verl": ">=0.9.1,<0.9.2",  # the plugin reaches into its engine and rollout registries
    "torch": ">=2.11,<2.14",
    "transformers": ">=5.5.3,<5.11",
    "tensordict": ">=0.10,<0.11",
    "TransferQueue": ">=0.1.10,<0.2",
    "ray": ">=2.47",
}
"""Distribution -> versions, as in the `train` extra."""
INSTALL = "pip install 'astra-gym[train]'"


def require_training(*names: str) -> dict[str, str]:
    """The versions of the installed training libraries.

    Args:
        names: distributions to look at; all of `SUPPORTED` when none are named.

    Raises: MissingExtraError naming each one that is missing or of another version, and what to install.
    """
    found: dict[str, str] = {}
    problems: list[str] = []
    for name in names or SUPPORTED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            problems.append(f"{name} is not installed (needed: {SUPPORTED[name]})")
            continue
        if not _within(found[name], SUPPORTED[name]):
            problems.append(f"{name} {found[name]} is installed, needed: {SUPPORTED[name]}")
    if problems:
        raise MissingExtraError(f"training cannot run here: {'; '.join(problems)}. Do: {INSTALL}")
    return found


def _within(installed: str, supported: str) -> bool:
    try:  # comes with the training libraries, so it is missing where they are
        from packaging.specifiers import SpecifierSet
    except ImportError:
        raise MissingExtraError(f"training cannot run here: packaging is not installed. Do: {INSTALL}") from None
    return SpecifierSet(supported).contains(installed.split("+")[0], prereleases=True)
