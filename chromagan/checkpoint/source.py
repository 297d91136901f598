"""From what a user calls a checkpoint to a release file, and what that says of itself.

The description is the metadata in the file's safetensors header, read without its weights and
without PyTorch: the network's configuration, the record of its making, and what a page shows of it
(title, note). Beside `model.safetensors` may lie `model.onnx`, the same network as a graph that
needs no PyTorch; the description holds its sha256, so that a graph of other weights is never used.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from chromagan.config import ConfigError, ModelConfig, first_line
from chromagan.files import sha256_of

DEFAULT_CHECKPOINT = "lite"
"""The network that is used where none is named."""
FILE_NAME = "model.safetensors"
GRAPH_SUFFIX = ".onnx"
GRAPH_NAME = str(Path(FILE_NAME).with_suffix(GRAPH_SUFFIX))
HUB_ID_VARIABLE = "CHROMAGAN_HUB_ID"
"""The Hub id that the default means where no checkpoint is built in, as in an installed wheel."""
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*(@[\w./-]+)?")
FORMAT = "chromagan-release-1"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file and the reason."""


@dataclass(frozen=True)
class Release:
    """A release file and its description."""

    path: Path
    config: ModelConfig
    name: str = ""
    title: str = ""
    """A short name for people; the name where none was given."""
    note: str = ""
    """A sentence on what to expect of it; may be empty."""
    chroma_factor: float = 1.0
    """What the colorizer multiplies the network's ab by: the vividness of this release."""
    precision: str = "half"
    """Of the weights in the file: single, half or bytes."""
    record: dict[str, Any] = field(default_factory=dict)
    """Facts of the training run (data, steps, hardware, time), as the trainer wrote them."""
    graph_sha256: str = ""

    @cached_property
    def sha256(self) -> str:
        return sha256_of(self.path)

    @cached_property
    def graph(self) -> Path | None:
        """The ONNX graph beside the weights, or None. `CheckpointError` if it is not theirs."""
        path = self.path.with_suffix(GRAPH_SUFFIX)
        if not path.is_file():
            return None
        if not self.graph_sha256 or sha256_of(path) != self.graph_sha256:
            raise CheckpointError(
                f"{path}: not the graph of {self.path.name}; "
                f"write it anew with `python -m chromagan.onnx_export {self.path}`, or delete it"
            )
        return path


def read_release(path: Path) -> Release:
    """The description inside a release file. Raises `CheckpointError` naming what is wrong."""
    metadata = read_metadata(path)
    try:
        config = ModelConfig.from_dict(json.loads(metadata["config"]))
        record = json.loads(metadata.get("record", "{}"))
        factor = float(metadata.get("chroma_factor", "1"))
        if not 0 < factor < math.inf:
            raise ValueError(f"chroma_factor {factor}")
    except (KeyError, TypeError, ConfigError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged description ({error})") from error
    named = path.parent.name if path.stem == "model" else path.stem
    name = metadata.get("name") or named
    title = metadata.get("title") or name
    others = ("note", "precision", "graph_sha256")
    said = {key: metadata[key] for key in others if key in metadata}
    return Release(path, config, name, title, chroma_factor=factor, record=record, **said)


def read_metadata(path: Path) -> dict[str, str]:
    """The header's metadata of a release file, as it stands there."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint file")
    try:
        with safe_open(path, framework="np") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error})") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: a safetensors file, but not a ChromaGAN release; make one with "
            "`python -m chromagan.release` or `python -m chromagan.keras_import`"
        )
    return metadata


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
            offline, reason = True, first_line(error)
        path = Path(hf_hub_download(repository, FILE_NAME, local_files_only=offline, **where))
        with contextlib.suppress(CheckpointError):  # who loads it says what is wrong
            if read_release(path).graph_sha256:
                hf_hub_download(repository, GRAPH_NAME, local_files_only=offline, **where)
        return path
    except RepositoryNotFoundError:
        reason = "there is no such file here and no such model on the Hugging Face Hub"
    except Exception as error:  # network libraries raise dozens of types; the user needs one line
        reason = reason if offline else first_line(error)
        reason = f"not a file here, and the Hugging Face Hub did not deliver it ({reason})"
    raise CheckpointError(f"{hub_id}: {reason}; {_offer()}")
