"""An uploaded file becomes a `Photo`: pixels, a safe name, and what kind of picture it is."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from chromagan.color import rgb8_to_lab
from chromagan.images import read_image

Pixels = npt.NDArray[np.uint8]

# Below: CIE ab units. JPEG noise of a grey photo stays under the first; a toned print (sepia,
# selenium) has one hue per brightness, so that ab is a curve over L and little is left beside it.
GREY_CHROMA = 3.0
TONED_RESIDUAL = 4.5
_TONE_SIDE = 160


class Tone(Enum):
    """What colour an input has before it is turned grey."""

    GREY = "grey"
    TONED = "toned"
    COLOUR = "colour"


@dataclass(frozen=True)
class Photo:
    """A decoded picture.

    image: uint8 (H, W, 3) sRGB, upright. name: safe file stem. tone: see `Tone`. animated: the
    file holds more than one frame, of which `image` is the first.
    """

    image: Pixels
    name: str
    tone: Tone
    animated: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]


def open_photo(path: str | Path, *, max_pixels: int) -> Photo:
    """Read and judge an upload. Raises `ImageError`, one sentence, for whatever cannot be used."""
    source = Path(path)
    image = read_image(source, max_pixels=max_pixels)
    return Photo(image, safe_stem(source.name), tone_of(image), is_animated(source))


def is_animated(path: Path) -> bool:
    """Whether a file that `read_image` has accepted holds several frames."""
    try:
        with Image.open(path) as image:
            # a multi-page TIFF is a scan, not an animation
            return image.format in {"GIF", "WEBP", "PNG"} and getattr(image, "n_frames", 1) > 1
    except OSError:  # a format that Pillow alone does not know, HEIC for instance
        return False


def safe_stem(name: str) -> str:
    """A file stem from a visitor's file name: ASCII letters, digits, `-` and `_`, 1–60 long."""
    stem = Path(name.replace("\\", "/")).stem
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_-]+", "-", plain).strip("-_")[:60].strip("-_") or "photo"


def tone_of(image: Pixels) -> Tone:
    """Grey, toned (one hue per brightness) or colour, judged on a small copy."""
    lab = _small_lab(image)
    luminance, ab = lab[0].ravel(), lab[1:].reshape(2, -1)
    if float(np.percentile(np.hypot(*ab), 98)) < GREY_CHROMA:
        return Tone.GREY
    # ab as a quadratic function of L: what a chemical or digital toning is
    basis = np.stack([np.ones_like(luminance), luminance / 100, (luminance / 100) ** 2], axis=1)
    fit, *_ = np.linalg.lstsq(basis, ab.T, rcond=None)
    rest = np.hypot(*(ab.T - basis @ fit).T)
    return Tone.TONED if float(np.sqrt(np.mean(rest**2))) < TONED_RESIDUAL else Tone.COLOUR


def _small_lab(image: Pixels) -> npt.NDArray[np.float32]:
    return rgb8_to_lab(resized(image, _TONE_SIDE))


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
