"""sRGB, CIE Lab and the networks' encodings of them: the one owner of every constant.

Representations, with the arrows between them (NumPy arrays or torch tensors, floating point; dtype,
device and gradients are kept). Channels lie on `axis`: -3 for `(..., 3, H, W)`, the default, -1 for
`(H, W, 3)` or a list of colours `(N, 3)`:

    rgb   sRGB in [0, 1]
    lab   CIE Lab, D65 white: L in [0, 100], a and b in CIE units (sRGB spans about -87…98, -108…95)
    code  what the networks see and predict, in [0, 1]: l = L / 100, ab = (ab + 128) / 255

`code` is the official implementation's "OpenCV 8-bit Lab divided by 255" without its rounding:
OpenCV stores L * 255 / 100 and ab + 128 in bytes. The paper's loss weights refer to ab in this
unit interval.

8-bit pictures, uint8 `(H, W, 3)`, have functions of their own (`rgb8_to_lab`, `lab_to_rgb8`,
`grey8`): NumPy only, through a table and in blocks that stay in the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", NDArray[Any], "Tensor")
Rgb8 = NDArray[np.uint8]
Floats = NDArray[np.float32]

AB_OFFSET = 128.0
AB_SCALE = 255.0
L_SCALE = 100.0

RGB_TO_XYZ: NDArray[Any] = np.array(
    [
        [0.412453 / 0.95047, 0.357580 / 0.95047, 0.180423 / 0.95047],
        [0.212671, 0.715160, 0.072169],
        [0.019334 / 1.08883, 0.119193 / 1.08883, 0.950227 / 1.08883],
    ]
)
"""IEC 61966-2-1 primaries; each row already divided by the D65 white point (0.95047, 1, 1.08883),
so that white maps to (1, 1, 1) and Lab needs no further constants."""
XYZ_TO_RGB: NDArray[Any] = np.linalg.inv(RGB_TO_XYZ)

_DELTA = 6 / 29  # where Lab's cube root turns into a line
_SLOPE = 841 / 108  # (29/6)^2 / 3


def srgb_to_linear(rgb: Array) -> Array:
    """The true sRGB curve, sRGB in [0, 1] -> linear light in [0, 1]."""
    xp = array_namespace(rgb)
    curved = _power((xp.maximum(rgb, 0.04045) + 0.055) / 1.055, 2.4)
    linear: Array = xp.where(rgb > 0.04045, curved, rgb / 12.92)
    return linear


def linear_to_srgb(linear: Array) -> Array:
    """Inverse of `srgb_to_linear`; values outside [0, 1] pass through the same formula."""
    xp = array_namespace(linear)
    curved = 1.055 * _power(xp.maximum(linear, 0.0031308), 1 / 2.4) - 0.055
    rgb: Array = xp.where(linear > 0.0031308, curved, linear * 12.92)
    return rgb


def rgb_to_lab(rgb: Array, *, axis: int = -3) -> Array:
    """sRGB in [0, 1], three channels on `axis` -> CIE Lab (D65), same shape, dtype and device."""
    _check_channels(rgb, axis, "rgb")
    return _linear_to_lab(srgb_to_linear(rgb), axis)


def lab_to_linear(lab: Array, *, axis: int = -3) -> Array:
    """CIE Lab -> linear RGB, not clipped: values outside [0, 1] are colours outside sRGB."""
    _check_channels(lab, axis, "lab")
    xp = array_namespace(lab)
    luminance, a, b = xp.unstack(lab, axis=axis)
    fy = (luminance + 16) / 116
    xyz = _lab_curve_inverse(xp.stack((fy + a / 500, fy, fy - b / 200)))
    linear: Array = xp.moveaxis(_multiply(XYZ_TO_RGB, xyz, 0), 0, axis)
    return linear


def lab_to_rgb(lab: Array, *, clip: bool = True, axis: int = -3) -> Array:
    """CIE Lab -> sRGB. `clip` cuts each channel to [0, 1], which is what 8-bit files do."""
    linear = lab_to_linear(lab, axis=axis)
    return linear_to_srgb(_unit(linear) if clip else linear)


def lab_to_rgb_in_gamut(lab: Array, *, axis: int = -3) -> Array:
    """CIE Lab -> sRGB in [0, 1]; impossible colours lose chroma, never luminance.

    A colour outside sRGB moves along the straight line (in linear light) towards the grey of equal
    luminance until it fits. Cutting channels instead would change L, and L is the photograph.
    """
    xp = array_namespace(lab)
    linear = lab_to_linear(lab, axis=axis)
    luminance = xp.take(lab, xp.asarray([0], device=device(lab)), axis=axis)
    grey = _unit(_lab_curve_inverse((luminance + 16) / 116))
    chroma = linear - grey
    room = xp.where(chroma > 0, 1 - grey, grey)
    # how far each channel may go; 1 where it fits as it is
    reach = xp.minimum(room / xp.maximum(xp.abs(chroma), 1e-9), 1.0)
    fitted: Array = grey + xp.min(reach, axis=axis, keepdims=True) * chroma
    return linear_to_srgb(_unit(fitted))


def encode_l(luminance: Array) -> Array:
    """L in [0, 100] -> the networks' input in [0, 1]."""
    return luminance / L_SCALE


