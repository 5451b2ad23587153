"""How the policy says no: rule, place, what was found and what would do."""

from __future__ import annotations

from dataclasses import dataclass

from astra_gym.errors import PolicyError


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing in tool source that the policy refuses."""

    line: int
    column: int
    rule: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"line {self.line}, column {self.column}: {self.message}{hint} [{self.rule}]"


class PolicyViolationError(PolicyError):
    """Tool source that the policy refuses, with every reason; `line`, `rule` and `hint` are those of the first."""

    def __init__(self, name: str, violations: tuple[Violation, ...]) -> None:
        self.source_name = name
        self.violations = violations
        first = violations[0]
        self.line, self.rule, self.hint = first.line, first.rule, first.hint
        shown = "; ".join(map(str, violations[:5]))
        more = f"; and {len(violations) - 5} more" if len(violations) > 5 else ""
        super().__init__(f"tool source {name!r}: {shown}{more}")
