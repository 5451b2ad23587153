"""`Distractors`: an env whose tools stand among tools of other envs that cannot help.

For trying out and for a few envs: the pool is read, the candidates are run and the new record is certified when the
wrapper is made. For training, `astra distract` writes a whole suite once, which also replays by its ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from astra_gym.env import ToolEnv

if TYPE_CHECKING:
    from astra_gym.distractors import Mixed, Mixer
    from astra_gym.types import ToolEnvSpec


class Distractors(gym.Wrapper[str, str, str, str], RecordConstructorArgs):
    """Puts distractors into a `ToolEnv`: from the next `reset` on it plays the record that `tool_spec` shows."""

    def __init__(
        self,
        env: gym.Env[str, str],
        suites: Sequence[str | Path] | str | Path,
        variant: str = "banded",
        k: int = 3,
        bands: Sequence[str] = ("high", "medium", "low"),
        seed: int = 0,
        embedding: str = "tfidf",
        certify: bool = True,
    ) -> None:
        """
        Args:
            suites: whose tools make up the pool; one of them has to hold the env itself.
            variant, k, bands, seed, embedding: as of `astra_gym.distractors.Mixing`.
            certify: check the new record as any other; False saves a second.

        Raises: DistractorError when the env does not suit, or the new record does not hold; ValueError for the options.
        """
        paths = [str(path) for path in ([suites] if isinstance(suites, str | Path) else suites)]
        RecordConstructorArgs.__init__(
            self,
            suites=paths,
            variant=variant,
            k=k,
            bands=list(bands),
            seed=seed,
            embedding=embedding,
            certify=certify,
        )
        gym.Wrapper.__init__(self, env)
        tool_env = env.unwrapped
        if not isinstance(tool_env, ToolEnv):
            raise TypeError(f"Distractors needs a ToolEnv, found {type(tool_env).__name__}")
        stamps = tuple(Path(path).stat().st_mtime_ns for path in paths if Path(path).exists())
        mixer = _mixer(tuple(paths), stamps, variant, k, tuple(bands), seed, embedding)
        try:
            self.mixed: Mixed = mixer.mix(tool_env.tool_spec)
        finally:
            mixer.close()
        if self.mixed.bands:
            tool_env.set_spec(_certified(self.mixed.spec) if certify else self.mixed.spec, require_certificate=certify)

    @property
    def tool_spec(self) -> ToolEnvSpec:
        """The record that is played."""
        return cast("ToolEnv", self.unwrapped).tool_spec


@lru_cache(maxsize=4)
def _mixer(
    paths: tuple[str, ...],
    _stamps: tuple[int, ...],
    variant: str,
    k: int,
    bands: tuple[str, ...],
    seed: int,
    embedding: str,
) -> Mixer:
    """Made once a process for the same suites and options; again when a file has another time stamp."""
    from astra_gym.distractors import Mixer, Mixing, ToolPool
    from astra_gym.suite import open_suite

    pool = ToolPool.of(chain.from_iterable(open_suite(path) for path in paths))
    return Mixer(pool, Mixing.of(variant=variant, k=k, bands=list(bands), seed=seed, embedding=embedding))


def _certified(spec: ToolEnvSpec) -> ToolEnvSpec:
    from astra_gym.certify import certify, with_certificate
    from astra_gym.distractors import DistractorError
    from astra_gym.types import Rejected

    outcome = certify(spec)
    if isinstance(outcome, Rejected):
        raise DistractorError(f"{spec.id}: does not hold with its distractors: {outcome.stage}: {outcome.reason}")
    return with_certificate(spec, outcome)
