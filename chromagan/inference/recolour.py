"""Join a photograph's own luminance with predicted chroma, at full size in flat memory.

The colour mathematics of `chromagan.color` (which owns it), arranged for 8-bit photographs of
any size: bands of rows that fit the cache, tables for the sRGB curve and the cube
root, one thread per core. Tests hold both within one 8-bit step of each other. Sixteen bits go
through that mathematics itself, in 64-bit floats: slower, exact to the rounding of 16 bits.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chromagan import color
from chromagan.images.pixels import shrink
from chromagan.inference.upsampling import ChromaUpsampler, Floats, Upsampling

DEFAULT_UPSAMPLING: Upsampling = "guided"
"""The best of `python -m chromagan.trials upsampling`, with true and with predicted colours."""
Deep = NDArray[np.uint16]
_BAND_PIXELS = 1 << 15
_DEEP_BAND_PIXELS = 1 << 17
_WHITE = 65535
_DELTA = 6 / 29
_SLOPE = 841 / 108


class _Tables(NamedTuple):
    """Lookup tables, built once from `chromagan.color`."""

    linear: Floats  # sRGB byte -> linear light
    luminance: NDArray[np.float32]  # the three weights of Y
    root: Floats  # Y * 65535 -> f(Y) = (L + 16) / 116
    byte: NDArray[np.uint8]  # linear light * 65535 -> sRGB byte
    grey_root: Floats  # grey sRGB byte -> f(Y)
    to_rgb: Floats  # XYZ (white = 1) -> linear RGB


@cache
def _tables() -> _Tables:
    steps = np.arange(_WHITE + 1) / _WHITE
    # f(Y) of any Y: a grey of that linear light has that Y
    roots = [_grey_root(grey) for grey in (np.arange(256) / 255, color.linear_to_srgb(steps))]
    return _Tables(
        linear=color.LINEAR_OF_BYTE,
        luminance=color.RGB_TO_XYZ[1].astype(np.float32),
        root=roots[1],
        byte=color.to_bytes(color.linear_to_srgb(steps)),
        grey_root=roots[0],
        to_rgb=color.XYZ_TO_RGB.astype(np.float32),
    )


def _grey_root(grey: NDArray[np.float64]) -> Floats:
    """f(Y) = (L + 16) / 116 of grey sRGB in [0, 1]."""
    lab = color.rgb_to_lab(np.stack((grey, grey, grey)), axis=0)
    root: Floats = ((lab[0] + 16) / 116).astype(np.float32)
    return root


def luminance(image: NDArray[np.uint8]) -> Floats:
    """CIE L in [0, 100] of uint8 RGB `(H, W, 3)` -> float32 `(H, W)`."""
    return _lab_root(image, _tables()) * np.float32(116) - np.float32(16)


def deep_luminance(image: Deep) -> NDArray[np.float64]:
    """CIE L in [0, 100] of uint16 RGB `(H, W, 3)` -> float64 `(H, W)`."""
    planes = np.moveaxis(image.astype(np.float64) / _WHITE, -1, 0)
    lightness: NDArray[np.float64] = color.rgb_to_lab(planes, axis=0)[0]
    return lightness


def recolour(
    image: NDArray[np.uint8],
    ab: NDArray[np.float32],
    *,
    saturation: float = 1.0,
    temperature: float = 0.0,
    upsampling: Upsampling = DEFAULT_UPSAMPLING,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """uint8 RGB `(H, W, 3)` with its own L and the chroma of `ab` `(h, w, 2)`, CIE units.

    `ab` covers the whole picture at any size of its own. `saturation` multiplies it,
    `temperature` is added to b (CIE units, positive is warmer). Colours outside sRGB lose chroma
    and keep their luminance. `out` receives the result and may be `image` itself.
    """
    check_image(image)
    height, width, _ = image.shape
    if out is None:
        out = np.empty_like(image, order="C")
    upsampler = _upsampler(image, adjusted(ab, saturation, temperature), upsampling)
    tables = _tables()
    rows = max(1, _BAND_PIXELS // width)

    def paint(top: int) -> None:
        bottom = min(height, top + rows)
        _paint(image[top:bottom], out[top:bottom], upsampler, top, tables)

    _in_bands(paint, height, rows, worth=8)
    return out


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
    """`recolour` for uint16 RGB `(H, W, 3)`.

    `eight_bits` is the same picture at 8 bits, the guide of the colours' edges.
    """
    if image.dtype != np.uint16 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"the image must be uint16 (H, W, 3), got {image.dtype} {image.shape}")
    height, width, _ = image.shape
    result = np.empty_like(image, order="C") if out is None else out
    upsampler = _upsampler(eight_bits, adjusted(ab, saturation, temperature), upsampling)
    rows = max(1, _DEEP_BAND_PIXELS // width)

    def paint(top: int) -> None:
        band = slice(top, min(height, top + rows))
        lightness = deep_luminance(image[band])
        chroma = upsampler.rows(band.start, band.stop, lightness.astype(np.float32))
        lab = np.concatenate((lightness[None], chroma))
        rgb = color.lab_to_rgb_in_gamut(lab, axis=0)
        result[band] = np.moveaxis(rgb * _WHITE + 0.5, 0, -1).clip(0, _WHITE)

    _in_bands(paint, height, rows, worth=1)
    return result


def _in_bands(paint: Callable[[int], None], height: int, rows: int, *, worth: int) -> None:
    """Call `paint` with the top of every band, in as many threads as have `worth` bands each."""
    tops = range(0, height, rows)
    threads = min(os.cpu_count() or 1, 8, len(tops) // worth)
    if threads < 2:
        for top in tops:
            paint(top)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(paint, tops, chunksize=min(worth, 4)))


def adjusted(ab: NDArray[np.float32], saturation: float, temperature: float) -> Floats:
    """ab `(h, w, 2)` after the two sliders of `recolour`."""
    if ab.ndim != 3 or ab.shape[2] != 2 or 0 in ab.shape:
        raise ValueError(f"ab must be (h, w, 2), got {ab.shape}")
    shift = np.array((0, temperature), dtype=np.float32)
    result: Floats = ab.astype(np.float32) * np.float32(saturation) + shift
    return result


def check_image(image: Any) -> None:
    """Raise a clear error for anything but uint8 `(H, W, 3)` with at least one pixel."""
    if not isinstance(image, np.ndarray):
        raise TypeError(f"the image must be a numpy array, got {type(image).__name__}")
    if image.dtype != np.uint8:
        raise TypeError(f"the image must be uint8 with values 0..255, got {image.dtype}")
    if image.ndim != 3 or image.shape[2] != 3:
        hint = "; repeat a grey image three times" if image.ndim == 2 else ""
        raise ValueError(f"the image must be (H, W, 3), got {image.shape}{hint}")
    if 0 in image.shape:
        raise ValueError(f"the image has no pixels: {image.shape}")


def _upsampler(image: NDArray[np.uint8], ab: Floats, method: Upsampling) -> ChromaUpsampler:
    guide = None
    if method == "guided":
        guide = luminance(shrink(image, (ab.shape[1], ab.shape[0])))
    return ChromaUpsampler(ab, (image.shape[0], image.shape[1]), method, guide)


def _lab_root(image: NDArray[np.uint8], tables: _Tables) -> Floats:
    """f(Y) = (L + 16) / 116 of uint8 RGB."""
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return tables.grey_root.take(red)
    light = tables.linear.take(red) * tables.luminance[0]
    light += tables.linear.take(green) * tables.luminance[1]
    light += tables.linear.take(blue) * tables.luminance[2]
    light *= _WHITE
    light += np.float32(0.5)
    root: Floats = tables.root.take(light.astype(np.intp), mode="clip")
    return root


def _paint(
    image: NDArray[np.uint8],
    out: NDArray[np.uint8],
    upsampler: ChromaUpsampler,
    top: int,
    tables: _Tables,
) -> None:
    """One band: L of the pixels, ab of their places, the colour inside sRGB."""
    fy = _lab_root(image, tables)
    lightness = fy * np.float32(116) - np.float32(16)
    a, b = upsampler.rows(top, top + len(image), lightness)
    a *= np.float32(1 / 500)
    a += fy
    b *= np.float32(-1 / 200)
    b += fy
    x, y, z = _cube(a), _cube(fy), _cube(b)
    planes = [m[0] * x + m[1] * y + m[2] * z for m in tables.to_rgb]
    low = np.minimum(np.minimum(planes[0], planes[1]), planes[2])
    high = np.maximum(np.maximum(planes[0], planes[1]), planes[2])
    if low.min() < 0 or high.max() > 1:
        _into_gamut(planes, y, low, high)
    for channel, plane in enumerate(planes):
        plane *= _WHITE
        plane += np.float32(0.5)
        tables.byte.take(plane.astype(np.intp), mode="clip", out=out[..., channel])


def _cube(f: Floats) -> Floats:
    """The inverse of Lab's f: a cube that goes on as its tangent below 6/29."""
    bent = np.maximum(f, np.float32(_DELTA))
    cube = bent * bent
    cube *= bent
    bent -= f
    bent *= np.float32(1 / _SLOPE)
    cube -= bent
    return cube


def _into_gamut(planes: list[Floats], grey: Floats, low: Floats, high: Floats) -> None:
    """Move colours outside [0, 1] towards the grey of equal luminance until they fit, in place.

    The same line as `color.lab_to_rgb_in_gamut`: the share of chroma that fits is the least of
    (1 - grey) / (highest - grey) and grey / (grey - lowest).
    """
    grey = grey.clip(0, 1)
    tiny = np.float32(1e-9)
    reach = (1 - grey) / np.maximum(high - grey, tiny)
    np.minimum(reach, grey / np.maximum(grey - low, tiny), out=reach)
    np.minimum(reach, 1, out=reach)
    for plane in planes:
        plane -= grey
        plane *= reach
        plane += grey
