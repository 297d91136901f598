"""8-bit sRGB <-> CIE Lab in plain numpy, fast enough to measure beside a running network.

`chromagan.color` does the same in torch; the evaluation keeps its own so that its worker threads
never compete for torch's thread pool and so that the numbers have a second, independent witness
(the tests hold both, and scikit-image, against each other).

Arrays are planar: `lab` is float32 `(3, H, W)`, L in [0, 100], a and b in CIE units, D65 white.
"""

from __future__ import annotations

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
    linear = _LINEAR[rgb.reshape(-1, 3).T]
    x, y, z = _curve(_RGB_TO_XYZ @ linear)
    lab = np.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)))
    return lab.reshape(3, height, width).astype(np.float32, copy=False)


def lab_to_rgb(lab: Floats) -> Rgb8:
    """CIE Lab `(3, H, W)` -> sRGB uint8 `(H, W, 3)`, clipped per channel and rounded."""
    _, height, width = lab.shape
    luminance, a, b = lab.reshape(3, -1)
    y = (luminance + np.float32(16)) / np.float32(116)
    curve = np.stack((y + a / np.float32(500), y, y - b / np.float32(200)))
    linear = np.clip(_XYZ_TO_RGB @ _curve_inverse(curve), 0, 1)
    # x^(1/2.4) as exp(log): several times faster than power and exact to 1e-6
    gamma = np.exp(np.log(np.maximum(linear, np.float32(0.0031308))) * np.float32(1 / 2.4))
    srgb = np.where(
        linear > np.float32(0.0031308),
        np.float32(1.055) * gamma - np.float32(0.055),
        linear * np.float32(12.92),
    )
    rounded = (srgb * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    return np.ascontiguousarray(rounded.T).reshape(height, width, 3)


def _curve(t: Floats) -> Floats:
    """Lab's f(t): cube root above (6/29)³, a line below."""
    root: Floats = np.exp(np.log(np.maximum(t, _THRESHOLD)) * np.float32(1 / 3))
    return np.where(t > _THRESHOLD, root, _SLOPE * t + _OFFSET)


def _curve_inverse(f: Floats) -> Floats:
    return np.where(f > np.float32(6 / 29), f * f * f, (f - _OFFSET) / _SLOPE)
