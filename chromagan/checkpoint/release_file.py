"""Two kinds of files, never mixed: training states (private, resumable) and releases (for users).

A release is one `model.safetensors`: half-precision weights, and in the file's metadata what
`chromagan.checkpoint.source` reads. Nothing pickled is ever read from it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

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
from chromagan.model.folding import fold_linear
from chromagan.model.generator import Generator, build_generator


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
    half: bool = True,
    graph: bool = False,
) -> None:
    """Write a generator as a release: linear layers folded, half precision, class head if asked.

    `graph` writes `model.onnx` beside it, too (see `attach_graph`).
    """
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
        "title": title,
        "note": note,
        "chroma_factor": repr(chroma_factor),
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
    before = sha256_of(path)
    _write(path, load_file(path), metadata)
    card = path.with_name("README.md")
    if card.is_file():
        text = card.read_text(encoding="utf-8")
        write_text(card, text.replace(before, sha256_of(path)))


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


def _half(tensor: Tensor) -> Tensor:
    """Half precision, but for biases and batch-norm statistics: few, and wide in range."""
    kind = torch.float16 if tensor.ndim > 1 else torch.float32
    return tensor.detach().cpu().to(kind).contiguous()


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
            missing, others = sorted(expected.keys() - found), sorted(found - expected.keys())
            if missing or others:
                what = f"missing {missing[:3]}, unexpected {others[:3]}"
                raise CheckpointError(f"{path}: weights of another network: {what}")
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