def decode_l(code: Array) -> Array:
    """The networks' luminance code in [0, 1] -> L in [0, 100]."""
    return code * L_SCALE


def encode_ab(ab: Array) -> Array:
    """ab in CIE units -> the networks' target in [0, 1]."""
    return (ab + AB_OFFSET) / AB_SCALE


def decode_ab(code: Array) -> Array:
    """The networks' output in [0, 1] -> ab in CIE units."""
    return code * AB_SCALE - AB_OFFSET


def rgb8_to_lab(rgb: Rgb8) -> Floats:
    """sRGB uint8 `(H, W, 3)` -> CIE Lab float32 `(3, H, W)`."""
    height, width, _ = rgb.shape
    pixels = rgb.reshape(-1, 3)
    lab = np.empty((3, len(pixels)), np.float32)
    for block in blocks(len(pixels)):
        lab[:, block] = _linear_to_lab(LINEAR_OF_BYTE.take(pixels[block].T), 0)
    return lab.reshape(3, height, width)


def lab_to_rgb8(lab: Floats) -> Rgb8:
    """CIE Lab `(3, H, W)` -> sRGB uint8 `(H, W, 3)`, clipped per channel and rounded."""
    _, height, width = lab.shape
    planes = lab.reshape(3, -1)
    rgb = np.empty((planes.shape[1], 3), np.uint8)
    for block in blocks(len(rgb)):
        rgb[block] = to_bytes(lab_to_rgb(planes[:, block], axis=0)).T
    return rgb.reshape(height, width, 3)


def grey8(luminance: Floats) -> Rgb8:
    """L `(H, W)` without any chroma -> sRGB uint8 `(H, W, 3)`, a read-only view of one plane."""
    linear = _unit(_lab_curve_inverse((luminance + 16) / 116))
    plane = to_bytes(linear_to_srgb(linear))
    return np.broadcast_to(plane[..., None], (*plane.shape, 3))


def to_bytes(rgb: NDArray[Any]) -> Rgb8:
    """sRGB in [0, 1] -> uint8, rounded to the nearest step."""
    return (rgb * 255 + 0.5).astype(np.uint8)


def blocks(size: int, step: int = 8192) -> Iterator[slice]:
    """Slices that cover `range(size)`: temporaries of a block stay in the processor's cache."""
    return (slice(start, start + step) for start in range(0, size, step))


