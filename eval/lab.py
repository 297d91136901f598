"""8-bit sRGB <-> CIE Lab in plain numpy, fast enough to measure beside a running network.

`chromagan.color` does the same in torch; the evaluation keeps its own so that its worker threads
never compete for torch's thread pool and so that the numbers have a second, independent witness
(the tests hold both, and scikit-image, against each other).

Arrays are planar: `lab` is float32 `(3, H, W)`, L in [0, 100], a and b in CIE units, D65 white.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Rgb8 = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

# IEC 61966-2-1 primaries over the D65 white (0.95047, 1, 1.08883): white maps to (1, 1, 1)
_WHITE = np.array([[0.95047], [1.0], [1.08883]])
_RGB_TO_XYZ64 = (
    np.array(
        [
            [0.412453, 0.357580, 0.180423],
            [0.212671, 0.715160, 0.072169],
            [0.019334, 0.119193, 0.950227],
        ]
    )
    / _WHITE
)
_RGB_TO_XYZ = _RGB_TO_XYZ64.astype(np.float32)
_XYZ_TO_RGB = np.linalg.inv(_RGB_TO_XYZ64).astype(np.float32)

_BYTES = np.arange(256) / 255
_LINEAR = np.where(_BYTES > 0.04045, ((_BYTES + 0.055) / 1.055) ** 2.4, _BYTES / 12.92).astype(
    np.float32
)

_THRESHOLD = np.float32((6 / 29) ** 3)
_SLOPE = np.float32(841 / 108)  # (29 / 6)² / 3
_OFFSET = np.float32(4 / 29)


def rgb_to_lab(rgb: Rgb8) -> Floats:
    """sRGB uint8 `(H, W, 3)` -> CIE Lab float32 `(3, H, W)`."""
    height, width, _ = rgb.shape
    pixels = rgb.reshape(-1, 3)
    lab = np.empty((3, len(pixels)), np.float32)
    for block in blocks(len(pixels)):
        x, y, z = _curve(_RGB_TO_XYZ @ _LINEAR.take(pixels[block].T))
        np.multiply(y, np.float32(116), out=lab[0, block])
        np.multiply(x - y, np.float32(500), out=lab[1, block])
        np.multiply(y - z, np.float32(200), out=lab[2, block])
    lab[0] -= np.float32(16)
    return lab.reshape(3, height, width)


def lab_to_rgb(lab: Floats) -> Rgb8:
    """CIE Lab `(3, H, W)` -> sRGB uint8 `(H, W, 3)`, clipped per channel and rounded."""
    _, height, width = lab.shape
    planes = lab.reshape(3, -1)
    rgb = np.empty((planes.shape[1], 3), np.uint8)
    for block in blocks(len(rgb)):
        luminance, a, b = planes[:, block]
        y = (luminance + np.float32(16)) * np.float32(1 / 116)
        curve = np.stack((y + a * np.float32(1 / 500), y, y - b * np.float32(1 / 200)))
        linear = _XYZ_TO_RGB @ _curve_inverse(curve)
        rgb[block] = _to_bytes(np.minimum(np.maximum(linear, 0, out=linear), 1, out=linear)).T
    return rgb.reshape(height, width, 3)


def grey_of(luminance: Floats) -> Rgb8:
    """L `(H, W)` without any chroma -> sRGB uint8 `(H, W, 3)`, a read-only view of one plane."""
    linear = _curve_inverse((luminance + np.float32(16)) * np.float32(1 / 116))
    plane = _to_bytes(np.minimum(np.maximum(linear, 0), 1))
    return np.broadcast_to(plane[..., None], (*plane.shape, 3))


def blocks(size: int, step: int = 8192) -> Iterator[slice]:
    """Slices that cover `range(size)`: temporaries of a block stay in the processor's cache."""
    return (slice(start, start + step) for start in range(0, size, step))


def _to_bytes(linear: Floats) -> Rgb8:
    # x^(1/2.4) as exp(log): several times faster than power and exact to 1e-6
    gamma = np.exp(np.log(np.maximum(linear, np.float32(0.0031308))) * np.float32(1 / 2.4))
    srgb = np.where(
        linear > np.float32(0.0031308),
        np.float32(1.055 * 255) * gamma - np.float32(0.055 * 255),
        linear * np.float32(12.92 * 255),
    )
    return (srgb + np.float32(0.5)).astype(np.uint8)


def _curve(t: Floats) -> Floats:
    """Lab's f(t): cube root above (6/29)³, a line below."""
    root: Floats = np.exp(np.log(np.maximum(t, _THRESHOLD)) * np.float32(1 / 3))
    return np.where(t > _THRESHOLD, root, _SLOPE * t + _OFFSET)


def _curve_inverse(f: Floats) -> Floats:
    return np.where(f > np.float32(6 / 29), f * f * f, (f - _OFFSET) * (1 / _SLOPE))
