"""Small pieces both architectures are made of."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Order = Literal["conv-bn-relu", "conv-relu-bn"]

# Keras' BatchNormalization: eps 1e-3, momentum 0.99 (= 0.01 the way torch counts)
BN_EPS = 1e-3
BN_MOMENTUM = 0.01


class SamePadConv2d(nn.Conv2d):
    """A convolution with Keras' and TensorFlow's 'same' padding.

    The padding depends on the input's size and puts the odd pixel at the end, so a 3x3 kernel with
    stride 2 pads (0, 1) on even sides. Without it the official weights are off by one pixel.
    """

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for side, kernel, stride in zip(
            reversed(x.shape[-2:]), reversed(self.kernel_size), reversed(self.stride), strict=True
        ):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        even = pads[0] == pads[1] and pads[2] == pads[3]
        padding = (pads[2], pads[0]) if even else (0, 0)
        x = x if even else F.pad(x, pads)
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, 1, self.groups)


def conv_block(
    inputs: int, outputs: int, *, stride: int = 1, order: Order = "conv-bn-relu"
) -> nn.Sequential:
    """3x3 convolution, ReLU and batch norm in the paper's order or in the official code's."""
    conv = SamePadConv2d(inputs, outputs, 3, stride)
    norm = nn.BatchNorm2d(outputs, eps=BN_EPS, momentum=BN_MOMENTUM)
    if order == "conv-bn-relu":
        return nn.Sequential(conv, norm, nn.ReLU(inplace=True))
    return nn.Sequential(conv, nn.ReLU(inplace=True), norm)


def conv_relu(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    """Convolution and ReLU without batch norm, size kept."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.ReLU(inplace=True)
    )


def spread(vector: Tensor, like: Tensor) -> Tensor:
    """Repeat a vector `(B, C)` at every position of a map `(B, *, h, w)` -> `(B, C, h, w)`."""
    return vector[:, :, None, None].expand(-1, -1, *like.shape[-2:])
