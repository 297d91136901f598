"""What colour a picture has before it is turned grey: none, a print's tint, or colours of its own.

A toned or yellowed print is one ink on one paper: its ab follow its L, and drift slowly over the
sheet where it aged unevenly. So a smooth model of ab over L and place is fitted, and the verdict is
how far the picture strays from it (`strayed`). An album page around the print and a stamp in a
corner are no colours of the print: the page is cut off first, the corners do not count.
"""

from __future__ import annotations

from enum import Enum

import numpy as np
import numpy.typing as npt
from PIL import Image

from chromagan.color import rgb8_to_lab
from chromagan.demo.results import Pixels

Floats = npt.NDArray[np.float64]

GREY_CHROMA = 3.0
"""98 % of a grey photograph lie below this chroma, JPEG noise included (CIE ab units)."""
TONED_STRAY = 3.45
"""Largest `strayed` of a toned print, CIE ab units. Prints made from old photographs (tones, album
pages, stains, stamps) reach 3.2; of 188 colour photographs, some with 40 % of their chroma, one
lies below 3.7: an underground station, grey but for its floor."""
_SIDE = 64  # small enough that JPEG's coarser chroma does not count
_DEGREE = 3  # of the drift over the sheet
_CORNER = 0.28  # of either side: where stamps and dates stand
_FLAT_AB, _FLAT_L = 7.0, 14.0  # how far the grain of an album page goes
_BLUE, _DARK = -6.0, 45.0  # median b of what may be a cyanotype, L of its darks


class Tone(Enum):
    """What colour an input has before it is turned grey."""

    GREY = "grey"
    TONED = "toned"
    COLOR = "color"


def tone_of(image: Pixels) -> Tone:
    """The verdict on uint8 RGB `(H, W, 3)`, from a copy of at most 64 pixels."""
    lab = _small_lab(image)
    if np.percentile(np.hypot(lab[..., 1], lab[..., 2]), 98) < GREY_CHROMA:
        return Tone.GREY
    sheet = without_page(lab)
    if _is_sky(sheet):
        return Tone.COLOR
    return Tone.TONED if strayed(sheet) < TONED_STRAY else Tone.COLOR


def strayed(lab: Floats) -> float:
    """How far ab strays from one ink on one unevenly aged sheet, CIE units, `(h, w, 3)` CIE Lab.

    The 95th percentile, corners left out, of the distance in ab from a robust fit of
    1, L, L², L x, L y and all x^i y^j up to the third degree.
    """
    ab = lab[..., 1:].reshape(-1, 2)
    basis = _ink_and_age(lab[..., 0])
    weights = np.ones(len(ab))
    for _ in range(6):  # iteratively reweighted least squares: what strays loses its say
        weighted = basis.T * weights
        fit, *_ = np.linalg.lstsq(weighted @ basis, weighted @ ab, rcond=None)
        distance = np.hypot(*(ab - basis @ fit).T)
        weights = (1 + (distance / 3) ** 2) ** -2
    return float(np.percentile(distance.reshape(lab.shape[:2])[_middle(*lab.shape[:2])], 95))


def _is_sky(lab: Floats) -> bool:
    """Blue all over, but not in the darks, or without any: in a cyanotype blue is the ink."""
    blue = float(np.median(lab[..., 2]))
    limit = np.percentile(lab[..., 0], 10)
    dark_blue = float(np.median(lab[..., 2][lab[..., 0] <= limit]))
    return blue < _BLUE and bool(limit > _DARK or dark_blue > 0.6 * blue)


def without_page(lab: Floats) -> Floats:
    """The print without the album page around it: flat borders of a dull or brown colour."""
    # turned left, the right side is on top, and so on around
    top, right, bottom, left = (_border(np.rot90(lab, turns)) for turns in range(4))
    height, width, _ = lab.shape
    inner = lab[top : height - bottom, left : width - right]
    large = min(inner.shape[:2]) >= 8 and inner.size >= 0.06 * lab.size
    return inner if large else lab


def _border(lab: Floats) -> int:
    """How many rows from the top are page, the blurred edge included."""
    colour = np.median(lab[: max(1, len(lab) // 60)].reshape(-1, 3), axis=0)
    if not _may_be_page(colour):
        return 0
    difference = np.abs(lab - colour)
    page = (difference[..., 0] < _FLAT_L) & (
        np.hypot(*np.moveaxis(difference[..., 1:], -1, 0)) < _FLAT_AB
    )
    rows = page.mean(axis=1) > 0.85
    depth = len(rows) if rows.all() else int(np.argmin(rows))
    return 0 if depth in (0, len(rows)) else depth + 1


def _may_be_page(colour: Floats) -> bool:
    """Grey, brown to olive, or dull; not the blue of a sky."""
    chroma = float(np.hypot(colour[1], colour[2]))
    hue = float(np.degrees(np.arctan2(colour[2], colour[1])) % 360)
    brown = chroma < 50 and 25 <= hue <= 125
    return chroma < 10 or brown or (chroma < 18 and not 190 < hue < 320)


def _ink_and_age(luminance: Floats) -> Floats:
    """The model's terms, one column each, for every pixel."""
    height, width = luminance.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light = luminance / 50 - 1
    terms = [light, light**2, light * x, light * y]
    powers = range(_DEGREE + 1)
    terms += [x**i * y**j for i in powers for j in powers if i + j <= _DEGREE]
    return np.stack([term.ravel() for term in terms], axis=1)


def _middle(height: int, width: int) -> npt.NDArray[np.bool_]:
    """Everything but the four corners."""
    y, x = np.ogrid[:height, :width]
    tall, wide = int(height * _CORNER), int(width * _CORNER)
    return ((y >= tall) & (y < height - tall)) | ((x >= wide) & (x < width - wide))


def _small_lab(image: Pixels) -> Floats:
    height, width = image.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = Image.fromarray(image).resize(size, Image.Resampling.BOX)
    return np.moveaxis(rgb8_to_lab(np.asarray(small)), 0, -1).astype(np.float64)
