"""Specs with a certificate that fits them, for tests about files: no check is run."""

from __future__ import annotations

from astra_gym.types import Certificate, ToolEnvSpec, Verdict
from tests.specs import CHAIN


def certified(spec: ToolEnvSpec) -> ToolEnvSpec:
    """`spec` as `certify` would return it, if it passed."""
    checks = (Verdict(check="by-hand", status="pass"),)
    certificate = Certificate(content_hash=spec.content_hash(), checks=checks)
    return spec.model_copy(update={"certificate": certificate})


def copies(count: int, spec: ToolEnvSpec = CHAIN) -> list[ToolEnvSpec]:
    """`count` certified specs that differ in their ids: `copy-0-v0`, `copy-1-v0`..."""
    return [certified(spec.model_copy(update={"id": f"copy-{i}-v0"})) for i in range(count)]
