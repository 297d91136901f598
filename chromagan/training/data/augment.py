"""Random crops, flips and the luminance of old photographs; every draw comes from a given seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

JITTER_SHARE = 0.5
"""Share of the pictures whose luminance is changed where `--jitter` is on."""


@dataclass(frozen=True)
class Crop:
    """How a photograph becomes a square: random window, flip, enlarged or reduced to `size`."""

    size: int
    zoom: float = 1.0
    """Smallest share of the short side that a window shows; 1 shows all of it."""
    stretch: float = 0.0
    """A window's long side may be longer or shorter by up to this share, and is squashed to a
    square, as pictures are at inference."""
    flip: bool = True

    def __call__(self, pixels: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
        """uint8 `(H, W, 3)` -> uint8 `(size, size, 3)`."""
        height, width = pixels.shape[:2]
        side = min(height, width) * random.uniform(self.zoom, 1.0)
        other = side * random.uniform(1 / (1 + self.stretch), 1 + self.stretch)
        box_w, box_h = (min(width, other), side) if width >= height else (side, min(height, other))
        left = random.uniform(0, width - box_w)
        top = random.uniform(0, height - box_h)
        square = Image.fromarray(pixels).resize(
            (self.size, self.size),
            Image.Resampling.BICUBIC,
            box=(left, top, left + box_w, top + box_h),
        )
        if self.flip and random.random() < 0.5:
            square = square.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.asarray(square)


def jitter_luminance(l_1HW: Tensor, strength: float, draws: torch.Generator) -> Tensor:
    """Old-photograph luminance: random tone curve, lifted blacks, dimmed whites, grain, softness.

    One picture's code in [0, 1] in and out; half of the draws change nothing. Only what the
    network sees is changed, never the colour it must predict.
    """
    applies, gamma, black, white, grain, soft = torch.rand(6, generator=draws).tolist()
    if not strength or applies >= JITTER_SHARE:
        return l_1HW
    x = l_1HW.clamp(0, 1) ** math.exp((2 * gamma - 1) * 0.7 * strength)
    low, high = 0.25 * black * strength, 1 - 0.25 * white * strength
    x = low + (high - low) * x
    padded = torch.nn.functional.pad(x[None], (1, 1, 1, 1), mode="replicate")
    x = torch.lerp(x, torch.nn.functional.avg_pool2d(padded, 3, stride=1)[0], soft * strength)
    noise = torch.randn(l_1HW.shape, generator=draws).to(l_1HW)
    grainy: Tensor = x + 0.06 * grain * strength * noise
    return grainy.clamp(0, 1)
