"""ChromaGAN's own networks as methods: `full`, `no-class`, `no-gan` and `lite`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chromagan.inference.colorizer import ChromaGANColorizer, load_colorizer
from eval.baselines.method import MethodError, check_image

DESCRIPTIONS = {
    "full": "ChromaGAN",
    "no-class": "ChromaGAN without the class distribution",
    "no-gan": "ChromaGAN without the adversarial term",
    "lite": "ChromaGAN, lightweight generator",
}


class OwnMethod:
    """A `ChromaGANColorizer` with a description and the source of its weights."""

    def __init__(self, name: str, colorizer: ChromaGANColorizer, weights_label: str) -> None:
        self.name = name
        self.description = DESCRIPTIONS[name]
        self.weights_label = weights_label
        self.colorizer = colorizer

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self.colorizer(check_image(image))


def load(name: str, weights: Path | str | None, device: str) -> OwnMethod:
    """The checkpoint `checkpoints/<name>/`, or the file or Hub id given as `weights`."""
    try:
        # PyTorch whatever was tuned here: measured quality must not depend on the machine
        colorizer = load_colorizer(str(weights or name), device=device, engine="torch")
    except (ValueError, OSError) as error:
        hint = "" if weights else f"; or give a file with --weights {name}=FILE"
        raise MethodError(f"{name}: {str(error).rstrip('.')}{hint}") from error
    label = f"file {Path(weights).name}" if weights else f"checkpoints/{name}"
    return OwnMethod(name, colorizer, label)
