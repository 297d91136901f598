"""From what a user calls a checkpoint - a name, a file, a Hub id - to a release file on disk."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from chromagan.checkpoint.description import CheckpointError

DEFAULT_CHECKPOINT = "lite"
"""The network that is used where none is named."""
FILE_NAME = "model.safetensors"
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*(@[\w./-]+)?")


def checkpoint_folder() -> Path:
    """`$CHROMAGAN_CHECKPOINTS`, or the folder `checkpoints` beside the package."""
    chosen = os.environ.get("CHROMAGAN_CHECKPOINTS")
    return Path(chosen) if chosen else Path(__file__).resolve().parents[2] / "checkpoints"


def available_checkpoints() -> list[str]:
    """Names of the checkpoints that are on disk: the default first, the others by name."""
    found = {path.parent.name for path in checkpoint_folder().glob(f"*/{FILE_NAME}")}
    return sorted(found, key=lambda name: (name != DEFAULT_CHECKPOINT, name))


def find_checkpoint(source: str | Path) -> Path:
    """The release file that `source` means: a file, a folder with one, a name or a Hub id.

    Raises `CheckpointError` with the names that exist when it means nothing.
    """
    path = Path(source)
    if path.is_file():
        return path
    if path.is_dir() and (path / FILE_NAME).is_file():
        return path / FILE_NAME
    name = str(source)
    if re.fullmatch(r"[\w-]+", name):
        built_in = checkpoint_folder() / name / FILE_NAME
        if built_in.is_file():
            return built_in
        raise CheckpointError(f"there is no checkpoint named {name!r}; {_offer()}")
    if path.suffix == ".safetensors" or not _HUB_ID.fullmatch(name):
        raise CheckpointError(f"{name}: no such checkpoint file; {_offer()}")
    return _download(name)


def _offer() -> str:
    names = available_checkpoints()
    have = f"the names here are {', '.join(names)}" if names else "none are built in here"
    return f"{have}; a .safetensors file or a Hugging Face id user/model works too"


def _download(hub_id: str) -> Path:
    """`model.safetensors` of a Hub repository; later calls work offline from the Hub's cache."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import RepositoryNotFoundError

    repository, _, revision = hub_id.partition("@")
    endpoint = os.environ.get("HF_ENDPOINT")
    where: dict[str, Any] = {"revision": revision or None, "endpoint": endpoint}
    offline = False
    try:
        try:  # asking first: the download itself would retry for half a minute before giving up
            get_hf_file_metadata(hf_hub_url(repository, FILE_NAME, **where), timeout=10)
        except RepositoryNotFoundError:
            raise
        except Exception as error:
            offline, reason = True, _first_line(error)
        return Path(hf_hub_download(repository, FILE_NAME, local_files_only=offline, **where))
    except RepositoryNotFoundError:
        reason = "there is no such file here and no such model on the Hugging Face Hub"
    except Exception as error:  # network libraries raise dozens of types; the user needs one line
        reason = reason if offline else _first_line(error)
        reason = f"not a file here, and the Hugging Face Hub did not deliver it ({reason})"
    raise CheckpointError(f"{hub_id}: {reason}; {_offer()}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
