"""RGB pixels, what is said of them, how they were made -> files that are complete or not there."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from chromagan.files import complete_file
from chromagan.images.messages import ImageError, Note, brief
from chromagan.images.metadata.exif import (
    BYTE,
    ICC,
    IPTC,
    ORIENTATION,
    RESOLUTION_UNIT,
    UNDEFINED,
    X_RESOLUTION,
    XMP,
    Y_RESOLUTION,
    Exif,
    Value,
    extend_tiff,
    for_result,
)
from chromagan.images.metadata.provenance import Provenance
from chromagan.images.metadata.reading import Metadata, iptc_resource
from chromagan.images.metadata.xmp import Packet, add_as_xmp
from chromagan.images.pixels import to_bytes
from chromagan.images.png import Chunk, international_text, raw_profile, write_png
from chromagan.images.profiles import from_srgb, profile_space, srgb_profile

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
DEFAULT_QUALITY = 95
_JPEG_SUFFIXES, _TIFF_SUFFIXES = {".jpg", ".jpeg"}, {".tif", ".tiff"}
_IPTC_SUFFIXES = _JPEG_SUFFIXES | _TIFF_SUFFIXES | {".png"}
_JPEG_BYTES, _LONG_VALUE = 65_500, 1024  # of one segment; of one EXIF value
_IPTC_BYTES = 65_000  # of a JPEG's segment, which holds a header as well
_STRIP_BYTES = 1 << 18
_XMP_KEY = "XML:com.adobe.xmp"


@dataclass(frozen=True)
class Style:
    """`quality` of the lossy formats, and what is carried on from the input."""

    quality: int = DEFAULT_QUALITY
    keep_metadata: bool = True
    keep_profile: bool = False


def write_result(
    path: Path,
    pixels: NDArray[Any],
    found: Metadata,
    provenance: Provenance,
    style: Style | None = None,
) -> tuple[Note, ...]:
    """Write sRGB `(H, W, 3)` with its provenance; returns what is lost in writing.

    The result says it too, behind the notes of `provenance`.

    Raises `ImageError` when it cannot be written.
    """
    style = style or Style()
    suffix = path.suffix.lower()
    kept = found if style.keep_metadata else Metadata()
    notes: list[Note] = []
    icc = None
    if style.keep_profile:
        pixels, icc = _in_own_profile(pixels, found, notes)
    size = (pixels.shape[1], pixels.shape[0])
    exif = None
    if style.keep_metadata:
        exif = for_result(kept.exif or Exif(), size, kept.dpi, srgb=icc is None)
        exif = _fitting(exif, suffix, notes)
    xmp = _packet(kept, provenance, notes)
    if suffix in _JPEG_SUFFIXES and len(xmp) > _JPEG_BYTES:
        notes.append(Note("xmp_long"))
        xmp = _packet(Metadata(), provenance, notes)
    iptc = kept.iptc if suffix in _IPTC_SUFFIXES else None
    extras = Metadata(exif, xmp, iptc, icc, texts=kept.texts)
    write_image(path, pixels, extras=extras, quality=style.quality)
    return tuple(notes)


def _packet(kept: Metadata, provenance: Provenance, notes: list[Note]) -> bytes:
    """The input's XMP without what was true of its pixels only, with what was done to it."""
    packet = Packet(kept.xmp)
    packet.remove_stale()
    if kept.xmp and packet.damaged:
        notes.append(Note("xmp_damaged"))
    add_as_xmp(packet, kept.iptc, kept.texts)
    replace(provenance, notes=(*provenance.notes, *notes)).write_into(packet)
    return packet.bytes()


def _fitting(exif: Exif, suffix: str, notes: list[Note]) -> Exif:
    """What of it the format can hold: in a TIFF maker notes would have to move."""
    if suffix in _TIFF_SUFFIXES and exif.maker is not None:
        exif = replace(exif, maker=None, maker_lost=True)
    if exif.maker_lost:
        notes.append(Note("maker"))
    longest = _LONG_VALUE
    while suffix in _JPEG_SUFFIXES and len(exif.to_bytes()) > _JPEG_BYTES:
        notes.extend([Note("exif_long")] if longest == _LONG_VALUE else [])
        exif = exif.shortened(longest)
        longest //= 8
    return exif


def _in_own_profile(
    pixels: NDArray[Any], found: Metadata, notes: list[Note]
) -> tuple[NDArray[Any], bytes | None]:
    if found.icc is None:
        return pixels, None
    if profile_space(found.icc) != "RGB":
        notes.append(Note("profile_none"))
        return pixels, None
    try:
        return np.asarray(from_srgb(pixels, found.icc)), found.icc
    except Exception as error:  # a profile without a way back
        notes.append(Note("profile_bad", reason=brief(error)))
        return pixels, None


