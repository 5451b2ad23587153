"""Tool documents as unit vectors, by name: TF-IDF on this machine, an OpenAI-compatible endpoint, or a local model.

The default needs no network and no weights. The paper embeds with Qwen3-Embedding-8B, which either of the other two can
serve. Packages are imported when an embedding is made.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import orjson

from astra_gym.errors import MissingExtraError, ModelError
from astra_gym.types import ToolSpec

Vectors: TypeAlias = Any
"""Unit rows, shape (texts, dimensions): a numpy array of float32 or a scipy sparse matrix in CSR form."""
Embedding: TypeAlias = Callable[[Sequence[str]], Vectors]
"""One unit vector a text; all texts of a pool at once, as TF-IDF weighs a word by how many texts have it."""
EMBEDDINGS: Mapping[str, str] = {
    "tfidf": "words of the document, weighed by how rare they are; no network, no weights",
    "openai:NAME": "the embedding model NAME behind an OpenAI-compatible endpoint",
    "sentence-transformers:NAME": "a sentence-transformers model on this machine, by folder or id",
}
"""What `resolve_embedding` knows."""
BATCH = 128
"""Texts a request."""
_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_UNSPACED = re.compile(r"[぀-ヿ㐀-鿿가-힯฀-๿]")
"""Scripts written without spaces between words: taken apart into pairs of letters."""


def tool_document(tool: ToolSpec) -> str:
    """What is embedded of a tool: its OpenAI document as JSON."""
    return orjson.dumps(tool.as_openai()).decode()


def resolve_embedding(name: str, *, base_url: str | None = None) -> Embedding:
    """The embedding of that name.

    Raises: ModelError naming what there is; MissingExtraError for an extra that is not installed.
    """
    prefix, _, rest = name.partition(":")
    if name == "tfidf":
        return tfidf()
    if prefix == "openai" and rest:
        return openai_embedding(rest, base_url=base_url)
    if prefix == "sentence-transformers" and rest:
        return sentence_transformers_embedding(rest)
    raise ModelError(f"no embedding {name!r}; there are {', '.join(EMBEDDINGS)}")


def tfidf() -> Embedding:
    """TF-IDF over words (of names with underscores and humps, too), counts damped by 1 + log."""
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError as error:
        raise MissingExtraError("TF-IDF needs scikit-learn: pip install 'astra-gym[distractors]'") from error

    def embed(texts: Sequence[str]) -> Vectors:
        return TfidfVectorizer(analyzer=words_of, sublinear_tf=True, dtype=np.float32).fit_transform(texts).tocsr()

    return embed


def words_of(text: str) -> list[str]:
    """The words of a tool document, in lower case."""
    words: list[str] = []
    for word in _WORD.findall(_HUMP.sub(" ", text)):
        if len(word) > 2 and _UNSPACED.search(word):
            words += (word[i : i + 2] for i in range(len(word) - 1))
        else:
            words.append(word.lower())
    return words


def openai_embedding(
    model: str, *, base_url: str | None = None, api_key: str | None = None, timeout_s: float = 120.0
) -> Embedding:
    """The embeddings of an OpenAI-compatible endpoint, `BATCH` texts a request.

    Raises: MissingExtraError; ModelError when there is no key for OpenAI's own endpoint, or a request fails.
    """
    try:
        import openai
    except ImportError as error:
        raise MissingExtraError("openai:NAME needs the client: pip install 'astra-gym[models]'") from error
    base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
    key = api_key or os.environ.get("OPENAI_API_KEY") or ("none" if base_url else None)
    if key is None:
        raise ModelError("no API key: set OPENAI_API_KEY, or give base_url for an endpoint that needs none")
    client = openai.OpenAI(base_url=base_url, api_key=key, timeout=timeout_s, max_retries=3)

    def embed(texts: Sequence[str]) -> Vectors:
        rows: list[list[float]] = []
        for start in range(0, len(texts), BATCH):
            part = list(texts[start : start + BATCH])
            try:
                reply = client.embeddings.create(model=model, input=part, encoding_format="float")
                found = sorted(reply.data, key=lambda item: item.index)
                rows += [item.embedding for item in found]
            except openai.OpenAIError as error:
                raise ModelError(f"openai:{model} at {client.base_url}: no embeddings: {error}") from None
            if [item.index for item in found] != list(range(len(part))):
                raise ModelError(f"openai:{model}: asked for {len(part)} embeddings, received {len(found)}")
        return unit_rows(rows, f"openai:{model}")

    return embed


def sentence_transformers_embedding(model: str) -> Embedding:
    """The embeddings of a sentence-transformers model. Raises: MissingExtraError; ModelError when it cannot be had."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingExtraError(
            "sentence-transformers:NAME needs its package: pip install sentence-transformers"
        ) from error
    try:
        encoder = SentenceTransformer(model)
    except (OSError, ValueError) as error:
        raise ModelError(f"sentence-transformers:{model}: cannot be loaded: {error}") from None
    return lambda texts: unit_rows(encoder.encode(list(texts)), f"sentence-transformers:{model}")


def unit_rows(rows: Any, name: str) -> npt.NDArray[np.float32]:
    """Rows scaled to length 1. Raises: ModelError, naming the embedding, for rows of unequal length, NaN or zeros."""
    try:
        array = np.asarray(rows, dtype=np.float32)
    except ValueError:
        raise ModelError(f"{name}: expected embeddings of equal length") from None
    if array.ndim != 2 or not np.isfinite(array).all():
        raise ModelError(f"{name}: expected finite embeddings of shape (texts, dimensions), found {array.shape}")
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    if not lengths.all():
        raise ModelError(f"{name}: an embedding is all zeros, which is like nothing")
    return cast("npt.NDArray[np.float32]", array / lengths)
