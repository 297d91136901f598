"""RGB pixels -> image files that appear complete or not at all, without metadata of the input."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from chromagan.files import complete_file
from chromagan.images.errors import ImageError
from chromagan.images.png import write_png

_SAVE_OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"quality": 95, "method": 2}),
    ".tif": ("TIFF", {"compression": "tiff_lzw"}),
    ".tiff": ("TIFF", {"compression": "tiff_lzw"}),
}
WRITABLE_SUFFIXES = tuple(_SAVE_OPTIONS)
_DESCRIPTION_TAG = 0x010E


def write_image(
    path: str | Path, image: NDArray[np.uint8], *, text: Mapping[str, str] | None = None
) -> None:
    """Write uint8 RGB `(H, W, 3)` as PNG, JPEG, WebP or TIFF, told by the suffix.

    The file appears under its name complete or not at all. The only metadata is `text`: PNG text
    chunks by key; the other kinds store the values, joined, as the EXIF image description.

    Raises `ImageError` when the suffix is none of these or the disk refuses.
    """
    path = Path(path)
    if path.suffix.lower() not in _SAVE_OPTIONS:
        kinds = " ".join(WRITABLE_SUFFIXES)
        raise ImageError(str(path), f"results are written as one of {kinds}")
    try:
        with complete_file(path) as stream:
            _encode(stream, image, path.suffix.lower(), text or {})
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImageError(str(path), f"the result cannot be written ({reason})") from None


def _encode(
    stream: BinaryIO, image: NDArray[np.uint8], suffix: str, text: Mapping[str, str]
) -> None:
    from PIL import Image

    kind, options = _SAVE_OPTIONS[suffix]
    if kind == "PNG":
        write_png(stream, image, text=text)
        return
    if text:
        exif = Image.Exif()
        exif[_DESCRIPTION_TAG] = "; ".join(text.values())
        options = {**options, "exif": exif}
    Image.fromarray(image).save(stream, kind, **options)
