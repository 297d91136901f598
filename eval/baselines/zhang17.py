"""Zhang et al.: Real-Time User-Guided Image Colorization (SIGGRAPH 2017).

Input  four planes at 256×256: (L - 50) / 100, and the hints: ab / 110 and a mask that is 1 where
they are known, all 0 in automatic mode (the released weights expect the mask uncentred).
Output tanh × 110 at the full 256×256.
Full size as in `zhang16`. Key names are those of the authors' PyTorch release
(`richzhang/colorization`, `colorizers/siggraph17.py`), with its unused 529-way class head.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chromagan.images.resizing import squash
from chromagan.inference.recolour import check_image
from eval.baselines.pictures import LabMethod, join_lab, lightness, resize_bilinear
from eval.baselines.weight_files import install, load_weights, scaled
from eval.baselines.zhang16 import AB_RANGE, SIZE, convolutions

CLASSES = 529  # a 23×23 grid of (a, b)


class Zhang17Network(nn.Module):
    """L in [0, 100], (B, 1, H, W) with H and W multiples of 8 -> ab in CIE units (B, 2, H, W)."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c64, c128, c256, c512 = (scaled(c, width) for c in (64, 128, 256, 512))
        self.model1 = convolutions((4, c64, c64))
        self.model2 = convolutions((c64, c128, c128))
        self.model3 = convolutions((c128, c256, c256, c256))
        self.model4 = convolutions((c256, c512, c512, c512))
        self.model5 = convolutions((c512, c512, c512, c512), dilation=2)
        self.model6 = convolutions((c512, c512, c512, c512), dilation=2)
        self.model7 = convolutions((c512, c512, c512, c512))
        self.model8up = _double(c512, c256)
        self.model3short8 = _shortcut(c256, c256)
        self.model8 = convolutions((c256, c256, c256), relu_first=True)
        self.model9up = _double(c256, c128)
        self.model2short9 = _shortcut(c128, c128)
        self.model9 = convolutions((c128, c128), relu_first=True)
        self.model10up = _double(c128, c128)
        self.model1short10 = _shortcut(c64, c128)
        self.model10 = nn.Sequential(
            nn.ReLU(), nn.Conv2d(c128, c128, 3, padding=1), nn.LeakyReLU(0.2)
        )
        self.model_class = nn.Sequential(nn.Conv2d(c256, CLASSES, 1))
        self.model_out = nn.Sequential(nn.Conv2d(c128, 2, 1), nn.Tanh())

    def forward(self, luminance: Tensor, hints: Tensor | None = None) -> Tensor:
        """`hints` (B, 3, H, W): a and b over 110, and the mask."""
        l_plane = (luminance - 50) / 100
        if hints is None:
            hints = torch.zeros_like(l_plane).expand(-1, 3, -1, -1)
        conv1 = self.model1(torch.cat((l_plane, hints), dim=1))
        conv2 = self.model2(conv1[..., ::2, ::2])
        conv3 = self.model3(conv2[..., ::2, ::2])
        conv7 = self.model7(self.model6(self.model5(self.model4(conv3[..., ::2, ::2]))))
        conv8 = self.model8(self.model8up(conv7) + self.model3short8(conv3))
        conv9 = self.model9(self.model9up(conv8) + self.model2short9(conv2))
        conv10 = self.model10(self.model10up(conv9) + self.model1short10(conv1))
        ab: Tensor = self.model_out(conv10) * AB_RANGE
        return ab


def _double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1))


def _shortcut(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1))


class UserGuided(LabMethod):
    """The method with points: patches of 7 pixels a side, as its interface reveals them."""

    @torch.inference_mode()
    def with_points(
        self, image: NDArray[np.uint8], places: NDArray[np.float64], colors: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        """`places` (N, 2) are x and y in [0, 1], `colors` (N, 2) their ab in CIE units."""
        device = next(self.network.parameters()).device
        hints = torch.zeros(1, 3, self.size, self.size)
        for (x, y), ab in zip(places * self.size, colors, strict=True):
            rows, columns = (slice(max(0, int(v) - 3), int(v) + 4) for v in (y, x))
            hints[0, :2, rows, columns] = torch.from_numpy(ab / AB_RANGE)[:, None, None]
            hints[0, 2, rows, columns] = 1
        check_image(image)
        small = lightness(squash(image, self.size))
        ab_map = self.network(small[None].to(device), hints.to(device))[0].float().cpu()
        return join_lab(lightness(image), resize_bilinear(ab_map, *image.shape[:2]))


def load(name: str, weights: Path | str | None, device: str) -> UserGuided:
    """The method with the authors' `.pth`, this project's `.safetensors`, or random weights."""
    loaded = load_weights(name, weights)
    network = install(Zhang17Network, loaded, device)
    return UserGuided(name, "Zhang et al. 2017 (SIGGRAPH), automatic", loaded, network, SIZE)
