"""A coloured photograph -> its file: pixels, what the input said, and what was done to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chromagan.images.errors import brief
from chromagan.images.exif import Exif
from chromagan.images.iptc import as_xmp
from chromagan.images.metadata import Metadata, result_exif, result_packet
from chromagan.images.notes import Note
from chromagan.images.profiles import from_srgb, profile_space
from chromagan.images.provenance import Provenance
from chromagan.images.writing import DEFAULT_QUALITY, Extras, write_image
from chromagan.images.xmp import Packet

_JPEG = {".jpg", ".jpeg"}
_TIFF = {".tif", ".tiff"}
_IPTC_SUFFIXES = _JPEG | _TIFF | {".png"}
_JPEG_BYTES, _LONG_VALUE = 65_500, 1024  # of one segment; of one EXIF value


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
    exif = result_exif(kept, size, srgb=icc is None) if style.keep_metadata else None
    exif = _fitting(exif, suffix, notes)
    xmp = _packet(kept, provenance, notes).bytes()
    if suffix in _JPEG and len(xmp) > _JPEG_BYTES:
        notes.append(Note("xmp_long"))
        xmp = _packet(Metadata(), provenance, notes).bytes()
    write_image(
        path,
        pixels,
        extras=Extras(exif, xmp, _own_iptc(suffix, kept), icc, dict(kept.texts)),
        quality=style.quality,
    )
    return tuple(notes)


def _packet(kept: Metadata, provenance: Provenance, notes: list[Note]) -> Packet:
    packet = result_packet(kept)
    if kept.xmp and packet.damaged:
        notes.append(Note("xmp_damaged"))
    as_xmp(kept.iptc, kept.texts, packet)
    replace(provenance, notes=(*provenance.notes, *notes)).write_into(packet)
    return packet


def _own_iptc(suffix: str, kept: Metadata) -> bytes | None:
    return kept.iptc if suffix in _IPTC_SUFFIXES else None


def _fitting(exif: Exif | None, suffix: str, notes: list[Note]) -> Exif | None:
    """What of it the format can hold: in a TIFF maker notes would have to move."""
    if exif is None:
        return None
    if suffix in _TIFF and exif.maker is not None:
        exif = replace(exif, maker=None, maker_lost=True)
    if exif.maker_lost:
        notes.append(Note("maker"))
    longest = _LONG_VALUE
    while suffix in _JPEG and len(exif.to_bytes()) > _JPEG_BYTES:
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
