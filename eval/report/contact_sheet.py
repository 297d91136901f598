"""Contact sheets: pictures of any size composed into a labelled grid."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from chromagan.color import Rgb8

FORMATS = {".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}


@dataclass(frozen=True)
class Style:
    """Sizes in pixels; colours as hexadecimal sRGB."""

    cell: int = 192
    gap: int = 6
    label: int = 22
    background: str = "#ffffff"
    ink: str = "#222222"


def contact_sheet(
    rows: Sequence[Sequence[Rgb8]],
    columns: Sequence[str],
    labels: Sequence[str] | None = None,
    style: Style | None = None,
) -> Image.Image:
    """Compose pictures (any sizes, aspect kept) into a grid.

    `rows[i][j]` belongs under `columns[j]`; `labels[i]`, where given, stands below row i. A row's
    pictures share one height: the tallest of them when each is fitted into a `cell` wide square.
    """
    style = style or Style()
    if any(len(row) != len(columns) for row in rows) or not rows:
        raise ValueError("every row of a sheet needs one picture per column")
    fitted = [[_fit(picture, style.cell) for picture in row] for row in rows]
    heights = [max(picture.height for picture in row) for row in fitted]
    below = style.label if labels else 0
    step = style.cell + style.gap
    height = style.label + style.gap + sum(h + style.gap + below for h in heights)
    sheet = Image.new("RGB", (len(columns) * step + style.gap, height), style.background)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=style.label * 0.62)
    for column, name in enumerate(columns):
        center = style.gap + column * step + style.cell // 2
        pen.text((center, 4), name, fill=style.ink, font=font, anchor="ma")
    top = style.label
    for index, row in enumerate(fitted):
        for column, picture in enumerate(row):
            left = style.gap + column * step + (style.cell - picture.width) // 2
            sheet.paste(picture, (left, top))
        top += heights[index]
        if labels:
            pen.text((style.gap, top + 2), labels[index], fill=style.ink, font=font)
        top += style.gap + below
    return sheet


def side_by_side(
    rows: Sequence[Sequence[Rgb8]],
    columns: Sequence[str],
    labels: Sequence[str] | None,
    style: Style,
    blocks: int,
) -> Image.Image:
    """`contact_sheet` in blocks beside one another, for pages that are wider than high."""
    size = -(-len(rows) // blocks)
    sheets = [
        contact_sheet(rows[i : i + size], columns, labels and labels[i : i + size], style)
        for i in range(0, len(rows), size)
    ]
    width, height = sum(s.width for s in sheets), max(s.height for s in sheets)
    joined = Image.new("RGB", (width, height), style.background)
    left = 0
    for sheet in sheets:
        joined.paste(sheet, (left, 0))
        left += sheet.width
    return joined


def encode(sheet: Image.Image, suffix: str, quality: int = 82) -> bytes:
    """The sheet as a WebP, JPEG or PNG file. Raises ValueError for another suffix."""
    kind = FORMATS.get(suffix.lower())
    if kind is None:
        raise ValueError(f"a sheet is written as {', '.join(FORMATS)}, not {suffix!r}")
    buffer = io.BytesIO()
    options = {"WEBP": {"quality": quality, "method": 6}, "JPEG": {"quality": quality}}
    sheet.save(buffer, kind, **options.get(kind, {}))
    return buffer.getvalue()


def _fit(picture: Rgb8, cell: int) -> Image.Image:
    height, width = picture.shape[:2]
    scale = cell / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.LANCZOS)
