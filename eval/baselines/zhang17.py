"""Zhang et al.: Real-Time User-Guided Image Colorization (SIGGRAPH 2017), automatic mode.

Input  four planes at 256×256: (L - 50) / 100, and no hints: ab = 0, mask = 0 (the released
weights expect the mask uncentred). Output tanh × 110 at the full 256×256.
Full size as in `zhang16`. Key names are those of the authors' PyTorch release
(`richzhang/colorization`, `colorizers/siggraph17.py`), with its unused 529-way class head.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from eval.baselines.networks import convolutions, install, scaled
from eval.baselines.weight_files import load_weights
from eval.baselines.zhang16 import AB_RANGE, SIZE, LabMethod

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

    def forward(self, luminance: Tensor) -> Tensor:
        l_plane = (luminance - 50) / 100
        no_hints = torch.zeros_like(l_plane).expand(-1, 3, -1, -1)  # a, b and the mask
        conv1 = self.model1(torch.cat((l_plane, no_hints), dim=1))
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


def load(name: str, weights: Path | str | None, device: str) -> LabMethod:
    """The method with the authors' `.pth`, this project's `.safetensors`, or random weights."""
    loaded = load_weights(name, weights)
    network = install(Zhang17Network, loaded, device)
    return LabMethod(name, "Zhang et al. 2017 (SIGGRAPH), automatic", loaded, network, SIZE)
