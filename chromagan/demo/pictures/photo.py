"""One photograph: read once, through the network once, then recoloured as often as liked."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from chromagan import __version__
from chromagan.demo.limits import Limits
from chromagan.demo.networks import Colors, Networks
from chromagan.demo.pictures.marks import (
    Form,
    Pixels,
    Saved,
    save_result,
    stamped,
    stamped_deep,
)
from chromagan.demo.pictures.names import safe_stem
from chromagan.demo.pictures.tone import Tone, tone_of
from chromagan.images import Note, Photo, read_photo
from chromagan.images.metadata.provenance import Provenance, now
from chromagan.images.pixels import to_bytes
from chromagan.inference.recolour import recolour, recolour_deep

Chroma = npt.NDArray[np.float32]

WARMEST = 20  # CIE b units at either end of the temperature slider
_NO_AB = np.zeros((1, 1, 2), np.float32)


class LookError(ValueError):
    """A slider value outside its range (only possible through the API)."""


class Upload(NamedTuple):
    """A file as it arrived: where it lies, and what its visitor calls it."""

    path: str
    name: str


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

    def finish(self, image: Pixels) -> Pixels:
        """The visible mark, where it is wanted."""
        return stamped(image) if self.stamp else image


@dataclass(frozen=True)
class Picture:
    """What the server remembers of a visitor's photograph.

    source: the file, read again for the full-resolution download. size: full width and height.
    notes: what the visitor should know. preview: uint8 (h, w, 3), the photograph as uploaded, at
    most `Limits.preview_side` long. deep: the file has 16 bits.
    """

    source: str
    name: str
    size: tuple[int, int]
    tone: Tone
    notes: tuple[Note, ...]
    preview: Pixels
    colors: Colors
    deep: bool = False

    @property
    def has_truth(self) -> bool:
        """A colour original: what the network guessed can be held against it."""
        return self.tone is Tone.COLOR


class Studio:
    """Photographs through the networks within the limits; shared by all visitors."""

    def __init__(self, networks: Networks, limits: Limits) -> None:
        self.networks = networks
        self.limits = limits
        self._recent = _Recent(limits.recent_megabytes * 1_000_000)

    def colorize(self, upload: Upload, network: str | None = None) -> Picture:
        """Read a file and run the network once. Raises `ImageError`."""
        photo = self.read(upload.path)
        height, width, _ = photo.pixels.shape
        preview = resized(photo.pixels, self.limits.preview_side)
        return Picture(
            source=upload.path,
            name=safe_stem(upload.name),
            size=(width, height),
            tone=tone_of(preview),
            notes=notes_of(photo),
            preview=preview,
            colors=self.networks.predict(photo.pixels, network),
            deep=photo.deep,
        )

    def read(self, path: str) -> Photo:
        """A photograph from its file, or from memory where it was just read."""
        photo = self._recent.get(path)
        if photo is None:
            photo = self.open(path)
            self._recent.put(path, photo)
        return photo

    def open(self, path: str, *, deep: bool = False) -> Photo:
        """A photograph from its file; deep: with its 16 bits."""
        return read_photo(
            path,
            max_pixels=self.limits.max_pixels,
            accept_damaged=True,
            deep=deep,
            with_metadata=True,
        )

    def full_result(
        self,
        picture: Picture,
        look: Look,
        ab: Chroma | None = None,
        form: Form | None = None,
    ) -> Saved:
        """The download: full resolution, marked. Raises `ImageError`.

        ab: the colours, where they are others than the network's. form: PNG without the
        photograph's own metadata where none is given.
        """
        form = form or Form()
        ab = picture.colors.ab if ab is None else ab
        deep = picture.deep and form.kind == "tiff"  # costs another read
        photo = self.open(picture.source, deep=True) if deep else self.read(picture.source)
        return self.save(photo, ab, look, form, picture.colors.network, picture.name)

    def save(
        self, photo: Photo, ab: Chroma, look: Look, form: Form, network: str, name: str
    ) -> Saved:
        """Join a photograph (whose pixels are overwritten if they are uint16) with colours and
        write the file, which says what was lost."""
        if photo.pixels.dtype == np.uint16:
            result = _deep_with_look(photo.pixels, ab, look)
        else:
            result = with_look(photo.pixels, ab, look)
        lost = (Note("eight_bits"),) if photo.deep and result.dtype == np.uint8 else ()
        made = self.provenance(network, look, notes_of(photo) + lost)
        saved = save_result(result, name, made, form, photo.metadata)
        return saved._replace(notes=lost + saved.notes)

    def provenance(self, network: str, look: Look, notes: tuple[Note, ...]) -> Provenance:
        """What a download says of itself; nothing of its visitor, nor what their file is called."""
        settings = {"saturation": look.saturation, "temperature": look.temperature}
        sha256 = self.networks.sha256(network)
        return Provenance(network, sha256, __version__, settings=settings, date=now(), notes=notes)


class _Recent:
    """The photographs read last, as many as fit into so many bytes."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._photos: OrderedDict[str, Photo] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: str) -> Photo | None:
        with self._lock:
            if path in self._photos and Path(path).is_file():  # what was deleted is forgotten
                self._photos.move_to_end(path)
                return self._photos[path]
            self._photos.pop(path, None)
            return None

    def put(self, path: str, photo: Photo) -> None:
        with self._lock:
            self._photos[path] = photo
            while sum(kept.pixels.nbytes for kept in self._photos.values()) > self._budget:
                self._photos.popitem(last=False)


def notes_of(photo: Photo) -> tuple[Note, ...]:
    """What a visitor should know of a photograph; the page cannot sign, so credentials end here."""
    return (*photo.notes, Note("credentials")) if photo.metadata.manifest else photo.notes


def with_look(image: Pixels, ab: Chroma, look: Look) -> Pixels:
    """The image with these colours and the sliders' say; no network is run."""
    result = recolour(image, ab, saturation=look.saturation, temperature=look.temperature)
    return look.finish(result)


def _deep_with_look(image: Any, ab: Chroma, look: Look) -> Any:
    """`with_look` for uint16, which is overwritten."""
    result = recolour_deep(
        image,
        ab,
        to_bytes(image),
        saturation=look.saturation,
        temperature=look.temperature,
        out=image,
    )
    return stamped_deep(result) if look.stamp else result


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


def displayable(path: str) -> bool:
    """Whether browsers show the file themselves (HEIC and TIFF they do not)."""
    return Path(path).suffix.lower() in {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".jfif"}
