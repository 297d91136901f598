"""What kind of file this is, told by its first bytes; names are only hints.

The one list of formats that are read, each with the names its files usually have, and the one list
of things that people take for photographs and that have no pixels to colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from chromagan.images.messages import Note

SNIFF_BYTES = 4096
"""So much of a file's beginning is enough for `kind_of`."""


@dataclass(frozen=True)
class Kind:
    """A format: its name, the Pillow plugin (`module:class`), the usual suffixes of its files and
    Pillow's name of its codec."""

    name: str
    reader: str
    suffixes: tuple[str, ...]
    codec: str | None = None

    def pillow_class(self) -> Any | None:
        """The reader, None where this installation has not got it.

        The class itself, not `Image.open`: no guessing among sixty formats, and the limit on
        pixels is a parameter instead of a global variable.
        """
        from PIL import features

        if self.codec is not None and not features.check(self.codec):
            return None
        try:
            return resolve_name(self.reader)
        except ImportError:
            return None


_JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo")
_JPEG_2000_SUFFIXES = (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc")
JPEG = Kind("JPEG", "PIL.JpegImagePlugin:JpegImageFile", _JPEG_SUFFIXES)
PNG = Kind("PNG", "PIL.PngImagePlugin:PngImageFile", (".png",))
TIFF = Kind("TIFF", "PIL.TiffImagePlugin:TiffImageFile", (".tif", ".tiff"))
WEBP = Kind("WebP", "PIL.WebPImagePlugin:WebPImageFile", (".webp",), "webp")
GIF = Kind("GIF", "PIL.GifImagePlugin:GifImageFile", (".gif",))
BMP = Kind("BMP", "PIL.BmpImagePlugin:BmpImageFile", (".bmp", ".dib"))
AVIF = Kind("AVIF", "PIL.AvifImagePlugin:AvifImageFile", (".avif",), "avif")
HEIC = Kind("HEIC", "pillow_heif:HeifImageFile", (".heic", ".heif", ".hif"))
JPEG_2000 = Kind(
    "JPEG 2000", "PIL.Jpeg2KImagePlugin:Jpeg2KImageFile", _JPEG_2000_SUFFIXES, "jpg_2000"
)
PNM = Kind("PNM", "PIL.PpmImagePlugin:PpmImageFile", (".ppm", ".pgm", ".pbm", ".pnm"))

KINDS = (JPEG, PNG, TIFF, WEBP, GIF, BMP, AVIF, HEIC, JPEG_2000, PNM)
SALVAGEABLE = (JPEG, PNG, TIFF, GIF, BMP, PNM)
"""Formats of which something can be decoded when the end is missing."""
IMAGE_SUFFIXES = frozenset(suffix for kind in KINDS for suffix in kind.suffixes)
"""Names by which photographs are found without opening them (lower case, with the dot)."""

_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"II+\0", TIFF),
    (b"MM\0+", TIFF),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"BM", BMP),
    (b"\x00\x00\x00\x0cjP  ", JPEG_2000),
    (b"\xff\x4f\xff\x51", JPEG_2000),
)
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2"}
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "pdf"),
    (b"%!PS", "postscript"),
    (b"8BPS", "photoshop"),
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"\xff\x0a", "jpeg_xl"),
    (b"\x00\x00\x00\x0cJXL ", "jpeg_xl"),
    (b"FUJIFILMCCD-RAW", "raw_kind"),
    (b"IIU\0", "raw_kind"),
    (b"IIRO", "raw_kind"),
    (b"\x1aE\xdf\xa3", "video"),
    (b"\x00\x05\x16\x07", "apple_double"),
)


def kind_of(head: bytes) -> Kind | None:
    """The format that a file with these first bytes has; None where it is no image we read."""
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    if head[:1] == b"P" and head[1:2] in b"123456fF" and head[2:3] in b" \t\r\n#" and head[2:3]:
        return PNM
    if head[4:8] == b"ftyp":
        return _boxed_kind(head)
    return None


def _boxed_kind(head: bytes) -> Kind | None:
    """HEIC and AVIF share their container with video: the brands tell."""
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[i : i + 4] for i in range(16, size - 3, 4))}
    if head[8:12] in {b"avif", b"avis"} or (head[8:12] in _HEIF_BRANDS and b"avif" in brands):
        return AVIF
    return HEIC if head[8:12] in _HEIF_BRANDS else None


def other_kind(head: bytes) -> Note:
    """What a file that is no photograph looks like, with its article: `a PDF document`."""
    return Note(_name_of_other(head))


def _name_of_other(head: bytes) -> str:
    for magic, name in _OTHERS:
        if head.startswith(magic):
            return name
    if head[4:8] == b"ftyp":
        raw = head[8:12] == b"crx "
        return "raw_kind" if raw else "video"
    if not head.strip(b"\0"):
        return "zeros" if head else "nothing"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text:
        return "svg"
    if text.startswith((b"<!doctype html", b"<html")):
        return "web_page"
    if not set(head) & {*range(9), *range(14, 32)}:
        return "text"
    return "unknown"
