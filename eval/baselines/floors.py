"""The floors every colorizer has to beat: no colour at all, and one colour for everything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from chromagan.inference.recolour import check_image
from eval.baselines.method import MethodError
from eval.baselines.pictures import join_lab, lightness
from eval.baselines.weight_files import load_weights


class ConstantChroma:
    """Keeps CIE L of every pixel and gives all of them the same (a, b), in CIE units."""

    def __init__(
        self,
        name: str,
        description: str,
        weights_label: str,
        ab: tuple[float, float],
        weights_file: Path | None = None,
    ) -> None:
        self.name = name
        self.description = description
        self.weights_label = weights_label
        self.weights_file = weights_file
        self.ab = ab

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        check_image(image)
        luminance = lightness(image)
        plane = torch.tensor(self.ab).view(2, 1, 1)
        picture = join_lab(luminance, plane.expand(2, *luminance.shape[-2:]))
        if self.ab == (0.0, 0.0):
            # the rounded constants of Lab tint a grey by up to one step: all three as green
            picture = np.repeat(picture[..., 1:2], 3, axis=2)
        return picture


def load(name: str, weights: Path | str | None, device: str) -> ConstantChroma:
    """`grey` has ab = 0; `mean-ab` takes the mean of a training set from a weights file."""
    del device  # two additions a pixel: always on the CPU
    if name == "grey":
        if weights is not None:
            raise MethodError("grey has no weights; leave out --weights grey=…")
        return ConstantChroma(name, "no colour: a = b = 0", "none needed", (0.0, 0.0))
    loaded = load_weights(name, weights)
    mean = loaded.tensors.get("mean_ab")
    if mean is None or mean.shape != (2,):
        raise MethodError(f"{loaded.path} does not hold the two numbers of mean-ab")
    a, b = mean.double().tolist()
    description = f"one colour for every pixel: a = {a:.2f}, b = {b:.2f}"
    return ConstantChroma(name, description, loaded.label, (a, b), loaded.file)
