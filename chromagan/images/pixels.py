"""Arrays of pixels: samples of any depth and space -> sRGB at 8 or 16 bits; resized copies.

Samples are for what Pillow cannot hold: 16-bit colour, float, deep grey with alpha. Work in bands
of rows keeps memory at the decoded image plus the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from chromagan.images.profiles import deep_transform

Space = Literal["grey", "rgb", "cmyk", "lab"]
Deep = NDArray[np.uint16]
Unsigned = TypeVar("Unsigned", NDArray[np.uint8], NDArray[np.uint16])
WHITE = 65535
_BAND_PIXELS = 1 << 19


@dataclass(frozen=True)
class Samples:
    """Samples `(H, W, C)` as decoded; the last channel is alpha where `alpha` says so.

    `black`, `white`: the values that mean no light and full light; None: they are found.
    `inverted`: ink instead of light. `signed_lab`: a and b are signed (CIELab, not ICCLab).
    `icc`, `gamma`: how the values are meant where they are not sRGB.
    """

    values: NDArray[Any]
    space: Space
    alpha: str | None = None
    black: float | None = None
    white: float | None = None
    inverted: bool = False
    signed_lab: bool = False
    icc: bytes | None = None
    gamma: float | None = None


def to_rgb(samples: Samples, dtype: type[np.uint8] | type[np.uint16]) -> NDArray[Any]:
    """RGB `(H, W, 3)` over white, uint8 or uint16."""
    height, width = samples.values.shape[:2]
    low, high = _value_range(samples)
    transform = deep_transform(samples.icc, samples.space, samples.gamma)
    out = np.empty((height, width, 3), dtype=dtype)
    for rows in bands(height, width):
        deep = _band(samples, samples.values[rows], low, high, transform)
        out[rows] = deep if dtype is np.uint16 else to_bytes(deep)
    return out


def to_bytes(deep: NDArray[Any]) -> NDArray[np.uint8]:
    """0..65535 `(H, W, …)` -> 0..255, to the nearest."""
    out = np.empty(deep.shape, dtype=np.uint8)
    for rows in bands(*deep.shape[:2]):
        out[rows] = (deep[rows].astype(np.uint32) * 255 + WHITE // 2) // WHITE
    return out


def bands(height: int, width: int) -> Iterator[slice]:
    """Rows that are worked on at once."""
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        yield slice(top, min(height, top + rows))


def _value_range(samples: Samples) -> tuple[float, float]:
    """(black, white).

    32-bit and float samples declare no range: white is 1 (float), 255, 65535 or the largest value,
    the first that holds them (of floats the first that holds nine tenths: lights may exceed it).
    Negative values lower black.
    """
    if samples.black is not None and samples.white is not None:
        return samples.black, samples.white
    values = samples.values[..., :-1] if samples.alpha else samples.values
    low, high, typical = 0.0, 0.0, 0.0
    for rows in bands(values.shape[0], values.shape[1]):
        band = values[rows]
        finite = band[np.isfinite(band)] if band.dtype.kind == "f" else band
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
            typical = max(typical, float(np.quantile(finite[:: 1 + finite.size // 10_000], 0.9)))
    floats = values.dtype.kind == "f"
    steps, top = ((1.0, 255.0, 65535.0), typical) if floats else ((255.0, 65535.0), high)
    return low, next((step for step in steps if top <= step), high)


def _band(samples: Samples, values: NDArray[Any], low: float, high: float, transform: Any) -> Deep:
    if samples.space == "lab":
        colours = _icc_lab(values[..., :3], samples.signed_lab)
    else:
        end = -1 if samples.alpha else None
        colours = _scaled(values[..., :end], low, high)
        if samples.inverted:
            colours = (WHITE - colours).astype(np.uint16)
    alpha = _scaled(values[..., -1:], 0.0, high) if samples.alpha else None
    if alpha is not None and samples.alpha == "premultiplied":
        colours = _unmultiplied(colours, alpha)
    rgb: Deep = transform(colours)
    return over_white(rgb, alpha) if alpha is not None else rgb


def _scaled(values: NDArray[Any], black: float, white: float) -> Deep:
    """Samples -> 0..65535; not a number is black."""
    if values.dtype.kind == "u" and black == 0 and white == WHITE:
        return values.astype(np.uint16)
    unit = values.astype(np.float32 if values.dtype.itemsize < 4 else np.float64)
    unit = np.nan_to_num(unit, nan=black, posinf=white, neginf=black)
    unit = ((unit - black) / max(white - black, 1e-30)).clip(0, 1)
    deep: Deep = (unit * WHITE + 0.5).astype(np.uint16)
    return deep


def _unmultiplied(colours: Deep, alpha: Deep) -> Deep:
    whole = colours.astype(np.float64) * WHITE / np.maximum(alpha, 1)
    clipped: Deep = (whole + 0.5).clip(0, WHITE).astype(np.uint16)
    return clipped


def over_white(rgb: Unsigned, alpha: Unsigned) -> Unsigned:
    """Colours `(…, 3)`, uint8 or uint16, laid over white paper by their alpha `(…, 1)`."""
    white = np.uint32(np.iinfo(rgb.dtype).max)
    weight = alpha.astype(np.uint32)
    mixed = rgb * weight + white * (white - weight)
    over: Unsigned = ((mixed + white // 2) // white).astype(rgb.dtype)
    return over


def _icc_lab(values: NDArray[Any], signed: bool) -> Deep:
    """TIFF's Lab encodings -> the ICC's 16-bit one of version 4 (65535 is L 100, 257 · 128 is 0).

    CIELab has signed a and b, L over the whole range; ICCLab at 16 bits ends at 65280.
    """
    deep = values.dtype.itemsize == 2
    if signed:
        lightness = values[..., :1].view(f"u{values.dtype.itemsize}") / (WHITE if deep else 255)
        ab = values[..., 1:].view(f"i{values.dtype.itemsize}") / (256 if deep else 1)
    else:
        lightness = values[..., :1] / (65280 if deep else 255)
        ab = values[..., 1:] / (256 if deep else 1) - 128
    unit = np.concatenate((lightness, (ab + 128) / 255), axis=-1)
    return (unit.clip(0, 1) * WHITE + 0.5).astype(np.uint16)


def shrink(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """uint8 RGB `(H, W, 3)` -> `(height, width, 3)` for `size` = (width, height).

    Bicubic with antialiasing; large reductions first average whole blocks, which changes less
    than one 8-bit step and is several times faster.
    """
    from PIL import Image

    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(
        Image.fromarray(image).resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    )


def squash(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """uint8 RGB `(H, W, 3)` -> `(side, side, 3)` without keeping the aspect; plain bicubic."""
    from PIL import Image

    if image.shape[:2] == (side, side):
        return image
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
