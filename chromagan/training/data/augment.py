"""Random crops, flips and the luminance of old photographs; every draw comes from a given seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class Crop:
    """How a photograph becomes a square: random window, flip, enlarged or reduced to `size`."""

    size: int
    zoom: float = 1.0
    flip: bool = True

    def __call__(self, pixels: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
        """uint8 `(H, W, 3)` -> uint8 `(size, size, 3)`."""
        height, width = pixels.shape[:2]
        side = min(height, width) * random.uniform(self.zoom, 1.0)
        # up to a sixth wider or taller than square, as squashed pictures are at inference
        stretch = random.uniform(1 / 1.15, 1.15)
        box_w = min(width, side * stretch**0.5)
        box_h = min(height, side / stretch**0.5)
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


def jitter_luminance(l_B1HW: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Old-photograph luminance: random tone curve, lifted blacks, dimmed whites, grain, softness.

    Codes in [0, 1] in and out; each image gets its own draw, half of them none. Only what the
    network sees is changed, never the colour it must predict.
    """
    if not strength:
        return l_B1HW
    count = l_B1HW.shape[0]
    draw = torch.rand((count, 6), generator=generator).to(l_B1HW)
    applies = (draw[:, 0] < 0.5).to(l_B1HW).view(-1, 1, 1, 1) * strength
    gamma, black, white, grain, soft = (t.view(-1, 1, 1, 1) for t in draw[:, 1:].unbind(1))
    x = l_B1HW.clamp(0, 1) ** torch.exp((2 * gamma - 1) * 0.7 * applies)
    low, high = 0.25 * black * applies, 1 - 0.25 * white * applies
    x = low + (high - low) * x
    blurred = torch.nn.functional.avg_pool2d(
        torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1
    )
    x = torch.lerp(x, blurred, soft * applies)
    noise = torch.randn(l_B1HW.shape, generator=generator).to(l_B1HW)
    return (x + 0.06 * grain * applies * noise).clamp(0, 1)
