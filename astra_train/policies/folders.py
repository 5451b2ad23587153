"""A model's path or Hugging Face id -> the folder it lies in; of an id, only the small files are fetched."""

from __future__ import annotations

import os
import re
from pathlib import Path

from astra_gym.errors import AstraError

SMALL_FILES = ("*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt")
_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_TIMEOUT_S = 10.0


class ModelFolderError(AstraError, ValueError):
    """A model folder cannot be used for training; the message has one sentence a defect."""


def locate_model(path_or_id: str | Path) -> Path:
    """The folder of a model. A folder that exists is taken as it is, without any network.

    An id is looked up in the cache of `huggingface_hub`, and asked for at the hub unless HF_HUB_OFFLINE is set; its
    weights are not fetched.

    Raises: ModelFolderError when there is no such folder and no such id within reach.
    """
    text = str(path_or_id)
    path = Path(text).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise ModelFolderError(f"{path}: a file; a model is a folder with config.json, weights and tokenizer")
    if isinstance(path_or_id, Path) or text.startswith((".", "/", "~")) or not _ID.fullmatch(text):
        raise ModelFolderError(f"{path}: no such folder (from {Path.cwd()}), and no Hugging Face id")
    return _snapshot(text)


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids to ask the hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def is_cached(folder: Path) -> bool:
    """Whether `folder` is a snapshot in the cache of `huggingface_hub`, where weights may be absent for now."""
    return folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--")


def _snapshot(model_id: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    offline = is_offline()
    hint = "give the path of a folder, or download the model elsewhere and copy it"
    try:
        found = snapshot_download(
            model_id, allow_patterns=list(SMALL_FILES), local_files_only=offline, etag_timeout=_TIMEOUT_S
        )
    except LocalEntryNotFoundError as error:
        where = "HF_HUB_OFFLINE is set" if offline else f"the hub cannot be reached ({_first_line(error)})"
        raise ModelFolderError(f"{model_id}: no folder of this name, not in the cache, and {where}; {hint}") from error
    except RepositoryNotFoundError as error:
        raise ModelFolderError(
            f"{model_id}: no folder of this name, and the hub knows no such model (or it is private); {hint}"
        ) from error
    except Exception as error:  # the hub's client raises whatever its HTTP library raises
        raise ModelFolderError(f"{model_id}: the hub did not answer ({_first_line(error)}); {hint}") from error
    return Path(found)


def _first_line(error: BaseException) -> str:
    cause = error.__cause__ or error
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0][:200]
