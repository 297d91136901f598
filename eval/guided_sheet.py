"""Old photographs before, after, and after some clicks: what guides files make of the samples.

python -m eval.guided_sheet chromagan/samples/guides -o checkpoints/pictures/guided.webp
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from chromagan.checkpoint.source import DEFAULT_CHECKPOINT
from chromagan.color import Rgb8
from chromagan.files import write_bytes
from chromagan.images import read_image
from chromagan.inference.colorizer import ChromaGANColorizer, load_colorizer
from chromagan.inference.guides import Guides, read_guides
from chromagan.inference.guides.guidance import apply_guides
from chromagan.inference.recolour import luminance, recolour
from chromagan.samples import sample_paths
from eval.report.figures import FORMATS, Style, contact_sheet, encode
from eval.report.tables import show

_LONGEST = 640  # pixels a side: what a sheet can show


def row_of(photo: Rgb8, guides: Guides, colorizer: ChromaGANColorizer) -> list[Rgb8]:
    """The photograph in grey, as the network colours it, and with the guides, which are marked."""
    prediction = colorizer.predict(photo)
    none = np.zeros_like(prediction.ab)
    coloured = [recolour(photo, ab) for ab in (none, prediction.ab)]
    guided = recolour(photo, apply_guides(prediction, guides))
    return [*coloured, marked(guided, guides)]


def marked(photo: Rgb8, guides: Guides) -> Rgb8:
    """A ring around every point."""
    picture = Image.fromarray(photo)
    draw = ImageDraw.Draw(picture)
    radius = max(photo.shape[:2]) / 60
    for point in guides.points:
        x, y = point.x * photo.shape[1], point.y * photo.shape[0]
        box = (x - radius, y - radius, x + radius, y + radius)
        dark = luminance(photo)[int(point.y * (len(photo) - 1)), int(x) - 1] < 60
        draw.ellipse(box, outline="white" if dark else "black", width=max(1, round(radius / 3)))
    return np.asarray(picture)


def main(argv: list[str] | None = None) -> int:
    """Draw the sheet; 0 = written, 2 = wrong call."""
    parser = argparse.ArgumentParser(prog="python -m eval.guided_sheet", description=main.__doc__)
    add = parser.add_argument
    add("guides", type=Path, metavar="DIR", help="<stem>.json of the historic samples")
    add("--checkpoint", default=DEFAULT_CHECKPOINT, metavar="NAME|FILE")
    add("--cell", type=int, default=300, help="width of a picture in pixels (default 300)")
    add("-o", "--out", type=Path, required=True, metavar="FILE", help=".webp, .jpg or .png")
    args = parser.parse_args(argv)
    if args.out.suffix not in FORMATS:
        parser.error(f"-o {args.out}: {', '.join(FORMATS)}")
    chosen = [(path, args.guides / f"{path.stem}.json") for path in sample_paths("historic")]
    chosen = [(photo, guides) for photo, guides in chosen if guides.is_file()]
    if not chosen:
        parser.error(f"{args.guides}: no <stem>.json of a historic sample is in it")
    try:
        colorizer = load_colorizer(args.checkpoint)
        rows = [row_of(_small(photo), read_guides(file), colorizer) for photo, file in chosen]
    except ValueError as error:
        parser.error(str(error))
    sheet = contact_sheet(rows, ["photograph", "coloured", "after clicks"], None, Style(args.cell))
    write_bytes(args.out, encode(sheet, args.out.suffix, 82))
    show(f"{args.out}: {len(rows)} photographs")
    return 0


def _small(path: Path) -> Rgb8:
    picture = Image.fromarray(read_image(path))
    picture.thumbnail((_LONGEST, _LONGEST))
    return np.asarray(picture)


if __name__ == "__main__":
    raise SystemExit(main())
