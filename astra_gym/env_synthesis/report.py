"""The counts of a run: what was kept, what was rejected at which stage and for which kind of reason."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from astra_gym.types import Rejected, ToolEnvSpec


@dataclass
class RunReport:
    """Counts of a run, resumed items included."""

    suite: Path
    rejected_file: Path
    kept: int = 0
    resumed: int = 0
    rejected_by_stage: dict[str, int] = field(default_factory=dict)
    reasons: dict[tuple[str, str], int] = field(default_factory=dict)
    by_group: dict[tuple[str, str, int], int] = field(default_factory=dict)
    """Kept envs by (domain, scenario type, hops)."""
    exhausted: bool = True
    """False when the source ended before `limit` envs were kept."""

    @property
    def rejected(self) -> int:
        return sum(self.rejected_by_stage.values())

    def keep(self, spec: ToolEnvSpec) -> None:
        """Count an env that enters the suite."""
        self.kept += 1
        group = (spec.domain, spec.scenario_type, spec.hops)
        self.by_group[group] = self.by_group.get(group, 0) + 1

    def reject(self, rejected: Rejected) -> None:
        """Count an item that is dropped."""
        self.rejected_by_stage[rejected.stage] = self.rejected_by_stage.get(rejected.stage, 0) + 1
        key = (rejected.stage, _kind(rejected.reason))
        self.reasons[key] = self.reasons.get(key, 0) + 1


def _kind(reason: str) -> str:
    """A reason without its particulars, so that equal kinds can be counted together."""
    plain = re.sub(r"'[^']*'|\"[^\"]*\"|\[[^\]]*\]|\{[^}]*\}", "…", reason)
    return re.sub(r"-?\d[\d.,]*", "N", plain)[:120]
