"""Irrelevant-tool mixing: an env's tools among tools of other envs that cannot help, more and less alike.

`ToolPool.of(suites)` collects every tool, `Mixer` puts some of them into a record: candidates are sorted into bands by
how alike their documents are to the env's own tools, those of the same domain and those that could give an answer are
left out, and up to k of each band are drawn. After "irrelevant tool mixing" of ASTRA (arXiv 2601.21558, section 4).
The record that comes out is a new env: it has its own id and needs its own certificate.
"""

from astra_gym.distractors.bands import BANDS, Band
from astra_gym.distractors.embedding import EMBEDDINGS, Embedding, resolve_embedding
from astra_gym.distractors.mixing import Mixed, Mixer, Mixing
from astra_gym.distractors.pool import DistractorError, PoolTool, ToolPool

__all__ = [
    "BANDS",
    "EMBEDDINGS",
    "Band",
    "DistractorError",
    "Embedding",
    "Mixed",
    "Mixer",
    "Mixing",
    "PoolTool",
    "ToolPool",
    "resolve_embedding",
]