def psnr8(first: Rgb8, second: Rgb8) -> float:
    """PSNR of two 8-bit pictures of one size over all pixels and channels, dB; at most 138."""
    error = np.square(first.astype(np.float32) - second).mean(dtype=np.float64)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def delta_e_2000(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """ΔE00 per pixel between two Lab pictures `(3, ...)`; result `(...)` in their dtype, 0 = equal.

    Sharma, Wu, Dalal: "The CIEDE2000 Color-Difference Formula: Implementation Notes,
    Supplementary Test Data, and Mathematical Observations" (2005), equations 2-22 with
    k_L = k_C = k_H = 1. About 1 is a just noticeable difference.
    """
    one, two = first.reshape(3, -1), second.reshape(3, -1)
    result = np.empty(one.shape[1], np.result_type(one, two))
    for block in blocks(result.size):
        result[block] = _difference(one[:, block], two[:, block])
    return result.reshape(first.shape[1:])


def _difference(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    l1, a1, b1 = first
    l2, a2, b2 = second
    chroma_mean = (_length(a1, b1) + _length(a2, b2)) / 2
    stretch = 1.5 - 0.5 * _chroma_term(chroma_mean)  # 1 + G
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = _length(a1, b1), _length(a2, b2)
    h1, h2 = np.arctan2(b1, a1) % (2 * math.pi), np.arctan2(b2, a2) % (2 * math.pi)
    hue_step, hue_mean = _hue_difference(h1, h2, (c1 == 0) | (c2 == 0))
    l_mean, c_mean = (l1 + l2) / 2, (c1 + c2) / 2
    weight = (
        1
        - 0.17 * np.cos(hue_mean - math.radians(30))
        + 0.24 * np.cos(2 * hue_mean)
        + 0.32 * np.cos(3 * hue_mean + math.radians(6))
        - 0.20 * np.cos(4 * hue_mean - math.radians(63))
    )
    offset = (l_mean - 50) ** 2
    term_l = (l2 - l1) / (1 + 0.015 * offset / np.sqrt(20 + offset))
    term_c = (c2 - c1) / (1 + 0.045 * c_mean)
    term_h = 2 * np.sqrt(c1 * c2) * np.sin(hue_step / 2) / (1 + 0.015 * c_mean * weight)
    degrees = np.rad2deg(hue_mean) % 360
    rotation = math.radians(60) * np.exp(-(((degrees - 275) / 25) ** 2))
    interaction = -np.sin(rotation) * 2 * _chroma_term(c_mean)
    squared = term_l**2 + term_c**2 + term_h**2 + interaction * term_c * term_h
    result: NDArray[Any] = np.sqrt(np.maximum(squared, 0))
    return result


def _length(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    length: NDArray[Any] = np.sqrt(a * a + b * b)  # several times faster than hypot
    return length


def _chroma_term(chroma: NDArray[Any]) -> NDArray[Any]:
    """sqrt(C⁷ / (C⁷ + 25⁷)), by multiplication: `power` is many times slower."""
    cube = chroma * chroma * chroma
    seventh = cube * cube * chroma
    result: NDArray[Any] = np.sqrt(seventh / (seventh + 25.0**7))
    return result


def _hue_difference(
    h1: NDArray[Any], h2: NDArray[Any], achromatic: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Signed hue step in [-π, π] and mean hue of hues in [0, 2π); equations 10 and 14."""
    step = h2 - h1
    wide = np.abs(step) > math.pi + 1e-6  # opposite hues, to rounding, stay on the near side
    # crossing the seam moves the mean to the other side; adding π keeps cosines right
    mean = (h1 + h2) / 2 + math.pi * wide.astype(h1.dtype)
    step = np.where(wide, step - 2 * math.pi * np.sign(step), step)
    return np.where(achromatic, 0 * step, step), np.where(achromatic, h1 + h2, mean)


def _check_channels(planes: Any, axis: int, name: str) -> None:
    floating = array_namespace(planes).isdtype(planes.dtype, "real floating")
    fits = -planes.ndim <= axis < planes.ndim and planes.shape[axis] == 3
    if not (floating and fits):
        layout = {-3: "(..., 3, H, W)", -1: "(..., 3)"}.get(axis, f"3 long on axis {axis}")
        raise ValueError(
            f"{name} must be floating point and {layout}, got {tuple(planes.shape)} {planes.dtype}"
        )


def _linear_to_lab(linear: Array, axis: int) -> Array:
    xp = array_namespace(linear)
    fx, fy, fz = xp.unstack(_lab_curve(_multiply(RGB_TO_XYZ, linear, axis)))
    lab: Array = xp.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), axis=axis)
    return lab


def _multiply(matrix: NDArray[Any], planes: Array, axis: int) -> Array:
    """`matrix` times the colours on `axis`; the result has its channels on axis 0."""
    xp = array_namespace(planes)
    like = xp.asarray(matrix.tolist(), dtype=planes.dtype, device=device(planes))
    product: Array = xp.tensordot(like, planes, axes=([1], [axis % planes.ndim]))
    return product


def _unit(values: Array) -> Array:
    xp = array_namespace(values)
    clipped: Array = xp.minimum(xp.maximum(values, 0.0), 1.0)
    return clipped


def _power(base: Array, exponent: float) -> Array:
    """`base ** exponent` of numbers above 0; as exp(log), which NumPy has vector units for."""
    xp = array_namespace(base)
    power: Array = xp.exp(xp.log(base) * exponent)
    return power


def _lab_curve(t: Array) -> Array:
    """Lab's f(t): cube root above (6/29)³, a line below."""
    xp = array_namespace(t)
    # maximum first: the root's gradient is infinite at 0, and 0 * inf would poison `where`
    root = _power(xp.maximum(t, _DELTA**3), 1 / 3)
    curve: Array = xp.where(t > _DELTA**3, root, _SLOPE * t + 4 / 29)
    return curve


def _lab_curve_inverse(f: Array) -> Array:
    curve: Array = array_namespace(f).where(f > _DELTA, f * f * f, (f - 4 / 29) / _SLOPE)
    return curve


LINEAR_OF_BYTE: Floats = srgb_to_linear(np.arange(256) / 255).astype(np.float32)
"""Linear light of every sRGB byte."""
