"""RGB pixels and what is said of them -> image files that appear complete or not at all."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from chromagan.files import complete_file
from chromagan.images import exif as exif_tags
from chromagan.images.errors import ImageError, brief
from chromagan.images.exif import Exif, Value
from chromagan.images.metadata import iptc_resource
from chromagan.images.png import Chunk, international_text, raw_profile, write_png
from chromagan.images.profiles import srgb_profile
from chromagan.images.samples import to_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
DEFAULT_QUALITY = 95
_XMP, _IPTC, _ICC = 700, 33723, 34675
_BYTE, _UNDEFINED = 1, 7
_MAX_SEGMENT = 65_000
_STRIP_BYTES = 1 << 18
_XMP_KEY = "XML:com.adobe.xmp"


@dataclass(frozen=True)
class Extras:
    """What is written beside the pixels; everything may be missing.

    `icc` is the profile that the pixels are in, None for sRGB (which is then said). `texts` are
    plain texts by key; formats without such texts leave them out.
    """

    exif: Exif | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    icc: bytes | None = None
    texts: Mapping[str, str] = field(default_factory=dict)


def write_image(
    path: str | Path,
    image: Pixels,
    *,
    extras: Extras | None = None,
    quality: int = DEFAULT_QUALITY,
) -> None:
    """Write RGB `(H, W, 3)`, uint8 or uint16, in the format that the suffix tells.

    PNG and TIFF keep 16 bits, JPEG, WebP and AVIF are written at 8 with `quality` 1..100. The file
    appears under its name complete or not at all; all it carries is `extras`.

    Raises `ImageError` when the suffix is none of these or the disk refuses.
    """
    path = Path(path)
    suffix, extras = path.suffix.lower(), extras or Extras()
    if suffix not in WRITABLE_SUFFIXES:
        kinds = " ".join(WRITABLE_SUFFIXES)
        raise ImageError(str(path), f"results are written as one of {kinds}")
    try:
        with complete_file(path) as stream:
            if suffix in _LOSSLESS:
                _LOSSLESS[suffix](stream, image, extras)
            else:
                _LOSSY[suffix](stream, image, extras, quality)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImageError(str(path), f"the result cannot be written ({reason})") from None
    except (ValueError, struct.error) as error:  # what does not fit into the format
        raise ImageError(str(path), f"the result cannot be written ({brief(error)})") from None


def _png(stream: BinaryIO, image: Pixels, extras: Extras) -> None:
    chunks: list[Chunk] = []
    if extras.exif is not None:
        chunks.append((b"eXIf", extras.exif.to_bytes()))
        if (density := _metres(extras.exif)) is not None:
            chunks.append((b"pHYs", struct.pack(">IIB", *density, 1)))
    if extras.iptc:
        chunks.append((b"zTXt", raw_profile("iptc", iptc_resource(extras.iptc))))
    texts = dict(extras.texts)
    if extras.xmp:
        texts[_XMP_KEY] = extras.xmp.decode("utf-8", "replace")
    chunks += [(b"iTXt", international_text(key, value)) for key, value in texts.items()]
    write_png(stream, image, chunks=chunks, icc=extras.icc)


def _metres(exif: Exif) -> tuple[int, int] | None:
    """Pixels per metre, as PNG wants the resolution."""
    density = _inches(exif)
    return None if density is None else (round(density[0] / 0.0254), round(density[1] / 0.0254))


def _inches(exif: Exif) -> tuple[float, float] | None:
    """Pixels per inch."""
    values = [exif.main.get(tag) for tag in (exif_tags.X_RESOLUTION, exif_tags.Y_RESOLUTION)]
    unit = exif.main.get(exif_tags.RESOLUTION_UNIT)
    centimetres = unit is not None and unit.data[:2] == struct.pack(f"{exif.order}H", 3)
    result = []
    for value in values:
        if value is None or len(value.data) != 8:
            return None
        above, below = struct.unpack(f"{exif.order}II", value.data)
        result.append(above / max(below, 1) * (2.54 if centimetres else 1))
    return (result[0], result[1]) if all(1 <= r < 1e6 for r in result) else None


def _pillow(image: Pixels) -> Image:
    from PIL import Image

    return Image.fromarray(to_bytes(image) if image.dtype == np.uint16 else image)


def _common(extras: Extras) -> dict[str, Any]:
    options: dict[str, Any] = {"icc_profile": extras.icc or srgb_profile()}
    if extras.exif is not None:
        options["exif"] = b"Exif\0\0" + extras.exif.to_bytes()
    if extras.xmp:
        options["xmp"] = extras.xmp
    return options


def _jpeg(stream: BinaryIO, image: Pixels, extras: Extras, quality: int) -> None:
    options = _common(extras)
    if extras.exif is not None and (density := _inches(extras.exif)) is not None:
        options["dpi"] = density
    if extras.iptc and len(extras.iptc) < _MAX_SEGMENT:
        body = b"Photoshop 3.0\0" + iptc_resource(extras.iptc)
        options["extra"] = b"\xff\xed" + struct.pack(">H", len(body) + 2) + body
    _pillow(image).save(stream, "JPEG", quality=quality, subsampling=0, **options)


def _webp(stream: BinaryIO, image: Pixels, extras: Extras, quality: int) -> None:
    _pillow(image).save(stream, "WEBP", quality=quality, method=2, **_common(extras))


def _avif(stream: BinaryIO, image: Pixels, extras: Extras, quality: int) -> None:
    options = _common(extras)
    if extras.exif is not None:  # with an orientation inside, Pillow writes all of it anew
        upright = {tag: v for tag, v in extras.exif.main.items() if tag != exif_tags.ORIENTATION}
        options["exif"] = b"Exif\0\0" + replace(extras.exif, main=upright).to_bytes()
    options |= {"quality": quality, "subsampling": "4:4:4", "speed": 8}
    _pillow(image).save(stream, "AVIF", **options)


def _tiff(stream: BinaryIO, image: Pixels, extras: Extras) -> None:
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
    more = {_ICC: _value(extras.icc or srgb_profile(), _UNDEFINED)}
    if extras.xmp:
        more[_XMP] = _value(extras.xmp, _BYTE)
    if extras.iptc:
        more[_IPTC] = _value(extras.iptc, _UNDEFINED)
    exif_tags.extend_tiff(stream, exif, more)


def _value(data: bytes, kind: int) -> Value:
    return Value(kind, len(data), data)


_LOSSLESS: dict[str, Callable[[BinaryIO, Pixels, Extras], None]] = {
    ".png": _png,
    ".tif": _tiff,
    ".tiff": _tiff,
}
_LOSSY: dict[str, Callable[[BinaryIO, Pixels, Extras, int], None]] = {
    ".jpg": _jpeg,
    ".jpeg": _jpeg,
    ".webp": _webp,
    ".avif": _avif,
}
WRITABLE_SUFFIXES = (*_LOSSLESS, *_LOSSY)
DEEP_SUFFIXES = frozenset(_LOSSLESS)
"""Formats that keep 16 bits."""
