"""Files as they leave the server: marked as AI-colorized, nothing inherited unless asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from chromagan.demo.visitors.folders import new_path
from chromagan.files import complete_file
from chromagan.images import Metadata, Note
from chromagan.images.metadata.provenance import DESCRIPTION, Provenance
from chromagan.images.pixels import to_bytes
from chromagan.images.png import write_png
from chromagan.images.writing import Style, write_result

Pixels = npt.NDArray[np.uint8]

MARK = "AI-colorized"
_SUFFIXES = {"png": ".png", "jpeg": ".jpg", "tiff": ".tif"}


@dataclass(frozen=True)
class Form:
    """What file a download is. keep_metadata: the photograph's own EXIF, IPTC and XMP as well."""

    kind: Literal["png", "jpeg", "tiff"] = "png"
    keep_metadata: bool = False


class Saved(NamedTuple):
    """A file for the visitor to keep; notes: what of the photograph is not in it."""

    path: str
    notes: tuple[Note, ...] = ()


def metadata(made: Provenance) -> dict[str, str]:
    """The discreet mark: PNG texts, and XMP that image banks and newsrooms read."""
    return {
        "Software": f"ChromaGAN ({made.network})",
        "Comment": MARK,
        "Description": DESCRIPTION,
        "XML:com.adobe.xmp": made.packet().decode(),
    }


def save_png(image: Pixels, path: Path, made: Provenance | None = None) -> str:
    """Write a lossless PNG atomically; `made` adds the mark (previews go without)."""
    with complete_file(path) as file:
        write_png(file, np.ascontiguousarray(image), text=metadata(made) if made else None)
    return str(path)


def save_preview(image: Pixels, name: str) -> str:
    """A picture for the page, lossless like everything else."""
    return save_png(image, new_path(f"{name}.png"))


def save_result(
    image: npt.NDArray[Any],
    name: str,
    made: Provenance,
    form: Form | None = None,
    found: Metadata | None = None,
) -> Saved:
    """A picture for the visitor to keep: `<name>-colorized.png`, or as `form` says.

    found: the photograph's own metadata, for a form that keeps it.
    """
    form = form or Form()
    path = new_path(f"{name}-colorized{_SUFFIXES[form.kind]}")
    if form == Form():
        return Saved(save_png(image, path, made))
    style = Style(keep_metadata=form.keep_metadata)
    return Saved(str(path), write_result(path, image, found or Metadata(), made, style))


def stamped(image: Pixels) -> Pixels:
    """A copy with a small readable "AI-colorized" in the lower right corner, if it has room."""
    height, width = image.shape[:2]
    size = max(11, round(min(height, width) * 0.028))
    font = ImageFont.load_default(size)
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas, "RGBA")
    left, top, right, bottom = draw.textbbox((0, 0), MARK, font=font)
    pad = size // 2
    x, y = width - (right - left) - 2 * pad, height - (bottom - top) - 2 * pad
    if x < 0 or y < 0:
        return image
    box = (x - pad, y - pad, width - pad // 2, height - pad // 2)
    draw.rounded_rectangle(box, radius=pad, fill=(0, 0, 0, 110))
    draw.text((x - left, y - top - pad // 4), MARK, font=font, fill=(255, 255, 255, 235))
    return np.asarray(canvas)


def stamped_deep(image: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    """`stamped` for 16 bits; what the mark does not touch stays exactly as it is."""
    plain = to_bytes(image)
    marked = stamped(plain)
    result: npt.NDArray[np.uint16] = np.where(
        marked == plain, image, marked.astype(np.uint16) * np.uint16(257)
    )
    return result
