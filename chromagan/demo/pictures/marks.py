"""PNG files as they leave the server: lossless, marked as AI-colorized, nothing inherited."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from chromagan.demo.visitors.folders import new_path
from chromagan.images.png import write_png
from chromagan.images.provenance import DESCRIPTION, Provenance

Pixels = npt.NDArray[np.uint8]

MARK = "AI-colorized"


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
    part = path.parent / ".part"  # the folder is this file's own, or the page's
    with part.open("wb") as file:
        write_png(file, np.ascontiguousarray(image), text=metadata(made) if made else None)
    os.replace(part, path)
    return str(path)


def save_preview(image: Pixels, name: str) -> str:
    """A picture for the page, lossless like everything else."""
    return save_png(image, new_path(f"{name}.png"))


def save_result(image: Pixels, name: str, made: Provenance) -> str:
    """A picture for the visitor to keep: `<name>-colorized.png`."""
    return save_png(image, new_path(f"{name}-colorized.png"), made)


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
