"""sRGB, CIE Lab and the networks' encodings of them: the one owner of every constant.

Representations, with the arrows between them (all tensors are `(..., 3, H, W)` or, for the chroma
alone, `(..., 2, H, W)`; floating point, any device, differentiable):

    rgb   sRGB in [0, 1]
    lab   CIE Lab, D65 white: L in [0, 100], a and b in CIE units (sRGB spans about -87…98, -108…95)
    code  what the networks see and predict, in [0, 1]: l = L / 100, ab = (ab + 128) / 255

`code` is the official implementation's "OpenCV 8-bit Lab divided by 255" without its rounding:
OpenCV stores L * 255 / 100 and ab + 128 in bytes. `quantize_code` adds the rounding where
bit-faithfulness is wanted. The paper's loss weights refer to ab in this unit interval.
"""

from __future__ import annotations

import torch
from torch import Tensor

AB_OFFSET = 128.0
AB_SCALE = 255.0
L_SCALE = 100.0

# IEC 61966-2-1 primaries; each row of RGB -> XYZ, already divided by the D65 white point, so that
# white maps to (1, 1, 1) and Lab needs no further constants. White: (0.95047, 1, 1.08883).
_RGB_TO_XYZ = (
    (0.412453 / 0.95047, 0.357580 / 0.95047, 0.180423 / 0.95047),
    (0.212671, 0.715160, 0.072169),
    (0.019334 / 1.08883, 0.119193 / 1.08883, 0.950227 / 1.08883),
)
_EPSILON = (6 / 29) ** 3  # where Lab's cube root turns into a line
_SLOPE = 841 / 108  # (29/6)^2 / 3


def srgb_to_linear(rgb: Tensor) -> Tensor:
    """The true sRGB curve, sRGB in [0, 1] -> linear light in [0, 1]."""
    curved = ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(rgb > 0.04045, curved, rgb / 12.92)


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Inverse of `srgb_to_linear`; values outside [0, 1] pass through the same formula."""
    curved = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, curved, linear * 12.92)


def _matrix(rows: tuple[tuple[float, ...], ...], like: Tensor) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64).to(like.device, like.dtype)


def _apply(matrix: Tensor, planes: Tensor) -> Tensor:
    return torch.einsum("ij,...jhw->...ihw", matrix, planes)


def _check_planes(planes: Tensor, channels: int, name: str) -> None:
    if planes.ndim < 3 or planes.shape[-3] != channels or not planes.is_floating_point():
        raise ValueError(
            f"{name} must be a floating-point tensor (..., {channels}, H, W), "
            f"got {tuple(planes.shape)} {planes.dtype}"
        )


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """sRGB in [0, 1] `(..., 3, H, W)` -> CIE Lab (D65), same shape, dtype and device."""
    _check_planes(rgb, 3, "rgb")
    x, y, z = _apply(_matrix(_RGB_TO_XYZ, rgb), srgb_to_linear(rgb)).unbind(-3)
    fx, fy, fz = (_lab_curve(t) for t in (x, y, z))
    return torch.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), dim=-3)


def lab_to_linear(lab: Tensor) -> Tensor:
    """CIE Lab -> linear RGB, not clipped: values outside [0, 1] are colours outside sRGB."""
    _check_planes(lab, 3, "lab")
    luminance, a, b = lab.unbind(-3)
    fy = (luminance + 16) / 116
    xyz = torch.stack([_lab_curve_inverse(f) for f in (fy + a / 500, fy, fy - b / 200)], dim=-3)
    inverse = torch.linalg.inv(torch.tensor(_RGB_TO_XYZ, dtype=torch.float64))
    return _apply(inverse.to(lab.device, lab.dtype), xyz)


def lab_to_rgb(lab: Tensor, *, clip: bool = True) -> Tensor:
    """CIE Lab -> sRGB. `clip` cuts each channel to [0, 1], which is what 8-bit files do."""
    linear = lab_to_linear(lab)
    return linear_to_srgb(linear.clamp(0, 1) if clip else linear)


def lab_to_rgb_in_gamut(lab: Tensor) -> Tensor:
    """CIE Lab -> sRGB in [0, 1]; impossible colours lose chroma, never luminance.

    A colour outside sRGB moves along the straight line (in linear light) towards the grey of equal
    luminance until it fits. Cutting channels instead would change L, and L is the photograph.
    """
    linear = lab_to_linear(lab)
    grey = _lab_curve_inverse((lab[..., :1, :, :] + 16) / 116).clamp(0, 1)
    chroma = linear - grey
    room = torch.where(chroma > 0, 1 - grey, grey)
    # how far each channel may go; 1 where it fits as it is
    reach = (room / chroma.abs().clamp(min=1e-9)).clamp(max=1).amin(dim=-3, keepdim=True)
    return linear_to_srgb((grey + reach * chroma).clamp(0, 1))


def encode_l(luminance: Tensor) -> Tensor:
    """L in [0, 100] -> the networks' input in [0, 1]."""
    return luminance / L_SCALE


def decode_l(code: Tensor) -> Tensor:
    """The networks' luminance code in [0, 1] -> L in [0, 100]."""
    return code * L_SCALE


def encode_ab(ab: Tensor) -> Tensor:
    """ab in CIE units -> the networks' target in [0, 1]."""
    return (ab + AB_OFFSET) / AB_SCALE


def decode_ab(code: Tensor) -> Tensor:
    """The networks' output in [0, 1] -> ab in CIE units."""
    return code * AB_SCALE - AB_OFFSET


def quantize_code(code: Tensor) -> Tensor:
    """Round a code to the 256 levels of OpenCV's 8-bit Lab, as the official data reader does."""
    return (code * 255).round() / 255


def _lab_curve(t: Tensor) -> Tensor:
    # clamp first: the cube root's gradient is infinite at 0, and 0 * inf would poison `where`
    root = t.clamp(min=_EPSILON) ** (1 / 3)
    return torch.where(t > _EPSILON, root, _SLOPE * t + 4 / 29)


def _lab_curve_inverse(f: Tensor) -> Tensor:
    return torch.where(f > 6 / 29, f**3, (f - 4 / 29) / _SLOPE)
