"""Open an image file as far as its header: what kind it is, and whether it is safe to decode.

The kind is told by the first bytes, never by the name; the size is compared with the limit before
anything is decoded; every failure is one `ImageError` sentence with the file and the reason.
"""

from __future__ import annotations

import io
import os
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from PIL.Image import Image

_SNIFF_BYTES = 4096
_MAX_JPEG_SCANS = 200  # real progressive files have about ten; thousands are a denial of service
_JPEG_SCAN = b"\xff\xda"
# Pillow warns about odd metadata through the global `warnings` state, which is not ours to print.
_WARNINGS_LOCK = threading.Lock()

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2")
_OTHER_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"8BPS", "a Photoshop document"),
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xff\x0a", "a JPEG XL image, which is not supported"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image, which is not supported"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image, which is not supported"),
    (b"\x1aE\xdf\xa3", "a video"),
)


class ImageError(ValueError):
    """A file that cannot be read or written as an image; `str()` is one sentence for its owner."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        return type(self), (self.path, self.reason)  # crosses process borders intact


@contextmanager
def silent_pillow() -> Iterator[None]:
    """No warnings from metadata parsers, whatever the thread."""
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def opened(source: str | Path | BinaryIO, max_pixels: int) -> Iterator[tuple[Image, str]]:
    """(image, name for messages): the header is parsed and the size checked, nothing decoded.

    A file that was opened here is closed again; a stream of the caller's stays open.
    """
    mine = isinstance(source, str | Path)
    if isinstance(source, str | Path):
        name = str(source)
        stream: BinaryIO = _open_file(name)
    else:
        name = str(getattr(source, "name", "") or "image")
        stream = source
    try:
        yield _open_header(_seekable(stream, name, _max_bytes(max_pixels)), name, max_pixels), name
    finally:
        if mine:
            stream.close()


def brief(error: BaseException) -> str:
    """A decoder's message, cut to what fits into a sentence."""
    text = " ".join(str(error).split())
    return (text[:120] + "…" if len(text) > 120 else text) or type(error).__name__


def _open_file(name: str) -> BinaryIO:
    try:
        mode = os.stat(name).st_mode
        if stat.S_ISDIR(mode):
            raise ImageError(name, "this is a folder, not an image file")
        if not stat.S_ISREG(mode):  # opening a pipe would wait for ever
            raise ImageError(name, "this is not a regular file")
        return open(name, "rb")
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(name, "there is no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(name, f"the file cannot be opened ({reason})") from None


def _max_bytes(max_pixels: int) -> int:
    """Eight bytes a pixel is a raw 16-bit RGBA image: a larger file is not one image."""
    return 8 * max_pixels + (64 << 20)


def _seekable(stream: BinaryIO, name: str, limit: int) -> BinaryIO:
    """The stream at its start; what cannot seek is read into memory, up to the limit."""
    try:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
    except (AttributeError, OSError):
        data = stream.read(limit + 1)
        stream, size = io.BytesIO(data), len(data)
    if size == 0:
        raise ImageError(name, "the file is empty")
    if size > limit:
        raise ImageError(name, f"the file has {size / 1e9:.1f} GB, too much for one image")
    return stream


def _open_header(stream: BinaryIO, name: str, max_pixels: int) -> Image:
    head = stream.read(_SNIFF_BYTES)
    stream.seek(0)
    plugin = _plugin(head, name)
    try:
        with silent_pillow():
            # the plugin itself, not `Image.open`: no guessing among sixty formats, and the limit
            # on pixels is a parameter instead of a global variable
            image: Image = plugin(stream, "")
        width, height = image.size
    except Exception as error:  # header parsers raise anything on damaged data
        raise ImageError(name, f"the image header is damaged ({brief(error)})") from None
    if width < 1 or height < 1:
        raise ImageError(name, f"the header says {width}×{height} pixels")
    if width * height > max_pixels:
        raise ImageError(
            name,
            f"it has {width}×{height} pixels ({width * height / 1e6:.0f} megapixels), "
            f"more than the limit of {max_pixels / 1e6:g} megapixels",
        )
    if head.startswith(b"\xff\xd8"):
        _check_jpeg_scans(stream, name)
    return image


def _check_jpeg_scans(stream: BinaryIO, name: str) -> None:
    """Refuse progressive bombs: each scan decodes all pixels again. Scan data escapes its 0xff."""
    position = stream.tell()
    stream.seek(0)
    scans, tail = 0, b""
    while block := stream.read(1 << 20):
        scans += (tail + block).count(_JPEG_SCAN)
        tail = block[-1:]
    stream.seek(position)
    if scans > _MAX_JPEG_SCANS:
        raise ImageError(name, f"the JPEG has {scans} scans, more than any camera writes")


def _plugin(head: bytes, name: str) -> Callable[[BinaryIO, str], Any]:
    """The Pillow reader for these first bytes, or an error that says what the file is instead."""
    from PIL import features

    if head.startswith(b"\xff\xd8\xff"):
        from PIL.JpegImagePlugin import JpegImageFile

        return JpegImageFile
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        from PIL.PngImagePlugin import PngImageFile

        return PngImageFile
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP" and features.check("webp"):
        from PIL.WebPImagePlugin import WebPImageFile

        return WebPImageFile
    if head[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}:
        from PIL.TiffImagePlugin import TiffImageFile

        return TiffImageFile
    if head[:6] in {b"GIF87a", b"GIF89a"}:
        from PIL.GifImagePlugin import GifImageFile

        return GifImageFile
    if head.startswith(b"BM"):
        from PIL.BmpImagePlugin import BmpImageFile

        return BmpImageFile
    if head[4:8] == b"ftyp":
        return _box_plugin(head, name)
    raise ImageError(name, f"this is not a photograph: it looks like {_kind(head)}")


def _box_plugin(head: bytes, name: str) -> Callable[[BinaryIO, str], Any]:
    """HEIC and AVIF share their container with video: the brand tells."""
    from PIL import features

    if head[8:12] in {b"avif", b"avis"} and features.check("avif"):
        from PIL.AvifImagePlugin import AvifImageFile

        return AvifImageFile
    if head[8:12] in _HEIF_BRANDS:
        try:
            from pillow_heif import HeifImageFile
        except ImportError:
            raise ImageError(name, "HEIC images need the package pillow-heif") from None
        reader: Callable[[BinaryIO, str], Any] = HeifImageFile
        return reader
    raise ImageError(name, "this is not a photograph: it looks like a video")


def _kind(head: bytes) -> str:
    for magic, kind in _OTHER_KINDS:
        if head.startswith(magic):
            return kind
    if not head.strip(b"\0"):
        return "nothing but zero bytes"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text:
        return "an SVG drawing, which has no pixels"
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if not set(head) & {*range(9), *range(14, 32)}:
        return "a text file"
    return "an unknown kind of file"
