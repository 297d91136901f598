"""Join a 16-bit photograph's luminance with predicted chroma: `recolour` for deep scans.

The mathematics of `chromagan.color` in 64-bit floats, in bands of rows: slower than the tables of
the 8-bit path, exact to the rounding of 16 bits.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from chromagan import color
from chromagan.images.resizing import shrink
from chromagan.inference.recolour import DEFAULT_UPSAMPLING, adjusted, luminance
from chromagan.inference.upsampling import ChromaUpsampler, Floats, Upsampling

Deep = NDArray[np.uint16]
_WHITE = 65535
_BAND_PIXELS = 1 << 17


def recolour_deep(
    image: Deep,
    ab: Floats,
    eight_bits: NDArray[np.uint8],
    *,
    saturation: float = 1.0,
    temperature: float = 0.0,
    upsampling: Upsampling = DEFAULT_UPSAMPLING,
    out: Deep | None = None,
) -> Deep:
    """uint16 RGB `(H, W, 3)` with its own L and the chroma of `ab` `(h, w, 2)`, CIE units.

    `eight_bits` is the same picture at 8 bits, the guide of the colours' edges. Otherwise as
    `recolour` does for 8 bits; colours outside sRGB lose chroma and keep their luminance. `out`
    receives the result and may be `image` itself.
    """
    if image.dtype != np.uint16 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"the image must be uint16 (H, W, 3), got {image.dtype} {image.shape}")
    height, width, _ = image.shape
    result = np.empty_like(image, order="C") if out is None else out
    colours = adjusted(ab, saturation, temperature)
    guide = None
    if upsampling == "guided":
        guide = luminance(shrink(eight_bits, (ab.shape[1], ab.shape[0])))
    upsampler = ChromaUpsampler(colours, (height, width), upsampling, guide)
    rows = max(1, _BAND_PIXELS // width)

    def paint(top: int) -> None:
        band = slice(top, min(height, top + rows))
        lightness = deep_luminance(image[band])
        chroma = upsampler.rows(band.start, band.stop, lightness.astype(np.float32))
        lab = np.concatenate((lightness[None], chroma))
        rgb = color.lab_to_rgb_in_gamut(lab, axis=0)
        result[band] = np.moveaxis(rgb * _WHITE + 0.5, 0, -1).clip(0, _WHITE)

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        for _ in pool.map(paint, range(0, height, rows)):
            pass
    return result


def deep_luminance(image: Deep) -> NDArray[np.float64]:
    """CIE L in [0, 100] of uint16 RGB `(H, W, 3)` -> float64 `(H, W)`."""
    planes = np.moveaxis(image.astype(np.float64) / _WHITE, -1, 0)
    lightness: NDArray[np.float64] = color.rgb_to_lab(planes, axis=0)[0]
    return lightness
