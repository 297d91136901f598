"""The image set of an evaluation: a folder or an uncompressed tar of photographs, read by name."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from chromagan.color import Rgb8
from chromagan.images import IMAGE_SUFFIXES, ImageError, find_images, image_size, read_image

_LONGEST_KEY = 200  # bytes: file systems allow 255, and suffixes and temporary names need room


class PhotosError(ValueError):
    """The image set cannot be used at all; one sentence."""


@dataclass(frozen=True)
class PhotoFile:
    """One photograph: `name` inside its set, `key` = stem of its results, and where its bytes are.

    `size` -1 means the whole file; a tar member is a byte range of the archive, so that any thread
    can read it without sharing a file position.
    """

    name: str
    key: str
    path: Path
    offset: int = 0
    size: int = -1

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix.lower()

    def data(self) -> bytes:
        """The encoded file. Raises ImageError where it cannot be read."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                return file.read(self.size)
        except OSError as error:
            raise ImageError(self.name, f"the file cannot be read ({error.strerror})") from None

    def read(self) -> Rgb8:
        """Decoded sRGB uint8 `(H, W, 3)`. Raises ImageError naming this photograph."""
        return decode(self.data(), self.name)

    def size_in_header(self) -> tuple[int, int]:
        """(width, height) as stored, nothing decoded. Raises ImageError."""
        return image_size(io.BytesIO(self.data()))


def decode(data: bytes, name: str) -> Rgb8:
    """`read_image` on bytes, with `name` in the error."""
    try:
        return read_image(io.BytesIO(data))
    except ImageError as error:
        raise ImageError(name, error.reason) from None


def open_photos(source: Path, limit: int | None = None) -> list[PhotoFile]:
    """The photographs of a folder (recursive) or a .tar, sorted by name, at most `limit`.

    Nothing is decoded. Raises PhotosError where there is no such set or nothing in it.
    """
    if source.is_dir():
        found = [(path.relative_to(source).as_posix(), path, 0, -1) for path in find_images(source)]
    elif source.is_file():
        found = _tar_members(source)
    else:
        raise PhotosError(f"{source}: there is no such folder or .tar file")
    if not found:
        raise PhotosError(f"{source}: no photographs in it")
    found = sorted((readable(n), p, o, s) for n, p, o, s in found)
    keys = unique_keys([name for name, *_ in found])
    photos = [PhotoFile(n, k, p, o, s) for (n, p, o, s), k in zip(found, keys, strict=True)]
    return photos if limit is None else photos[:limit]


def read_all(photos: Iterable[PhotoFile]) -> Iterator[tuple[PhotoFile, Rgb8]]:
    """Photographs with their pixels; those that cannot be read are left out and told on stderr."""
    for photo in photos:
        try:
            yield photo, photo.read()
        except ImageError as error:
            print(f"left out: {error}", file=sys.stderr)


def readable(name: str) -> str:
    """A file name that any table, page or terminal can hold.

    Bytes that are no UTF-8 (names from old systems) and control characters become escapes.
    """
    text = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def key_of(name: str) -> str:
    """A file-name-safe stem of a readable name: folders become `__`, the suffix goes."""
    key = "__".join(PurePosixPath(name).with_suffix("").parts).replace("\\", "_")
    key = unicodedata.normalize("NFC", key)
    if len(key.encode()) <= _LONGEST_KEY:
        return key
    cut = key.encode()[: _LONGEST_KEY - 9].decode(errors="ignore")
    return f"{cut}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def unique_keys(names: Sequence[str]) -> list[str]:
    """`key_of` every name, different even where a file system ignores case.

    Names that differ in the suffix alone keep it.
    """
    keys = [key_of(name) for name in names]
    counts = Counter(key.casefold() for key in keys)
    taken: set[str] = set()
    unique = []
    for name, key in zip(names, keys, strict=True):
        chosen = f"{key}_{PurePosixPath(name).suffix[1:]}" if counts[key.casefold()] > 1 else key
        while chosen.casefold() in taken:
            chosen += "_"
        taken.add(chosen.casefold())
        unique.append(chosen)
    return unique


def list_hash(digests: dict[str, str]) -> str:
    """Hash of an image list: SHA-256 over sorted lines `name sha256-of-file`, first 16 digits."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def _tar_members(source: Path) -> list[tuple[str, Path, int, int]]:
    try:
        with tarfile.open(source, "r:") as archive:
            return [
                (member.name, source, member.offset_data, member.size)
                for member in archive
                if member.isfile() and _is_photo(member.name)
            ]
    except (tarfile.TarError, OSError) as error:
        raise PhotosError(
            f"{source}: this is neither a folder nor an uncompressed .tar file ({error})"
        ) from None


def _is_photo(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
