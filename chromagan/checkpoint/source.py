"""From what a user calls a checkpoint - a name, a file, a Hub id - to a release file on disk."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from chromagan.checkpoint.description import GRAPH_SUFFIX, CheckpointError, read_release

DEFAULT_CHECKPOINT = "lite"
"""The network that is used where none is named."""
FILE_NAME = "model.safetensors"
GRAPH_NAME = str(Path(FILE_NAME).with_suffix(GRAPH_SUFFIX))
HUB_ID_VARIABLE = "CHROMAGAN_HUB_ID"
"""The Hub id that the default means where no checkpoint is built in, as in an installed wheel."""
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
        if name == DEFAULT_CHECKPOINT and os.environ.get(HUB_ID_VARIABLE):
            return _download(os.environ[HUB_ID_VARIABLE])
        raise CheckpointError(f"there is no checkpoint named {name!r}; {_offer()}")
    if path.suffix == ".safetensors" or not _HUB_ID.fullmatch(name):
        raise CheckpointError(f"{name}: no such checkpoint file; {_offer()}")
    return _download(name)


def _offer() -> str:
    names = available_checkpoints()
    if names:
        have = f"the names here are {', '.join(names)}"
    else:
        have = (
            "none are built in here: the repository's folder `checkpoints` has them, "
            "and CHROMAGAN_CHECKPOINTS=FOLDER names such a folder"
        )
    return f"{have}; a .safetensors file or a Hugging Face id user/model works too"


def _download(hub_id: str) -> Path:
    """A Hub repository's release, its graph too; later calls work offline from the Hub's cache."""
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
        path = Path(hf_hub_download(repository, FILE_NAME, local_files_only=offline, **where))
        if _has_graph(path):
            hf_hub_download(repository, GRAPH_NAME, local_files_only=offline, **where)
        return path
    except RepositoryNotFoundError:
        reason = "there is no such file here and no such model on the Hugging Face Hub"
    except Exception as error:  # network libraries raise dozens of types; the user needs one line
        reason = reason if offline else _first_line(error)
        reason = f"not a file here, and the Hugging Face Hub did not deliver it ({reason})"
    raise CheckpointError(f"{hub_id}: {reason}; {_offer()}")


def _has_graph(path: Path) -> bool:
    try:
        return bool(read_release(path).graph_sha256)
    except CheckpointError:
        return False  # who loads it says what is wrong


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
