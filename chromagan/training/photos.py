"""A numbered set of photographs: image folders, ImageNet trees and tar shards behind one index."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import threading
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chromagan.color import rgb8_to_lab
from chromagan.images import IMAGE_SUFFIXES, ImageError, expand, read_image, survey
from chromagan.images.finding import summary_of

GREY_CHROMA = 4.0
"""Mean CIE chroma below which a photograph counts as grey."""
LOOKS = 32
"""How many photographs, evenly chosen, are looked at before a run."""


class DataError(ValueError):
    """Photographs that cannot be used; the message names the path."""


class Photo(NamedTuple):
    """Where a photograph's bytes lie: a file, or a slice of a tar shard."""

    path: str
    offset: int = 0
    size: int = -1
    key: str = ""

    @property
    def name(self) -> str:
        """For messages: the file, or shard and member."""
        return self.path if self.size < 0 else f"{self.path} {self.key}"

    def read_bytes(self) -> bytes:
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


class Found(NamedTuple):
    """Photographs in a stable order, and lines on what was left out."""

    photos: list[Photo]
    left_out: list[str]


def _shard(path: Path) -> Found:
    try:
        with tarfile.open(path, "r:") as tar:
            members = [member for member in tar if member.isfile()]
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{path}: not a readable uncompressed tar shard ({error})") from error
    photos = [
        Photo(str(path), m.offset_data, m.size, m.name)
        for m in members
        if Path(m.name).suffix.lower() in IMAGE_SUFFIXES and not Path(m.name).name.startswith(".")
    ]
    others = len(members) - len(photos)
    return Found(photos, [f"{path}: {others} members left out, no images"] if others else [])


def _found_at(path: Path) -> Found:
    if path.suffix == ".tar" and not path.is_dir():
        return _shard(path)
    if not path.is_dir():
        return Found([Photo(str(path), key=path.name)], [])
    found = survey(path)
    photos = [Photo(str(image), key=os.path.relpath(image, path)) for image in found.images]
    return Found(photos, summary_of(found.left_out))


def find_photos(sources: Iterable[str]) -> Found:
    """All photographs under folders, files, tar shards or globs of them."""
    sources = tuple(sources)
    all_found = Found([], [])
    for source in sources:
        paths = expand(source)
        if not paths:
            raise DataError(f"{source}: no such file, folder or tar shard")
        for found in map(_found_at, paths):
            all_found.photos.extend(found.photos)
            all_found.left_out.extend(found.left_out)
    if not all_found.photos:
        raise DataError(" ".join(sources) + ": no images found there")
    return all_found


def decode(photo: Photo, shortest: int | None = None) -> NDArray[np.uint8]:
    """The photograph as uint8 RGB `(H, W, 3)`, read as everywhere (`chromagan.images`).

    `shortest` reduces (never enlarges) it so that its short side has that length: a shard of large
    photographs then fits into memory.
    """
    try:
        pixels = read_image(io.BytesIO(photo.read_bytes()))
    except ImageError as error:
        raise DataError(f"{photo.name}: {error.reason}") from error
    except OSError as error:
        raise DataError(f"{photo.name}: {error.strerror}") from error
    height, width = pixels.shape[:2]
    scale = shortest / min(height, width) if shortest else 1.0
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(small)


def is_grey(pixels: NDArray[np.uint8]) -> bool:
    """Whether a picture has no colour to learn from."""
    return bool(np.linalg.norm(rgb8_to_lab(pixels)[1:], axis=0).mean() < GREY_CHROMA)


class PhotoSet:
    """Photographs by number, decoded once and kept in memory up to a limit.

    Thread-safe. An unreadable photograph is replaced by the next readable one and remembered in
    `unreadable`, so that one bad file among a million does not end a run.
    """

    def __init__(
        self,
        sources: Iterable[str],
        *,
        shortest: int | None = None,
        cache_gib: float = 8.0,
        flag: str = "",
    ) -> None:
        """`flag`: where the sources were given, for messages."""
        self.sources = tuple(sources)
        self.flag = f"{flag} " if flag else ""
        try:
            found = find_photos(self.sources)
        except DataError as error:
            raise DataError(f"{self.flag}{error}") from None
        self.photos, self.left_out = found.photos, found.left_out
        self.shortest = shortest
        self.unreadable: dict[int, str] = {}
        self._room = int(cache_gib * 2**30)
        self._cache: dict[int, NDArray[np.uint8]] = {}
        self._sizes: dict[str, int] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, number: int) -> NDArray[np.uint8]:
        """uint8 RGB `(H, W, 3)`."""
        return self.read(number)[1]

    def identity(self, number: int) -> int:
        """A 64-bit number that stays with a photograph when others join or leave the set.

        From name and size of the file (or shard) and the place inside: nothing is read, and a copy
        on another machine gives the same crops.
        """
        photo = self.photos[number]
        if photo.path not in self._sizes:
            self._sizes[photo.path] = os.stat(photo.path).st_size
        name = Path(photo.path).name
        text = f"{name}/{photo.key}:{photo.offset}:{photo.size}:{self._sizes[photo.path]}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())

    @cached_property
    def digest(self) -> str:
        """Which photographs in which order: equal digests give equal batches."""
        identities = (self.identity(number).to_bytes(8) for number in range(len(self)))
        return hashlib.blake2b(b"".join(identities), digest_size=16).hexdigest()

    def read(self, number: int) -> tuple[int, NDArray[np.uint8]]:
        """The photograph, or the next readable one: its number, uint8 RGB `(H, W, 3)`."""
        for attempt in range(len(self)):
            index = (number + attempt) % len(self)
            if index in self._cache:
                return index, self._cache[index]
            if index in self.unreadable:
                continue
            try:
                pixels = decode(self.photos[index], self.shortest)
            except DataError as error:
                self.unreadable[index] = str(error)
                continue
            with self._lock:
                if pixels.nbytes <= self._room and index not in self._cache:
                    self._room -= pixels.nbytes
                    self._cache[index] = pixels
            return index, pixels
        raise DataError(
            f"{self.flag}{' '.join(self.sources)}: not one of {len(self):,} images can be read; "
            f"the first: {next(iter(self.unreadable.values()))}"
        )

    def inspect(self) -> list[str]:
        """Look at some photographs before a run; sentences on what is wrong with some of them.

        Raises DataError where there is nothing to learn from: all unreadable, or all grey.
        """
        numbers = np.linspace(0, len(self) - 1, min(LOOKS, len(self))).astype(int).tolist()
        greys = [is_grey(self[number]) for number in numbers]
        if all(greys):
            raise DataError(
                f"{self.flag}{' '.join(self.sources)}: all of {len(greys)} photographs looked at "
                "are grey; there is no colour to learn from"
            )
        lines = list(self.left_out)
        if sum(greys):
            lines.append(f"{sum(greys)} of {len(greys)} photographs looked at are grey")
        return [*lines, *self.losses()]

    def losses(self) -> list[str]:
        """One line on the images that could not be read so far, the first of them by name."""
        if not self.unreadable:
            return []
        reasons = list(self.unreadable.values())
        more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        return [f"{len(reasons)} unreadable images passed over: {'; '.join(reasons[:3])}{more}"]
