"""One photograph on its way: read, through the network once, then recoloured as often as liked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chromagan.demo import outputs
from chromagan.demo.limits import Limits
from chromagan.demo.networks import Colours, Networks
from chromagan.demo.photos import Photo, Pixels, Tone, open_photo, psnr, resized
from chromagan.images import read_image
from chromagan.inference.recolour import recolour

WARMEST = 20  # CIE b units at either end of the temperature slider
_NO_AB = np.zeros((1, 1, 2), np.float32)


class LookError(ValueError):
    """A slider value outside its range (only possible through the API)."""


@dataclass(frozen=True)
class Look:
    """What the sliders say: saturation 0..2 (1 as predicted), temperature in CIE b units, warmer
    to the right. Raises `LookError` for values outside."""

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
class Picture:
    """What the server remembers of a visitor's current photograph.

    source: the uploaded file, re-read for the full-resolution download. preview: uint8 (h, w, 3),
    the photograph as uploaded, at most `Limits.preview_side` long. size: full width and height.
    """

    source: str
    name: str
    size: tuple[int, int]
    tone: Tone
    animated: bool
    preview: Pixels
    colours: Colours

    @property
    def has_truth(self) -> bool:
        """A colour original: what the network guessed can be held against it."""
        return self.tone is Tone.COLOUR


def colorize(path: str, networks: Networks, limits: Limits, network: str | None = None) -> Picture:
    """Read a file and run the network once. Raises `ImageError`."""
    photo = open_photo(path, max_pixels=limits.max_pixels)
    return from_photo(photo, path, networks, limits, network)


def from_photo(
    photo: Photo, path: str, networks: Networks, limits: Limits, network: str | None = None
) -> Picture:
    return Picture(
        source=path,
        name=photo.name,
        size=photo.size,
        tone=photo.tone,
        animated=photo.animated,
        preview=resized(photo.image, limits.preview_side),
        colours=networks.predict(photo.image, network),
    )


def grey(image: Pixels) -> Pixels:
    """The photograph's luminance alone, which is all that the network sees."""
    # one channel thrice: rounding leaves the three a level apart in places
    return np.repeat(recolour(image, _NO_AB)[..., 1:2], 3, axis=2)


def coloured(image: Pixels, colours: Colours, look: Look) -> Pixels:
    """The image with the network's colours and the sliders' say; no network is run."""
    result = recolour(image, colours.ab, saturation=look.saturation, temperature=look.temperature)
    return outputs.stamped(result) if look.stamp else result


def full_result(picture: Picture, look: Look, limits: Limits) -> str:
    """The download: full resolution, lossless, marked. Returns the file's path."""
    image = read_image(picture.source, max_pixels=limits.max_pixels)
    network = picture.colours.network
    return outputs.save_result(
        coloured(image, picture.colours, look), picture.name, network=network
    )


@dataclass(frozen=True)
class Agreement:
    """PSNR in dB against the colour original, 8-bit RGB, at the preview's size; `grey` is what
    leaving the photograph grey would score."""

    result: float
    grey: float
    size: tuple[int, int]


def agreement(picture: Picture, look: Look) -> Agreement | None:
    """How near the original the result is; None where the original has no colours."""
    if not picture.has_truth:
        return None
    unstamped = Look(look.saturation, look.temperature)
    truth = picture.preview
    return Agreement(
        psnr(coloured(truth, picture.colours, unstamped), truth),
        psnr(grey(truth), truth),
        (truth.shape[1], truth.shape[0]),
    )


def displayable(path: str) -> bool:
    """Whether browsers show the file themselves (HEIC and TIFF they do not)."""
    return Path(path).suffix.lower() in {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".jfif"}
