"""The PatchGAN critic of (L, ab): one score per patch, 2,764,737 parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chromagan.model.blocks import SamePadConv2d

LEAK = 0.3  # the default of Keras' LeakyReLU, which the official code leaves as it is


class Critic(nn.Module):
    """Luminance and chroma codes -> scores at an eighth of their size; no normalisation layers.

    `(B, 1, H, W)` and `(B, 2, H, W)`, both in [0, 1] -> `(B, 1, H/8, W/8)`, unbounded.
    """

    def __init__(self, divisor: int = 1) -> None:
        """`divisor`: that of the generator it opposes."""
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for wide, stride in ((64, 2), (128, 2), (256, 2), (512, 1)):
            outputs = wide // divisor
            layers += [SamePadConv2d(channels, outputs, 4, stride), nn.LeakyReLU(LEAK)]
            channels = outputs
        self.layers = nn.Sequential(*layers, SamePadConv2d(channels, 1, 4))

    def forward(self, l_B1HW: Tensor, ab_B2HW: Tensor) -> Tensor:
        scores: Tensor = self.layers(torch.cat((l_B1HW, ab_B2HW), dim=1))
        return scores
