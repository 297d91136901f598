"""This project's own networks as methods, by checkpoint name or file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chromagan.checkpoint.description import Release, read_release
from chromagan.checkpoint.source import find_checkpoint
from chromagan.inference.colorizer import ChromaGANColorizer, load_colorizer
from eval.baselines.method import MethodError


class OwnMethod:
    """A `ChromaGANColorizer` with a description and the source of its weights."""

    def __init__(
        self, name: str, colorizer: ChromaGANColorizer, description: str, label: str, file: Path
    ) -> None:
        self.name = name
        self.description = description
        self.weights_label = label
        self.weights_file: Path | None = file
        self.colorizer = colorizer

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self.colorizer(image)


def load(name: str, weights: Path | str | None, device: str) -> OwnMethod:
    """The checkpoint `checkpoints/<name>/`, or the file or Hub id given as `weights`."""
    try:
        path = find_checkpoint(str(weights or name))
        # PyTorch whatever was tuned here: measured quality must not depend on the machine
        colorizer = load_colorizer(path, device=device, engine="torch")
    except (ValueError, OSError) as error:
        hint = "" if weights else f"; or give a file with --weights {name}=FILE"
        raise MethodError(f"{name}: {str(error).rstrip('.')}{hint}") from error
    label = f"file {Path(weights).name}" if weights else f"checkpoints/{name}"
    return OwnMethod(name, colorizer, _description(read_release(path)), label, path)


def _description(release: Release) -> str:
    variant, kind = release.record.get("variant", "?"), release.config.architecture
    return f"{release.title} (ChromaGAN, variant {variant}, {kind})"
