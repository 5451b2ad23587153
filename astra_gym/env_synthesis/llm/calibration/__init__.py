"""How good are the judges? They are asked about decompositions of which it is known whether and how they are broken.

`labelled_set` makes the set from certified envs, `measure` asks judges about it, `RuleJudge` judges without a model.
"""

from astra_gym.env_synthesis.llm.calibration.breaking import FLAWS, Flaw
from astra_gym.env_synthesis.llm.calibration.labelled import Labelled, labelled_set, table_envs
from astra_gym.env_synthesis.llm.calibration.measure import (
    CHECKS,
    CalibrationReport,
    CheckMeasure,
    Counts,
    Miss,
    measure,
)
from astra_gym.env_synthesis.llm.calibration.rule_judge import RuleJudge

__all__ = [
    "CHECKS",
    "FLAWS",
    "CalibrationReport",
    "CheckMeasure",
    "Counts",
    "Flaw",
    "Labelled",
    "Miss",
    "RuleJudge",
    "labelled_set",
    "measure",
    "table_envs",
]
