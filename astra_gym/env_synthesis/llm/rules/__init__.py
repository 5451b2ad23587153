"""Rules before judges: what can be told of a draft without a model, so that nothing is spent on what fails it.

`structure.py` reads the writer's reply (ids, references, cycles, values), `checks.py` the decomposition made of it;
`made_up` is asked once a tool is there.
"""

from astra_gym.env_synthesis.llm.rules.checks import RULES, broken_rule, check_rules
from astra_gym.env_synthesis.llm.rules.grounding import made_up
from astra_gym.env_synthesis.llm.rules.structure import check_structure

__all__ = ["RULES", "broken_rule", "check_rules", "check_structure", "made_up"]
