"""What is this project's own: the floors, its checkpoints, and its variants at a small width."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from chromagan.checkpoint.source import find_checkpoint, read_release
from chromagan.inference.colorizer import ChromaGANColorizer, load_colorizer
from chromagan.inference.recolour import check_image
from eval.baselines import FLOORS, SMALL, Method, MethodError
from eval.baselines.pictures import join_lab, lightness
from eval.baselines.weight_files import bundled_file, load_weights, trained_here


@dataclass(eq=False)
class ConstantChroma(Method):
    """Keeps CIE L of every pixel and gives all of them the same (a, b), in CIE units."""

    ab: tuple[float, float] = (0.0, 0.0)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        check_image(image)
        luminance = lightness(image)
        plane = torch.tensor(self.ab).view(2, 1, 1)
        picture = join_lab(luminance, plane.expand(2, *luminance.shape[-2:]))
        if self.ab == (0.0, 0.0):
            # the rounded constants of Lab tint a grey by up to one step: all three as green
            picture = np.repeat(picture[..., 1:2], 3, axis=2)
        return picture


@dataclass(eq=False)
class OwnMethod(Method):
    """A network of this project."""

    colorizer: ChromaGANColorizer

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self.colorizer(image)


def load(name: str, weights: Path | str | None, device: str) -> Method:
    """A floor, or a network: `checkpoints/<name>/`, a small one, or `weights`, a file or Hub id."""
    if name in FLOORS:
        return _floor(name, weights)
    small = name in SMALL and not weights
    try:
        if small and not bundled_file(name).is_file():
            raise MethodError("no weights here: train some with `python -m eval.systems`")
        path = bundled_file(name) if small else find_checkpoint(str(weights or name))
        # PyTorch whatever was tuned here: measured quality must not depend on the machine
        colorizer = load_colorizer(path, device=device, engine="torch")
    except (ValueError, OSError) as error:
        hint = "" if weights else f"; or give a file with --weights {name}=FILE"
        raise MethodError(f"{name}: {str(error).rstrip('.')}{hint}") from error
    release = read_release(path)
    record = release.record
    variant, kind = record.get("variant", "?"), release.config.architecture
    description = f"{release.title} (ChromaGAN, variant {variant}, {kind})"
    label = f"file {Path(weights).name}" if weights else f"checkpoints/{name}"
    if small:
        label = trained_here(
            f"reduced to {1 / release.config.divisor:g} of the width",
            record,
            record["training"]["batch"],
            record["training"]["crop"],
        )
    return OwnMethod(name, description, label, path, colorizer)


def _floor(name: str, weights: Path | str | None) -> Method:
    """`grey` has ab = 0; `mean-ab` takes the mean of a training set from a weights file."""
    if name == "grey":
        if weights is not None:
            raise MethodError("grey has no weights; leave out --weights grey=…")
        return ConstantChroma(name, "no colour: a = b = 0", "none needed", None)
    loaded = load_weights(name, weights)
    mean = loaded.tensors.get("mean_ab")
    if mean is None or mean.shape != (2,):
        raise MethodError(f"{loaded.path} does not hold the two numbers of mean-ab")
    a, b = mean.double().tolist()
    description = f"one colour for every pixel: a = {a:.2f}, b = {b:.2f}"
    return ConstantChroma(name, description, loaded.label, loaded.file, (a, b))
