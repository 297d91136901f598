"""Two kinds of files, never mixed: training states (private, resumable) and releases (for users).

A release is one `model.safetensors`: half-precision weights, the network's configuration and the
record of its making in the file's metadata. Nothing pickled is ever read from it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from chromagan.config import ConfigError, ModelConfig, for_release
from chromagan.files import sha256_of, write_atomically
from chromagan.model.folding import fold_linear
from chromagan.model.generator import Generator, build_generator

FORMAT = "chromagan-release-1"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file and the reason."""


@dataclass(frozen=True)
class Release:
    """What a release file says of itself."""

    config: ModelConfig
    name: str = ""
    record: dict[str, Any] = field(default_factory=dict)
    """Facts of the training run (data, steps, hardware, time), as the trainer wrote them."""
    sha256: str = ""


def save_release(
    path: Path, generator: Generator, *, name: str = "", record: dict[str, Any] | None = None,
    class_head: bool = False, half: bool = True,
) -> None:  # fmt: skip
    """Write a generator as a release: linear layers folded, half precision, class head if asked."""
    config = for_release(generator.config, class_head=class_head)
    state = fold_linear(generator).state_dict()
    tensors = {
        key: _half(tensor) if half else tensor.detach().cpu().contiguous()
        for key, tensor in state.items()
        if (config.class_head or not key.startswith("class_head."))
        and not key.endswith("num_batches_tracked")
    }
    metadata = {
        "format": FORMAT,
        "config": json.dumps(asdict(config)),
        "name": name,
        "record": json.dumps(record or {}),
    }
    write_atomically(path, lambda file: save_file(tensors, file, metadata))


def _half(tensor: Tensor) -> Tensor:
    """Half precision, but for biases and batch-norm statistics: few, and wide in range."""
    kind = torch.float16 if tensor.ndim > 1 else torch.float32
    return tensor.detach().cpu().to(kind).contiguous()


def read_release(path: Path) -> Release:
    """The description inside a release file, without its weights."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error})") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: a safetensors file, but not a ChromaGAN release; make one with "
            "`python -m chromagan.release` or `python -m chromagan.keras_import`"
        )
    try:
        config = ModelConfig.from_dict(json.loads(metadata["config"]))
        record = json.loads(metadata.get("record", "{}"))
    except (KeyError, TypeError, ConfigError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: damaged description ({error})") from error
    return Release(config, metadata.get("name", ""), record, sha256_of(path))


def load_release(path: Path) -> tuple[Generator, Release]:
    """A generator in evaluation mode, float32, and the file's description."""
    release = read_release(path)
    generator = build_generator(release.config)
    expected = {
        key: value
        for key, value in generator.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    try:
        with safe_open(path, framework="pt") as file:
            found = set(file.keys())
            _check_names(path, set(expected), found)
            state = {key: file.get_tensor(key) for key in expected}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: damaged weights ({error})") from error
    for key, tensor in state.items():
        if tensor.shape != expected[key].shape:
            raise CheckpointError(
                f"{path}: {key} is {tuple(tensor.shape)}, expected {tuple(expected[key].shape)}"
            )
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: {key} holds numbers that are not finite")
    # only the batch counters, which inference never reads, stay at zero
    generator.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
    return generator.eval(), release


def _check_names(path: Path, expected: set[str], found: set[str]) -> None:
    if expected - found:
        raise CheckpointError(f"{path}: weights are missing: {sorted(expected - found)[:3]} …")
    if found - expected:
        raise CheckpointError(f"{path}: unexpected weights: {sorted(found - expected)[:3]} …")


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a training state atomically: tensors, numbers, strings and containers of them."""
    write_atomically(path, lambda file: torch.save(state, file))


def load_state(path: Path) -> dict[str, Any]:
    """Read a training state; refuses pickled objects."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for damaged files
        raise CheckpointError(f"{path}: not a readable training state ({error})") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: not a training state")
    return state
