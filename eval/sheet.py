"""Contact sheets: photographs down, methods across, every column labelled.

    python -m eval.sheet --images chromagan/samples/color --methods full,no-gan --grey --truth \\
        --count 16 --seed 0 -o sheet.webp
"""

from __future__ import annotations

import argparse
import io
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from chromagan.images import ImageError
from chromagan.samples import sample_paths
from eval.contestants import Contestant, ContestantError, network, shortened
from eval.folder import write_bytes
from eval.lab import Rgb8, grey_of, rgb_to_lab
from eval.photos import Photo, PhotosError, open_photos

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
    width = len(columns) * (style.cell + style.gap) + style.gap
    height = style.label + style.gap + sum(h + style.gap + below for h in heights)
    sheet = Image.new("RGB", (width, height), style.background)
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(columns):
        _text(pen, name, column, 0, style)
    top = style.label
    for index, row in enumerate(fitted):
        for column, picture in enumerate(row):
            left = style.gap + column * (style.cell + style.gap)
            sheet.paste(picture, (left + (style.cell - picture.width) // 2, top))
        top += heights[index]
        if labels:
            left = style.gap
            pen.text((left, top + 2), labels[index], fill=style.ink, font=_font(style))
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
    options = {} if kind == "PNG" else {"quality": quality}
    if kind == "WEBP":
        options["method"] = 6
    sheet.save(buffer, kind, **options)
    return buffer.getvalue()


def choose(photos: list[Photo], count: int, seed: int) -> list[Photo]:
    """`count` photographs drawn without replacement, in their own order."""
    drawn = random.Random(seed).sample(range(len(photos)), min(count, len(photos)))
    return [photos[index] for index in sorted(drawn)]


def grey_version(image: Rgb8) -> Rgb8:
    """The photograph as the networks see it: its CIE L, no chroma."""
    return grey_of(rgb_to_lab(image)[0])


def main(argv: list[str] | None = None) -> int:
    """Colorize a random choice of photographs and lay the results out; 0, 1 or 2 as psnr does."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        if args.out.suffix.lower() not in FORMATS:
            raise ValueError(f"-o {args.out}: the suffix must be one of {', '.join(FORMATS)}")
        if args.count < 1 or args.cell < 16 or args.side_by_side < 1:
            raise ValueError("--count, --side-by-side: at least 1; --cell: at least 16")
        photos = open_photos(args.images or sample_paths("color")[0].parent)
        if args.names:
            photos = _named(photos, args.names.split(","))
        weights = dict(item.split("=", 1) for item in args.weights)
        methods = [
            network(name, Path(weights[name]) if name in weights else None, args.device)
            for name in args.methods.split(",")
        ]
    except (PhotosError, ContestantError, ValueError) as error:
        parser.error(str(error))
    chosen, truths, failed = _read(photos, args)
    for line in failed:
        print(f"left out: {line}", file=sys.stderr)
    if not truths:
        print("no photograph could be read", file=sys.stderr)
        return 1
    columns = _columns(chosen, truths, methods, args)
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    labels = [photo.key for photo in chosen] if args.captions else None
    sheet = side_by_side(rows, list(columns), labels, Style(cell=args.cell), args.side_by_side)
    write_bytes(args.out, encode(sheet, args.out.suffix, args.quality))
    print(f"{args.out}: {len(rows)} photographs, {', '.join(columns)}")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m eval.sheet", description=main.__doc__)
    add = parser.add_argument
    add("--images", type=Path, metavar="DIR|TAR", help="photographs (default: the samples)")
    add("--methods", default="lite", metavar="A,B,…", help="columns (default: lite)")
    add("--weights", action="append", default=[], metavar="NAME=FILE")
    add("--names", metavar="A,B,…", help="these photographs, by name without suffix")
    add("--count", type=int, default=16, help="photographs, drawn at random (default 16)")
    add("--seed", type=int, default=0, help="of the draw (default 0)")
    add("--grey", action="store_true", help="first column: the input")
    add("--truth", action="store_true", help="last column: the photograph itself")
    add("--side-by-side", type=int, default=1, metavar="N", help="break the rows into N blocks")
    add("--captions", action="store_true", help="file names below the rows")
    add("--cell", type=int, default=192, help="width of a picture in pixels (default 192)")
    add("--quality", type=int, default=82, help="of WebP and JPEG (default 82)")
    add("--device", default="auto")
    add("-o", "--out", type=Path, required=True, metavar="FILE", help=".webp, .jpg or .png")
    return parser


def _named(photos: list[Photo], names: list[str]) -> list[Photo]:
    by_key = {photo.key: photo for photo in photos}
    if missing := [name for name in names if name not in by_key]:
        raise ValueError(f"--names: no photograph called {shortened(missing)}")
    return [by_key[name] for name in names]


def _read(
    photos: list[Photo], args: argparse.Namespace
) -> tuple[list[Photo], list[Rgb8], list[str]]:
    chosen, truths, failed = [], [], []
    for photo in photos if args.names else choose(photos, args.count, args.seed):
        try:
            truths.append(photo.read())
            chosen.append(photo)
        except ImageError as error:
            failed.append(str(error))
    return chosen, truths, failed


def _columns(
    photos: list[Photo], truths: list[Rgb8], methods: list[Contestant], args: argparse.Namespace
) -> dict[str, list[Rgb8]]:
    columns: dict[str, list[Rgb8]] = {}
    if args.grey:
        columns["input"] = [grey_version(truth) for truth in truths]
    for method in methods:
        colorize = method.load()
        columns[method.name] = [colorize(p, truth) for p, truth in zip(photos, truths, strict=True)]
    if args.truth:
        columns["truth"] = truths
    return columns


def _fit(picture: Rgb8, cell: int) -> Image.Image:
    height, width = picture.shape[:2]
    scale = cell / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.LANCZOS)


def _text(pen: ImageDraw.ImageDraw, text: str, column: int, top: int, style: Style) -> None:
    center = style.gap + column * (style.cell + style.gap) + style.cell // 2
    pen.text((center, top + 4), text, fill=style.ink, font=_font(style), anchor="ma")


def _font(style: Style) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=style.label * 0.62)


if __name__ == "__main__":
    raise SystemExit(main())
