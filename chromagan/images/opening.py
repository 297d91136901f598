"""Open an image file as far as its header: what kind it is, and whether it is safe to decode.

The kind is told by the first bytes, never by the name; the size is compared with the limit before
anything is decoded; every failure is one `ImageError` sentence with the file and the reason.
"""

from __future__ import annotations

import io
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from chromagan.images.kinds import HEIC, JPEG, SNIFF_BYTES, TIFF, Kind, kind_of, other_kind
from chromagan.images.messages import ImageError, Note, brief
from chromagan.images.tiff import Page, choose_page

if TYPE_CHECKING:
    from PIL.Image import Image

Source = str | Path | BinaryIO
_MAX_JPEG_SCANS = 200  # real progressive files have about ten; thousands are a denial of service
_JPEG_SCAN = b"\xff\xda"
_JPEG_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # not stuffing, not a restart
# Pillow warns about odd metadata through the global `warnings` state, which is not ours to print.
_WARNINGS_LOCK = threading.Lock()


@dataclass(frozen=True)
class Opened:
    """A file of a known kind and an allowed size, not yet decoded.

    `image` is Pillow's view of it, `page` the chosen page of a TIFF; at least one is there.
    """

    name: str
    kind: Kind
    stream: BinaryIO
    head: bytes
    image: Image | None
    page: Page | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as stored."""
        if self.page is not None:
            return self.page.width, self.page.height
        assert self.image is not None
        width, height = self.image.size
        return width, height


@contextmanager
def silent_pillow() -> Iterator[None]:
    """No warnings from metadata parsers, whatever the thread."""
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def opened(source: Source, max_pixels: int) -> Iterator[Opened]:
    """The header is parsed and the size checked, nothing decoded.

    A file that was opened here is closed again; a stream of the caller's stays open.
    """
    if isinstance(source, str | Path):
        name = str(source)
        with _open_file(name) as stream:
            yield _open_header(stream, name, max_pixels)
    else:
        name = str(getattr(source, "name", "") or "image")
        yield _open_header(_seekable(source, _max_bytes(max_pixels)), name, max_pixels)


def _open_file(name: str) -> BinaryIO:
    try:
        mode = os.stat(name).st_mode
        if stat.S_ISDIR(mode):
            raise ImageError(name, Note("folder"))
        if not stat.S_ISREG(mode):  # opening a pipe would wait for ever
            raise ImageError(name, Note("irregular"))
        return open(name, "rb")
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(name, Note("missing")) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(name, Note("unopened", reason=reason)) from None


def _max_bytes(max_pixels: int) -> int:
    """Eight bytes a pixel is a raw 16-bit RGBA image: a larger file is not one image."""
    return 8 * max_pixels + (64 << 20)


def _seekable(stream: BinaryIO, limit: int) -> BinaryIO:
    """The stream itself, or what it holds where it cannot seek: read into memory up to the limit.

    One byte more than the limit is kept, so that the check of the size sees it.
    """
    try:
        stream.seek(0)
        return stream
    except (AttributeError, OSError):
        return io.BytesIO(stream.read(limit + 1))


def _open_header(stream: BinaryIO, name: str, max_pixels: int) -> Opened:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if size == 0:
        raise ImageError(name, Note("empty"))
    head = stream.read(SNIFF_BYTES)
    kind = kind_of(head)
    if kind is None:
        raise ImageError(name, Note("other", kind=other_kind(head)))
    if kind is not TIFF and size > _max_bytes(max_pixels):  # a TIFF may hold a thousand pages
        raise ImageError(name, Note("bytes", size=size / 1e9))
    if kind is TIFF:
        page = choose_page(stream, name)
        image = _pillow_page(stream, page) if page.plain else None
        found = Opened(name, kind, stream, head, image, page)
    else:
        found = Opened(name, kind, stream, head, _pillow_image(stream, name, kind))
    _check_size(found, max_pixels)
    if kind is JPEG:
        _check_jpeg_scans(stream, name)
    return found


def _pillow_image(stream: BinaryIO, name: str, kind: Kind) -> Image:
    reader = kind.pillow_class()
    if reader is None:
        lack = "the package pillow-heif" if kind is HEIC else f"a Pillow built with {kind.codec}"
        raise ImageError(name, Note("reader", kind=kind.name, lack=lack))
    stream.seek(0)
    try:
        with silent_pillow():
            image: Image = reader(stream, "")
        width, height = image.size
    except Exception as error:  # header parsers raise anything on damaged data
        raise ImageError(name, Note("header", reason=brief(error))) from None
    if width < 1 or height < 1:
        raise ImageError(name, Note("no_pixels", width=width, height=height))
    return image


def _pillow_page(stream: BinaryIO, page: Page) -> Image | None:
    """Pillow's view of that page of a TIFF, None where it does not know the kind."""
    reader: Any = TIFF.pillow_class()
    stream.seek(0)
    try:
        with silent_pillow():
            image: Image = reader(stream, "")
            if page.index:
                image.seek(page.index)
        return image
    except Exception:  # whatever it was, the other reader will say it better
        return None


def _check_size(found: Opened, max_pixels: int) -> None:
    width, height = found.size
    if width * height > max_pixels:
        megapixels, limit = width * height / 1e6, max_pixels / 1e6
        note = Note("pixels", width=width, height=height, megapixels=megapixels, limit=limit)
        raise ImageError(found.name, note)


def _check_jpeg_scans(stream: BinaryIO, name: str) -> None:
    """Refuse progressive bombs: each scan decodes all pixels again."""
    position = stream.tell()
    stream.seek(0)
    marks, tail = 0, b""
    while block := stream.read(1 << 20):
        marks += (tail + block).count(_JPEG_SCAN)
        tail = block[-1:]
    if marks > _MAX_JPEG_SCANS:  # a trailer (the video of a "motion photo") may hold as many
        stream.seek(0)
        marks = jpeg_scans(stream.read())
    stream.seek(position)
    if marks > _MAX_JPEG_SCANS:
        raise ImageError(name, Note("scans", scans=marks))


def jpeg_scans(data: bytes) -> int:
    """Scans before the end-of-image marker; what lies in segments (thumbnails) does not count."""
    scans, position = 0, 2
    while mark := _JPEG_MARKER.search(data, position):
        code, position = mark[1][0], mark.end()
        if code == 0xD9:
            break
        if code in {0x01, 0xD8}:  # markers without a segment
            continue
        scans += code == 0xDA
        position += int.from_bytes(data[position : position + 2], "big")
    return scans
