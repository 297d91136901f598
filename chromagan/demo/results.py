"""What becomes of a photograph: the sliders' look, its size on the page, the marked file.

Files that leave the server are marked as AI-colorized and inherit nothing unless asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from chromagan.demo.folders import new_path
from chromagan.files import complete_file
from chromagan.images import Metadata, Note
from chromagan.images.metadata.provenance import DESCRIPTION, Provenance
from chromagan.images.pixels import to_bytes
from chromagan.images.png import write_png
from chromagan.images.writing import Style, write_result
from chromagan.inference.recolour import recolour, recolour_deep

Pixels = npt.NDArray[np.uint8]
Samples = npt.NDArray[Any]
"""Pixels, or uint16 of the same shape."""
Chroma = npt.NDArray[np.float32]

MARK = "AI-colorized"
WARMEST = 20  # CIE b units at either end of the temperature slider
_NO_AB = np.zeros((1, 1, 2), np.float32)
_SUFFIXES = {"png": ".png", "jpeg": ".jpg", "tiff": ".tif"}


class LookError(ValueError):
    """A slider value outside its range (only possible through the API)."""


@dataclass(frozen=True)
class Look:
    """What the sliders say: saturation 0..2 (1 as predicted), temperature in CIE b units, warmer
    to the right; stamp: the visible mark. Raises `LookError` for values outside."""

    saturation: float = 1.0
    temperature: float = 0.0
    stamp: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.saturation) and 0 <= self.saturation <= 2):
            raise LookError(f"saturation must be between 0 and 2, not {self.saturation}")
        if not (math.isfinite(self.temperature) and abs(self.temperature) <= WARMEST):
            raise LookError(
                f"temperature must be between -{WARMEST} and {WARMEST}, not {self.temperature}"
            )


@dataclass(frozen=True)
class Form:
    """What file a download is. keep_metadata: the photograph's own EXIF, IPTC and XMP as well."""

    kind: Literal["png", "jpeg", "tiff"] = "png"
    keep_metadata: bool = False


PLAIN = Form()


class Saved(NamedTuple):
    """A file for the visitor to keep; notes: what of the photograph is not in it."""

    path: str
    notes: tuple[Note, ...] = ()


def with_look(image: Samples, ab: Chroma, look: Look) -> Samples:
    """The image (overwritten where it is uint16) with these colours and the sliders' say."""
    sliders: dict[str, Any] = {"saturation": look.saturation, "temperature": look.temperature}
    if image.dtype == np.uint16:
        result: Samples = recolour_deep(image, ab, to_bytes(image), **sliders, out=image)
    else:
        result = recolour(image, ab, **sliders)
    return stamped(result) if look.stamp else result


def stamped(image: Samples) -> Samples:
    """A copy with a small readable "AI-colorized" in the lower right corner, if it has room.

    What the mark does not touch stays exactly as it is, 16 bits included.
    """
    if image.dtype == np.uint16:
        plain = to_bytes(image)
        marked = stamped(plain)
        return np.where(marked == plain, image, marked.astype(np.uint16) * np.uint16(257))
    height, width = image.shape[:2]
    size = max(11, round(min(height, width) * 0.028))
    font = ImageFont.load_default(size)
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas, "RGBA")
    left, top, right, bottom = draw.textbbox((0, 0), MARK, font=font)
    pad = size // 2
    x, y = width - (right - left) - 2 * pad, height - (bottom - top) - 2 * pad
    if x < 0 or y < 0:
        return image
    box = (x - pad, y - pad, width - pad // 2, height - pad // 2)
    draw.rounded_rectangle(box, radius=pad, fill=(0, 0, 0, 110))
    draw.text((x - left, y - top - pad // 4), MARK, font=font, fill=(255, 255, 255, 235))
    return np.asarray(canvas)


def grey(image: Pixels) -> Pixels:
    """The photograph's luminance alone, which is all that the network sees."""
    # one channel thrice: rounding leaves the three a level apart in places
    return np.repeat(recolour(image, _NO_AB)[..., 1:2], 3, axis=2)


def resized(image: Pixels, side: int) -> Pixels:
    """A copy whose long side is at most `side` pixels; small pictures stay as they are."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX, reducing_gap=2.0))


def psnr(result: Pixels, truth: Pixels) -> float:
    """Peak signal-to-noise ratio in dB over 8-bit RGB, peak 255; infinite for equal pictures."""
    if result.shape != truth.shape:
        raise ValueError(f"sizes differ: {result.shape} and {truth.shape}")
    error = float(np.mean((result.astype(np.float32) - truth.astype(np.float32)) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def save_png(image: Pixels, path: Path, made: Provenance | None = None) -> str:
    """Write a lossless PNG atomically. `made` adds the discreet mark, PNG texts and the XMP that
    image banks and newsrooms read; previews go without."""
    text = (
        None
        if made is None
        else {
            "Software": f"ChromaGAN ({made.network})",
            "Comment": MARK,
            "Description": DESCRIPTION,
            "XML:com.adobe.xmp": made.packet().decode(),
        }
    )
    with complete_file(path) as file:
        write_png(file, np.ascontiguousarray(image), text=text)
    return str(path)


def save_preview(image: Pixels, name: str) -> str:
    """A picture for the page, lossless like everything else."""
    return save_png(image, new_path(f"{name}.png"))


def save_result(image: Samples, name: str, made: Provenance, form: Form, found: Metadata) -> Saved:
    """A picture for the visitor to keep, `<name>-colorized.png` or as `form` says.

    found: the photograph's own metadata, for a form that keeps it.
    """
    path = new_path(f"{name}-colorized{_SUFFIXES[form.kind]}")
    if form == PLAIN:
        return Saved(save_png(image, path, made))
    style = Style(keep_metadata=form.keep_metadata)
    return Saved(str(path), write_result(path, image, found, made, style))
