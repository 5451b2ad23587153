"""Many oracle trajectories: a style drawn for each spec, every trajectory checked, what was left out counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from typing import Any

from astra_gym.errors import ModelError, SandboxError
from astra_gym.sandbox import Isolation
from astra_gym.types import Rejected, ToolEnvSpec, Trajectory
from astra_train.data.errors import DataError
from astra_train.data.styles import MIXES, STYLES, StyleName, Unfit, play


@dataclass(slots=True)
class StyleReport:
    """What became of the specs."""

    specs: int = 0
    played: Counter[str] = field(default_factory=Counter)
    """Trajectories by style."""
    unfit: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Draws that did not fit, by style and reason; another style was drawn in their place."""
    without: list[str] = field(default_factory=list)
    """Ids of the specs that no style fitted."""
    rejected: list[Rejected] = field(default_factory=list)
    """Trajectories that were not as good as they have to be."""


def oracle_trajectories(
    specs: Iterable[ToolEnvSpec],
    styles: Collection[StyleName] | None = None,
    seed: int = 0,
    weights: Mapping[StyleName, float] | None = None,
    *,
    per_spec: int = 1,
    isolation: Isolation = "auto",
    system_prompt: str | None = None,
    report: StyleReport | None = None,
) -> Iterator[Trajectory]:
    """Play each spec `per_spec` times, each time in another style as long as there are some that fit.

    Args:
        styles: which styles; default: those of `weights`, or all.
        weights: how often each style is drawn first; default: evenly.
        system_prompt: see `play`.
        report: filled while the trajectories are taken.

    Raises: DataError for styles or weights that make no sense.
    """
    chances = _chances(styles, weights)
    report = report if report is not None else StyleReport()
    for spec in specs:
        report.specs += 1
        made = 0
        episode_seed = int.from_bytes(blake2b(f"{seed}|{spec.id}".encode(), digest_size=4).digest()) >> 1
        for style in _drawn(chances, Random(f"{seed}|styles|{spec.id}")):
            if made == per_spec:
                break
            options: dict[str, Any] = {"seed": episode_seed, "isolation": isolation, "system_prompt": system_prompt}
            trajectory = _attempt(spec, style, options, report)
            if trajectory is not None:
                made += 1
                report.played[style] += 1
                yield trajectory
        if not made:
            report.without.append(spec.id)


def defect(trajectory: Trajectory) -> str | None:
    """What is wrong with an oracle's trajectory; None when it is as good as it can be in its style.

    Everything solved, the final answer right, and no call too many but the marked mistakes: without one, F1 is 1.
    """
    mistakes = len(trajectory.metadata.get("mistake_turns", ()))
    if trajectory.stop_reason != "final_answer":
        return f"ended with {trajectory.stop_reason}"
    if trajectory.solved != trajectory.needed:
        return f"solved {trajectory.solved} of {trajectory.needed}"
    if trajectory.calls != trajectory.needed + mistakes:
        return f"made {trajectory.calls} calls for {trajectory.needed} and {mistakes} mistakes"
    if trajectory.final_answer_correct is not True:
        return "the final answer is not right"
    if not mistakes and abs(trajectory.breakdown.f1 - 1.0) > 1e-12:
        return f"F1 is {trajectory.breakdown.f1}"
    return None


def _attempt(spec: ToolEnvSpec, style: StyleName, options: Mapping[str, Any], report: StyleReport) -> Trajectory | None:
    try:
        trajectory = play(spec, style, **options)
    except Unfit as unfit:
        report.unfit[style, str(unfit)] += 1
        return None
    except (ModelError, SandboxError) as error:
        report.rejected.append(Rejected(id=spec.id, stage=style, reason=str(error)))
        return None
    if wrong := defect(trajectory):
        report.rejected.append(Rejected(id=spec.id, stage=style, reason=wrong))
        return None
    return trajectory


def _chances(styles: Collection[StyleName] | None, weights: Mapping[StyleName, float] | None) -> dict[StyleName, float]:
    names = list(dict.fromkeys(styles if styles is not None else weights or STYLES))
    given = weights or {}
    if unknown := sorted({*names, *given} - set(STYLES)):
        raise DataError(f"styles: expected some of {list(STYLES)}, found {unknown}; mixes are {sorted(MIXES)}")
    chances = {name: float(given.get(name, 0.0) if weights else 1.0) for name in names}
    if not chances or min(chances.values()) < 0 or not sum(chances.values()) > 0:
        raise DataError(f"styles: expected weights from 0 up, one at least above 0, found {chances}")
    return {name: chance for name, chance in chances.items() if chance > 0}


def _drawn(chances: Mapping[StyleName, float], rng: Random) -> Iterator[StyleName]:
    """All styles in a random order, the likelier ones sooner."""
    left = dict(chances)
    while left:
        (style,) = rng.choices(list(left), weights=list(left.values()))
        del left[style]
        yield style
