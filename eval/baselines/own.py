"""What is this project's own: the floors, its checkpoints, and its variants at a small width."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from chromagan.checkpoint.source import Release, find_checkpoint, read_release
from chromagan.inference.colorizer import ChromaGANColorizer, load_colorizer
from chromagan.inference.recolour import check_image
from eval.baselines import FLOORS, SMALL, MethodError
from eval.baselines.pictures import join_lab, lightness
from eval.baselines.weight_files import bundled_file, load_weights


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


def load(name: str, weights: Path | str | None, device: str) -> ConstantChroma | OwnMethod:
    """A floor, or a network: `checkpoints/<name>/`, a small one, or `weights`, a file or Hub id."""
    if name in FLOORS:
        return _floor(name, weights)
    try:
        path = _bundled(name) if name in SMALL and weights is None else None
        path = path or find_checkpoint(str(weights or name))
        # PyTorch whatever was tuned here: measured quality must not depend on the machine
        colorizer = load_colorizer(path, device=device, engine="torch")
    except (ValueError, OSError) as error:
        hint = "" if weights else f"; or give a file with --weights {name}=FILE"
        raise MethodError(f"{name}: {str(error).rstrip('.')}{hint}") from error
    release = read_release(path)
    label = f"file {Path(weights).name}" if weights else f"checkpoints/{name}"
    if name in SMALL and not weights:
        label = _trained(release)
    return OwnMethod(name, colorizer, _description(release), label, path)


def _floor(name: str, weights: Path | str | None) -> ConstantChroma:
    """`grey` has ab = 0; `mean-ab` takes the mean of a training set from a weights file."""
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


def _bundled(name: str) -> Path:
    path = bundled_file(name)
    if not path.is_file():
        raise MethodError("no weights here: train some with `python -m eval.systems`")
    return path


def _trained(release: Release) -> str:
    record = release.record
    return (
        f"reduced to {1 / release.config.divisor:g} of the width, trained here: "
        f"{record['photos']:,} photos, {record['steps']:,} steps of "
        f"{record['training']['batch']} at {record['training']['crop']} px; "
        "says nothing about the published system"
    )


def _description(release: Release) -> str:
    variant, kind = release.record.get("variant", "?"), release.config.architecture
    return f"{release.title} (ChromaGAN, variant {variant}, {kind})"
