"""A numbered set of photographs: image folders, ImageNet trees and tar shards behind one index."""

from __future__ import annotations

import glob
import hashlib
import io
import os
import tarfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

# what Pillow reads in every build
EXTENSIONS = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".jp2")
)
MAX_PIXELS = 64_000_000


class DataError(ValueError):
    """Training data that cannot be used; the message names the path."""


@dataclass(frozen=True)
class Photo:
    """Where a photograph's bytes lie: a file, or a slice of a tar shard."""

    path: str
    offset: int = 0
    size: int = -1
    key: str = ""

    def read_bytes(self) -> bytes:
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


def _shard_photos(path: Path) -> list[Photo]:
    try:
        with tarfile.open(path, "r:") as tar:
            members = [
                Photo(str(path), m.offset_data, m.size, m.name)
                for m in tar
                if m.isfile() and Path(m.name).suffix.lower() in EXTENSIONS
            ]
    except (tarfile.TarError, OSError) as error:
        raise DataError(
            f"--data {path}: not a readable uncompressed tar shard ({error})"
        ) from error
    return members


def _folder_photos(folder: Path) -> list[Photo]:
    found: list[Photo] = []
    for root, folders, files in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(files):
            if Path(name).suffix.lower() in EXTENSIONS:
                path = os.path.join(root, name)
                found.append(Photo(path, key=os.path.relpath(path, folder)))
    return found


def find_photos(sources: Iterable[str]) -> list[Photo]:
    """All photographs under folders, files, tar shards or globs of them, in a stable order."""
    photos: list[Photo] = []
    for source in sources:
        paths = [Path(p) for p in sorted(glob.glob(source, recursive=True))] or [Path(source)]
        for path in paths:
            if path.is_dir():
                photos += _folder_photos(path)
            elif path.suffix == ".tar":
                photos += _shard_photos(path)
            elif path.is_file():
                photos.append(Photo(str(path), key=path.name))
            else:
                raise DataError(f"--data {source}: no such file, folder or tar shard")
    if not photos:
        raise DataError(f"--data {' '.join(sources)}: no images found there")
    return photos


def decode(photo: Photo, shortest: int | None = None) -> NDArray[np.uint8]:
    """The photograph as uint8 RGB `(H, W, 3)`, EXIF orientation applied.

    `shortest` reduces (never enlarges) it so that its short side has that length: a shard of large
    photographs then fits into memory.
    """
    try:
        with Image.open(io.BytesIO(photo.read_bytes())) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"{photo.path} {photo.key}: {image.width}x{image.height} pixels")
            if shortest:
                image.draft("RGB", (shortest, shortest))
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{photo.path} {photo.key}: unreadable image ({error})") from error
    scale = shortest / min(upright.size) if shortest else 1.0
    if scale < 1:
        size = (max(1, round(upright.width * scale)), max(1, round(upright.height * scale)))
        upright = upright.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(upright)


class PhotoSet:
    """Photographs by number, decoded once and kept in memory up to a limit.

    Thread-safe. An unreadable photograph is replaced by the next readable one and remembered in
    `unreadable`, so that one bad file among a million does not end a run.
    """

    def __init__(
        self, sources: Iterable[str], *, shortest: int | None = None, cache_gib: float = 8.0
    ) -> None:
        self.photos = find_photos(tuple(sources))
        self.shortest = shortest
        self.unreadable: dict[int, str] = {}
        self._room = int(cache_gib * 2**30)
        self._cache: dict[int, NDArray[np.uint8]] = {}
        self._times: dict[str, int] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, number: int) -> NDArray[np.uint8]:
        """uint8 RGB `(H, W, 3)`."""
        return self.read(number)[1]

    def identity(self, number: int) -> int:
        """A 64-bit number that stays with a photograph when others join or leave the set.

        From name, size and time of the file (of its shard) and the place inside: nothing is read.
        """
        photo = self.photos[number]
        if photo.path not in self._times:
            self._times[photo.path] = os.stat(photo.path).st_mtime_ns
        name = Path(photo.path).name
        text = f"{name}/{photo.key}:{photo.offset}:{photo.size}:{self._times[photo.path]}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())

    def read(self, number: int) -> tuple[int, NDArray[np.uint8]]:
        """The photograph, or the next readable one: its number, uint8 RGB `(H, W, 3)`."""
        for attempt in range(min(len(self), 100)):
            index = (number + attempt) % len(self)
            if index in self.unreadable:
                continue
            cached = self._cache.get(index)
            if cached is not None:
                return index, cached
            try:
                pixels = decode(self.photos[index], self.shortest)
            except DataError as error:
                self.unreadable[index] = str(error)
                continue
            self._keep(index, pixels)
            return index, pixels
        raise DataError(f"100 unreadable images in a row; the first: {self.unreadable[number]}")

    def _keep(self, index: int, pixels: NDArray[np.uint8]) -> None:
        with self._lock:
            if pixels.nbytes <= self._room and index not in self._cache:
                self._room -= pixels.nbytes
                self._cache[index] = pixels
