"""What a release file says of itself, read without its weights and without PyTorch.

The description is the metadata in the file's safetensors header: the network's configuration, the
record of its making, and what a page shows of it (title, note). Beside `model.safetensors` may lie
`model.onnx`, the same network as a graph that needs no PyTorch; the description holds its sha256,
so that a graph of other weights is never used.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from chromagan.config import ConfigError, ModelConfig
from chromagan.files import sha256_of

FORMAT = "chromagan-release-1"
GRAPH_SUFFIX = ".onnx"


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
    return Release(
        path=path,
        config=config,
        name=name,
        title=metadata.get("title") or name,
        note=metadata.get("note", ""),
        chroma_factor=factor,
        record=record,
        graph_sha256=metadata.get("graph_sha256", ""),
    )


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
