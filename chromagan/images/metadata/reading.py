"""What a photograph's file says beside its pixels, and what of it a result may carry on.

Kept: EXIF, IPTC (IIM), XMP, texts, resolution. Made true again: orientation (the pixels are
upright), size. Dropped: thumbnails and maker notes (previews of the grey photograph, and data whose
places have moved), the structure of the old file.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, BinaryIO

from chromagan.images.kinds import AVIF, PNG
from chromagan.images.metadata.exif import ICC, IPTC, PHOTOSHOP, XMP, Exif, parse_exif, read_exif
from chromagan.images.metadata.xmp import Packet

if TYPE_CHECKING:
    from chromagan.images.opening import Opened
    from chromagan.images.tiff import Page

_IPTC_RESOURCE = 0x0404
_TEXTS = {"Title", "Author", "Description", "Copyright", "Creation Time", "Source"}
_TEXTS |= {"Disclaimer", "Comment"}
_RAW_EXIF, _RAW_IPTC = "Raw profile type exif", "Raw profile type iptc"
_MAX_TEXT = 100_000
_MANIFEST_REACH = 1 << 20
# C2PA's boxes: an APP11 segment in JPEG, a caBX chunk in PNG, a C2PA chunk in RIFF, a tag in TIFF
_MANIFEST_MARKS = (b"jumdc2pa", b"c2pa.claim", b"c2pa.assertions")


@dataclass(frozen=True)
class Metadata:
    """What stands in a file beside its pixels: EXIF, XMP packet, IPTC records, profile.

    `icc` is None for sRGB. `dpi`: pixels per inch. `texts`: a PNG's or JPEG's plain texts.
    `manifest`: the file carries Content Credentials, or its XMP names some.
    """

    exif: Exif | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    manifest: bool = False


def xmp_of(file: Opened) -> bytes | None:
    """The XMP packet, from the header alone."""
    if file.page is not None:
        return _bytes(file.page.value(XMP))
    info = file.image.info if file.image is not None else {}
    found = info.get("XML:com.adobe.xmp") or info.get("xmp")
    return found.encode() if isinstance(found, str) else _bytes(found)


def read_metadata(file: Opened, cut: bool = False) -> Metadata:
    """Everything that may be kept, after the pixels were decoded (a PNG may end with it).

    Damaged parts count as missing. `cut`: the file has no end.
    """
    if file.page is not None:
        found = _of_page(file.page, file.stream)
    else:
        assert file.image is not None
        info = dict(file.image.info)
        if file.kind is PNG and not cut:
            info |= getattr(file.image, "text", {})
        if file.kind is AVIF:
            info["exif"] = _boxed_exif(file) or info.get("exif")
        found = Metadata(
            exif=_exif(info),
            xmp=xmp_of(file),
            iptc=_iptc(info),
            icc=_bytes(info.get("icc_profile")),
            dpi=_dpi(info),
            texts=_texts(info),
        )
    return replace(found, manifest=has_manifest(file) or _names_manifest(found.xmp))


def _of_page(page: Page, stream: BinaryIO) -> Metadata:
    """The tags of a TIFF's page that tell of the photograph, with the directories below them."""
    raw = page.raw
    try:
        exif = read_exif(stream, raw.offset, raw.parent.byteorder, raw.parent.is_bigtiff)
    except Exception:  # damaged tags must not cost the photograph
        exif = None
    resources = _bytes(page.value(PHOTOSHOP))
    return Metadata(
        exif=exif,
        xmp=_bytes(page.value(XMP)),
        iptc=_bytes(page.value(IPTC)) or (iptc_in_resources(resources) if resources else None),
        icc=_bytes(page.value(ICC)),
    )


def has_manifest(file: Opened) -> bool:
    """Whether Content Credentials are inside, by the names of their boxes.

    They stand in front of the pixels (JPEG, PNG) or at the end (TIFF, WebP).
    """
    size = file.stream.seek(0, 2)
    for start in {0, max(0, size - _MANIFEST_REACH)}:
        file.stream.seek(start)
        data = file.stream.read(_MANIFEST_REACH)
        if any(mark in data for mark in _MANIFEST_MARKS):
            return True
    return False


def _names_manifest(xmp: bytes | None) -> bool:
    """Whether XMP says where Content Credentials lie that are kept apart from the file."""
    return b"provenance" in (xmp or b"") and Packet(xmp).get("dcterms:provenance") is not None


def _boxed_exif(file: Opened) -> bytes | None:
    """An AVIF's EXIF as it stands there.

    Pillow writes it anew where it contradicts the container's rotation, in ASCII: accents are lost.
    """
    try:
        from pillow_heif import open_heif

        file.stream.seek(0)
        found = open_heif(file.stream).info.get("exif")
    except Exception:  # the package may be missing or refuse the file
        return None
    return found if isinstance(found, bytes) else None


def _bytes(value: Any) -> bytes | None:
    if isinstance(value, bytes | bytearray):
        return bytes(value) or None
    if isinstance(value, tuple) and value and isinstance(value[0], int):  # IPTC written as LONGs
        try:
            return struct.pack(f"<{len(value)}I", *value)
        except struct.error:
            return None
    return value.encode() if isinstance(value, str) and value else None


def _exif(info: Mapping[Any, Any]) -> Exif | None:
    raw = info.get("exif")
    if raw is None and isinstance(info.get(_RAW_EXIF), str):
        raw = _unhex(info[_RAW_EXIF])
    try:
        return parse_exif(raw) if raw else None
    except Exception:  # damaged EXIF must not cost the photograph
        return None


def _iptc(info: Mapping[Any, Any]) -> bytes | None:
    resources = info.get("photoshop")
    if isinstance(resources, dict):
        return _bytes(resources.get(_IPTC_RESOURCE))
    raw = info.get(_RAW_IPTC)
    return iptc_in_resources(_unhex(raw)) if isinstance(raw, str) else None


def _unhex(raw: str) -> bytes:
    """ImageMagick's "raw profile": a line of name, one of length, and hexadecimal digits."""
    try:
        return bytes.fromhex("".join(raw.strip().splitlines()[2:]))
    except ValueError:
        return b""


def iptc_in_resources(data: bytes) -> bytes | None:
    """The IPTC records inside a row of Photoshop resources, or the data where they are bare."""
    if data.startswith(b"\x1c"):
        return data
    place = 0
    while data[place : place + 4] == b"8BIM" and place + 12 <= len(data):
        kind = int.from_bytes(data[place + 4 : place + 6], "big")
        name = data[place + 6] + 1
        start = place + 6 + name + name % 2
        size = int.from_bytes(data[start : start + 4], "big")
        if kind == _IPTC_RESOURCE:
            return data[start + 4 : start + 4 + size] or None
        place = start + 4 + size + size % 2
    return None


def iptc_resource(iptc: bytes) -> bytes:
    """IPTC records as the one Photoshop resource that carries them."""
    head = b"8BIM" + _IPTC_RESOURCE.to_bytes(2, "big") + b"\0\0" + len(iptc).to_bytes(4, "big")
    return head + iptc + b"\0" * (len(iptc) % 2)


def _dpi(info: Mapping[Any, Any]) -> tuple[float, float] | None:
    try:
        x, y = (float(value) for value in info["dpi"])
    except Exception:
        return None
    return (x, y) if 1 < x < 1e6 and 1 < y < 1e6 else None


def _texts(info: Mapping[Any, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in info.items():
        if isinstance(key, str) and key.title() in _TEXTS:
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            if isinstance(text, str) and len(text) <= _MAX_TEXT:
                found[key.title()] = str(text)
    return found
