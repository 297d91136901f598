"""Zhang, Isola, Efros: Colorful Image Colorization (ECCV 2016).

Input  CIE L of the picture squashed to 256×256 (Pillow bicubic), as (L - 50) / 100.
Output a distribution over 313 colour bins at a quarter of the size; its mean, ×4 bilinear.
Full size: ab resized bilinearly to the picture, joined with the picture's own L; colours outside
sRGB are cut per channel. Key names are those of the authors' PyTorch release
(`richzhang/colorization`, `colorizers/eccv16.py`), whose forward pass has no explicit temperature.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from eval.baselines.pictures import LabMethod
from eval.baselines.weight_files import install, load_weights, scaled

SIZE = 256
AB_RANGE = 110.0
STEP = 10
COUNT = 313
# The bins in the published order: a ascending, then b ascending; every value of a has one unbroken
# range of b. No simple rule reproduces the table exactly ("corners of the occupied 10×10 cells"
# gives 309 of the 313), so it is written out.
_ROWS = {
    -90: (50, 90),
    -80: (20, 90),
    -70: (0, 90),
    -60: (-20, 90),
    -50: (-30, 100),
    -40: (-40, 100),
    -30: (-50, 100),
    -20: (-50, 100),
    -10: (-60, 100),
    0: (-70, 100),
    10: (-80, 90),
    20: (-80, 90),
    30: (-90, 90),
    40: (-100, 90),
    50: (-100, 80),
    60: (-110, 80),
    70: (-110, 80),
    80: (-110, 70),
    90: (-110, 70),
    100: (-90, 0),
}


def bin_centres() -> NDArray[np.float32]:
    """(313, 2) float32: the (a, b) centre of every bin, in CIE units."""
    points = [(a, b) for a, (first, last) in _ROWS.items() for b in range(first, last + STEP, STEP)]
    return np.array(points, dtype=np.float32)


def rebalancing(prior: NDArray[np.float64], *, uniform: float = 0.5) -> NDArray[np.float64]:
    """(313,) share of each bin -> (313,) loss weights with expectation one under `prior`.

    Zhang et al. 2016, eq. 4: w ∝ ((1-λ)p + λ/Q)⁻¹ with λ = `uniform`.
    """
    mixed = (1 - uniform) * prior + uniform / len(prior)
    weights: NDArray[np.float64] = 1 / mixed
    return weights / float((prior * weights).sum())


def convolutions(
    channels: Sequence[int],
    *,
    last_stride: int = 1,
    dilation: int = 1,
    relu_first: bool = False,
    norm: bool = True,
) -> nn.Sequential:
    """3×3 convolutions, each followed by ReLU, then one batch norm: Zhang's building block."""
    layers: list[nn.Module] = [nn.ReLU()] if relu_first else []
    steps = list(pairwise(channels))
    for position, (inputs, outputs) in enumerate(steps, start=1):
        stride = last_stride if position == len(steps) else 1
        layers.append(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation)
        )
        layers.append(nn.ReLU())
    if norm:
        layers.append(nn.BatchNorm2d(channels[-1]))
    return nn.Sequential(*layers)


class Zhang16Network(nn.Module):
    """L in [0, 100], (B, 1, H, W) with H and W multiples of 8 -> ab in CIE units (B, 2, H, W)."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c64, c128, c256, c512 = (scaled(c, width) for c in (64, 128, 256, 512))
        self.model1 = convolutions((1, c64, c64), last_stride=2)
        self.model2 = convolutions((c64, c128, c128), last_stride=2)
        self.model3 = convolutions((c128, c256, c256, c256), last_stride=2)
        self.model4 = convolutions((c256, c512, c512, c512))
        self.model5 = convolutions((c512, c512, c512, c512), dilation=2)
        self.model6 = convolutions((c512, c512, c512, c512), dilation=2)
        self.model7 = convolutions((c512, c512, c512, c512))
        self.model8 = nn.Sequential(
            nn.ConvTranspose2d(c512, c256, 4, stride=2, padding=1),
            nn.ReLU(),
            *convolutions((c256, c256, c256), norm=False),
            nn.Conv2d(c256, COUNT, 1),
        )
        self.model_out = nn.Conv2d(COUNT, 2, 1, bias=False)
        with torch.no_grad():
            self.model_out.weight.copy_(torch.from_numpy(bin_centres().T)[..., None, None])
            self.model_out.weight.div_(AB_RANGE)

    def logits(self, luminance: Tensor) -> Tensor:
        """L (B, 1, H, W) -> scores of the bins (B, 313, H/4, W/4)."""
        x = (luminance - 50) / 100
        for block in (
            self.model1,
            self.model2,
            self.model3,
            self.model4,
            self.model5,
            self.model6,
            self.model7,
            self.model8,
        ):
            x = block(x)
        return x

    def forward(self, luminance: Tensor) -> Tensor:
        mean = self.model_out(self.logits(luminance).softmax(dim=1))
        full = nn.functional.interpolate(mean, scale_factor=4, mode="bilinear", align_corners=False)
        return full * AB_RANGE


def load(name: str, weights: Path | str | None, device: str) -> LabMethod:
    """The method with the authors' `.pth`, this project's `.safetensors`, or random weights."""
    loaded = load_weights(name, weights)
    network = install(Zhang16Network, loaded, device)
    return LabMethod(name, "Zhang et al. 2016 (ECCV)", loaded, network, SIZE)
