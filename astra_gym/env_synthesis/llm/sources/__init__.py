"""Where items come from: rows, documents, questions, taxonomies, suites and decompositions, by mode.

`read_items(mode, paths, options)` gives the items of a run; each mode's input is described in the file that reads it.
"""

from astra_gym.env_synthesis.llm.sources.options import HOP_DEFAULTS, HopRange, SourceOptions
from astra_gym.env_synthesis.llm.sources.reading import read_items

__all__ = ["HOP_DEFAULTS", "HopRange", "SourceOptions", "read_items"]