def write_image(
    path: str | Path,
    image: Pixels,
    *,
    extras: Metadata | None = None,
    quality: int = DEFAULT_QUALITY,
) -> None:
    """Write RGB `(H, W, 3)`, uint8 or uint16, in the format that the suffix tells.

    PNG and TIFF keep 16 bits, JPEG, WebP and AVIF are written at 8 with `quality` 1..100. The file
    appears under its name complete or not at all. All it carries is `extras`, of which formats
    without plain texts leave these out; their profile is what the pixels are in.

    Raises `ImageError` when the suffix is none of these or the disk refuses.
    """
    path = Path(path)
    suffix, extras = path.suffix.lower(), extras or Metadata()
    if suffix not in WRITABLE_SUFFIXES:
        kinds = " ".join(WRITABLE_SUFFIXES)
        raise ImageError(str(path), f"results are written as one of {kinds}")
    try:
        with complete_file(path) as stream:
            _WRITERS[suffix](stream, image, extras, quality)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImageError(str(path), f"the result cannot be written ({reason})") from None
    except (ValueError, struct.error) as error:  # what does not fit into the format
        raise ImageError(str(path), f"the result cannot be written ({brief(error)})") from None


def _png(stream: BinaryIO, image: Pixels, extras: Metadata, _: int) -> None:
    chunks: list[Chunk] = []
    if extras.exif is not None:
        chunks.append((b"eXIf", extras.exif.to_bytes()))
        if (density := _inches(extras.exif)) is not None:
            per_metre = (round(pixels / 0.0254) for pixels in density)
            chunks.append((b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if extras.iptc:
        chunks.append((b"zTXt", raw_profile("iptc", iptc_resource(extras.iptc))))
    texts = dict(extras.texts)
    if extras.xmp:
        texts[_XMP_KEY] = extras.xmp.decode("utf-8", "replace")
    chunks += [(b"iTXt", international_text(key, value)) for key, value in texts.items()]
    write_png(stream, image, chunks=chunks, icc=extras.icc)


def _inches(exif: Exif) -> tuple[float, float] | None:
    """Pixels per inch."""
    values = [exif.main.get(tag) for tag in (X_RESOLUTION, Y_RESOLUTION)]
    unit = exif.main.get(RESOLUTION_UNIT)
    centimetres = unit is not None and unit.data[:2] == struct.pack(f"{exif.order}H", 3)
    result = []
    for value in values:
        if value is None or len(value.data) != 8:
            return None
        above, below = struct.unpack(f"{exif.order}II", value.data)
        result.append(above / max(below, 1) * (2.54 if centimetres else 1))
    return (result[0], result[1]) if all(1 <= r < 1e6 for r in result) else None


def _lossy(kind: str, **options: Any) -> Writer:
    """Pillow's writer of that kind, with these options beside what all have."""

    def write(stream: BinaryIO, image: Pixels, extras: Metadata, quality: int) -> None:
        from PIL import Image

        more: dict[str, Any] = {"icc_profile": extras.icc or srgb_profile(), **options}
        exif = extras.exif
        if exif is not None and kind == "AVIF":  # with an orientation Pillow writes all of it anew
            upright = {tag: v for tag, v in exif.main.items() if tag != ORIENTATION}
            exif = replace(exif, main=upright)
        if exif is not None:
            more["exif"] = b"Exif\0\0" + exif.to_bytes()
            if kind == "JPEG" and (density := _inches(exif)) is not None:
                more["dpi"] = density
        if extras.xmp:
            more["xmp"] = extras.xmp
        if kind == "JPEG" and extras.iptc and len(extras.iptc) < _IPTC_BYTES:
            body = b"Photoshop 3.0\0" + iptc_resource(extras.iptc)
            more["extra"] = b"\xff\xed" + struct.pack(">H", len(body) + 2) + body
        pixels = to_bytes(image) if image.dtype == np.uint16 else image
        Image.fromarray(pixels).save(stream, kind, quality=quality, **more)

    return write


def _tiff(stream: BinaryIO, image: Pixels, extras: Metadata, _: int) -> None:
    """Deflate with the horizontal predictor; the tags are added in a directory at the end."""
    import tifffile

    exif = extras.exif or Exif()
    rows = max(1, _STRIP_BYTES // (image.shape[1] * 3 * image.dtype.itemsize))
    tifffile.imwrite(
        stream,
        image,
        photometric="rgb",
        compression="zlib",
        compressionargs={"level": 4},
        predictor=True,
        rowsperstrip=rows,
        byteorder="<" if exif.order == "<" else ">",
        software=False,
        metadata=None,
        maxworkers=1,
    )
    icc = extras.icc or srgb_profile()
    more = {ICC: (UNDEFINED, icc), XMP: (BYTE, extras.xmp), IPTC: (UNDEFINED, extras.iptc)}
    tags = {tag: Value(kind, len(data), data) for tag, (kind, data) in more.items() if data}
    extend_tiff(stream, exif, tags)


Writer = Callable[[BinaryIO, Pixels, Metadata, int], None]
_jpeg = _lossy("JPEG", subsampling=0)
_WRITERS: dict[str, Writer] = {
    ".png": _png,
    ".tif": _tiff,
    ".tiff": _tiff,
    ".jpg": _jpeg,
    ".jpeg": _jpeg,
    ".webp": _lossy("WEBP", method=2),
    ".avif": _lossy("AVIF", subsampling="4:4:4", speed=8),
}
WRITABLE_SUFFIXES = tuple(_WRITERS)
DEEP_SUFFIXES = frozenset({".png", *_TIFF_SUFFIXES})
"""Formats that keep 16 bits."""
