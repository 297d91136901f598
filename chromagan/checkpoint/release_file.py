"""Two kinds of files, never mixed: training states (private, resumable) and releases (for users).

A release is one `model.safetensors`: weights in half precision or in bytes, and in the file's
metadata what `chromagan.checkpoint.source` reads. Nothing pickled is ever read from it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from chromagan.checkpoint.graph import export_graph
from chromagan.checkpoint.source import (
    FORMAT,
    GRAPH_SUFFIX,
    CheckpointError,
    Release,
    read_metadata,
    read_release,
)
from chromagan.config import for_release
from chromagan.files import sha256_of, write_atomically, write_bytes, write_text
from chromagan.model.generator import Generator, build_generator, fold_linear

Precision = Literal["single", "half", "bytes"]
"""Of a release's matrices and kernels; biases and statistics are few, and stay in single."""
_SCALE = ".scale"


def save_release(
    path: Path,
    generator: Generator,
    *,
    name: str = "",
    title: str = "",
    note: str = "",
    chroma_factor: float = 1.0,
    record: dict[str, Any] | None = None,
    class_head: bool = False,
    precision: Precision = "half",
    graph: bool = False,
) -> None:
    """Write a generator as a release: linear layers folded, class head if asked.

    `graph` writes `model.onnx` beside it, too (see `attach_graph`).
    """
    config = for_release(generator.config, class_head=class_head)
    tensors: dict[str, Tensor] = {}
    for key, tensor in fold_linear(generator).state_dict().items():
        is_kept = config.class_head or not key.startswith("class_head.")
        if is_kept and not key.endswith("num_batches_tracked"):
            tensors |= _packed(key, tensor.detach().cpu(), precision)
    metadata = {
        "format": FORMAT,
        "config": json.dumps(asdict(config)),
        "name": name,
        "title": title,
        "note": note,
        "chroma_factor": repr(chroma_factor),
        "precision": precision,
        "record": json.dumps(record or {}),
    }
    _write(path, tensors, metadata)
    if graph:
        attach_graph(path)


def describe_release(path: Path, **changes: str | float | None) -> None:
    """Change entries of a release's description, e.g. `title`; None keeps what is there.

    The file's sha256 changes with it, and so does what the card beside it says of that.
    """
    metadata = read_metadata(path)
    metadata |= {key: str(value) for key, value in changes.items() if value is not None}
    before = read_release(path)
    said = (before.sha256, _factor_row(before))
    _write(path, load_file(path), metadata)
    card = path.with_name("README.md")
    if card.is_file():
        after = read_release(path)
        text = card.read_text(encoding="utf-8")
        for old, new in zip(said, (after.sha256, _factor_row(after)), strict=True):
            text = text.replace(old, new)
        write_text(card, text)


def _factor_row(release: Release) -> str:
    return f"| Chroma factor | {release.chroma_factor:g} |"


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    # `save_file` would leave a file for its owner's eyes alone
    write_bytes(path, save(tensors, metadata))


def attach_graph(path: Path) -> Path:
    """Write the ONNX graph beside a release and its sha256 into the release; gives its path.

    Raises `GraphError` where ONNX Runtime's answer is not PyTorch's.
    """
    generator, _ = load_release(path)
    target = path.with_suffix(GRAPH_SUFFIX)
    export_graph(generator, target)
    describe_release(path, graph_sha256=sha256_of(target))
    return target


def _packed(key: str, tensor: Tensor, precision: Precision) -> dict[str, Tensor]:
    """A tensor as it is stored. Bytes have a scale for every output channel, its largest weight."""
    if tensor.ndim < 2 or precision == "single":
        return {key: tensor.contiguous()}
    if precision == "half":
        return {key: tensor.half().contiguous()}
    scale = tensor.flatten(1).abs().amax(dim=1).clamp_min(1e-12) / 127
    steps = tensor / scale.view(-1, *[1] * (tensor.ndim - 1))
    return {key: steps.round().to(torch.int8).contiguous(), key + _SCALE: scale}


def _unpacked(key: str, stored: dict[str, Tensor]) -> Tensor:
    """The inverse of `_packed`, float32. Raises KeyError and RuntimeError for a scale that is not
    there or not of this tensor."""
    tensor = stored[key]
    if tensor.is_floating_point():
        return tensor.float()
    return tensor * stored[key + _SCALE].view(len(tensor), *[1] * (tensor.ndim - 1))


def load_release(path: Path) -> tuple[Generator, Release]:
    """A generator in evaluation mode, float32, and the file's description."""
    release = read_release(path)
    generator = build_generator(release.config)
    weights = generator.state_dict().items()
    expected = {key: value for key, value in weights if not key.endswith("num_batches_tracked")}
    try:
        with safe_open(path, framework="pt") as file:
            stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no dict
            found = {key for key in stored if key.removesuffix(_SCALE) == key}
            missing, others = sorted(expected.keys() - found), sorted(found - expected.keys())
            if missing or others:
                what = f"missing {missing[:3]}, unexpected {others[:3]}"
                raise CheckpointError(f"{path}: weights of another network: {what}")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: damaged weights ({error})") from error
    state: dict[str, Tensor] = {}
    for key, tensor in expected.items():
        there, wanted = tuple(stored[key].shape), tuple(tensor.shape)
        if there != wanted:
            raise CheckpointError(f"{path}: {key} is {there}, expected {wanted}")
        try:
            state[key] = _unpacked(key, stored)
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"{path}: damaged weights, no scale for {key}") from error
        if not torch.isfinite(state[key]).all():
            raise CheckpointError(f"{path}: {key} holds numbers that are not finite")
    # only the batch counters, which inference never reads, stay at zero
    generator.load_state_dict(state, strict=False)
    return generator.eval(), release


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
