"""Depthwise convolution that learns quickly on a CPU.

oneDNN takes ten times longer for the weights' gradient of a wide 5x5 depthwise convolution on small
maps than for everything else about it: 45 % of a training step of the light network, half of its
trunk frozen, in bf16 on an AMD EPYC. The same sums, written as a convolution with one group for
each channel of each picture, take a fifth of that and agree to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_input

from chromagan.model.vgg import SamePadConv2d

_SLOW_KERNEL = 5
"""Smaller kernels are as fast in oneDNN."""


class DepthwiseConv2d(SamePadConv2d):
    """A `SamePadConv2d` with one group for each channel and without bias."""

    def __init__(self, channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__(channels, channels, kernel, stride, groups=channels, bias=False)

    def convolve(self, x: Tensor, padding: tuple[int, int]) -> Tensor:
        learns = self.weight.requires_grad and torch.is_grad_enabled()
        slow = self.kernel_size[0] >= _SLOW_KERNEL and x.device.type == "cpu"
        if not (learns and slow) or self.bias is not None:  # a bias: norms folded in, not to learn
            return super().convolve(x, padding)
        weight: Tensor = self.weight
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            x, weight = x.to(dtype), weight.to(dtype)
        result: Tensor = _Depthwise.apply(x, weight, self.stride[0], padding[0])
        return result


class _Depthwise(torch.autograd.Function):
    """`(B, C, H, W)` and `(C, 1, k, k)` -> `(B, C, h, w)`; all sides padded alike."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, stride=stride, padding=padding, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        x, weight = ctx.saved_tensors
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = conv2d_input(  # type: ignore[no-untyped-call]
                x.shape, weight, gradient, ctx.stride, ctx.padding, groups=len(weight)
            )
        # at least float32: these are sums over a whole batch
        exact = torch.promote_types(x.dtype, torch.float32)
        of_weight = _weight_gradient(x.to(exact), gradient.to(exact), ctx.stride, ctx.padding)
        size = weight.shape[-1]
        return of_x, of_weight[..., :size, :size].to(weight.dtype), None, None


def _weight_gradient(x: Tensor, gradient: Tensor, stride: int, padding: int) -> Tensor:
    """Each picture's gradient, its samples `stride` apart, slides as a kernel over its input."""
    pictures, channels = x.shape[:2]
    if stride > 1:
        height, width = ((side - 1) * stride + 1 for side in gradient.shape[2:])
        spaced = gradient.new_zeros(pictures, channels, height, width)
        spaced[..., ::stride, ::stride] = gradient
        gradient = spaced
    groups = pictures * channels
    sums = F.conv2d(
        x.reshape(1, groups, *x.shape[2:]),
        gradient.reshape(groups, 1, *gradient.shape[2:]),
        padding=padding,
        groups=groups,
    )
    return sums.view(pictures, channels, 1, *sums.shape[2:]).sum(0)
