"""Torch7's `image` package in PyTorch: what Iizuka's `colorize.lua` calls, to the constant.

`image.scale` averages areas when it shrinks and, when it enlarges, interpolates linearly between
the outermost pixels. `rgb2yuv` and `yuv2rgb` use rounded constants, so they invert each other to
about 1e-5 only.
"""

from __future__ import annotations

import torch
from torch import Tensor

_RGB_TO_YUV = (
    (0.299, 0.587, 0.114),
    (-0.14713, -0.28886, 0.436),
    (0.615, -0.51499, -0.10001),
)
_YUV_TO_RGB = ((1.0, 0.0, 1.13983), (1.0, -0.39465, -0.58060), (1.0, 2.03211, 0.0))


def _mix(matrix: tuple[tuple[float, ...], ...], planes: Tensor) -> Tensor:
    return torch.einsum("ij,jhw->ihw", torch.tensor(matrix).to(planes), planes)


def rgb_to_yuv(rgb: Tensor) -> Tensor:
    """(3, H, W) R'G'B' -> Y'UV; Y in [0, 1] for R'G'B' in [0, 1]."""
    return _mix(_RGB_TO_YUV, rgb)


def yuv_to_rgb(yuv: Tensor) -> Tensor:
    """(3, H, W) Y'UV -> R'G'B', not clipped."""
    return _mix(_YUV_TO_RGB, yuv)


def luma(rgb: Tensor) -> Tensor:
    """(3, H, W) R'G'B' -> Y' (1, H, W)."""
    return _mix(_RGB_TO_YUV[:1], rgb)


def scale(planes: Tensor, height: int, width: int) -> Tensor:
    """`image.scale`, default mode: (C, h, w) -> (C, height, width), rows and columns apart."""
    columns = _scale_last(planes, width)
    return _scale_last(columns.transpose(1, 2), height).transpose(1, 2).contiguous()


def _scale_last(planes: Tensor, length: int) -> Tensor:
    source = planes.shape[-1]
    if length == source:
        return planes
    return _average(planes, length) if length < source else _interpolate(planes, length)


def _average(planes: Tensor, length: int) -> Tensor:
    """Mean over each of `length` equal, possibly fractional parts, from the running sum."""
    source = planes.shape[-1]
    total = torch.zeros(*planes.shape[:-1], source + 1, dtype=torch.float64)
    total[..., 1:] = planes.double().cumsum(dim=-1)
    edges = torch.arange(length + 1, dtype=torch.float64) * (source / length)
    whole = edges.floor().clamp(max=source - 1)
    at_edges = torch.lerp(total[..., whole.long()], total[..., whole.long() + 1], edges - whole)
    return (at_edges.diff(dim=-1) * (length / source)).to(planes.dtype)


def _interpolate(planes: Tensor, length: int) -> Tensor:
    """Linear between samples, first and last sample at the ends."""
    source = planes.shape[-1]
    if source == 1:
        return planes.expand(*planes.shape[:-1], length)
    positions = torch.arange(length, dtype=torch.float64) * ((source - 1) / (length - 1))
    left = positions.floor().clamp(max=source - 2).long()
    share = (positions - left).to(planes.dtype)
    return torch.lerp(planes[..., left], planes[..., left + 1], share)
