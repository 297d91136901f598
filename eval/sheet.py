"""Contact sheets: photographs down, methods across, every column labelled.

    python -m eval.sheet --images chromagan/samples/color --methods full,no-gan --grey --truth \\
        --count 16 --seed 0 -o sheet.webp
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from chromagan.color import Rgb8, grey8, rgb8_to_lab
from chromagan.images import ImageError
from chromagan.samples import sample_paths
from eval.report.contact_sheet import FORMATS, Style, encode, side_by_side
from eval.report.tables import show
from eval.run.entries import Entry, EntryError, network, shortened
from eval.run.folder import write_bytes
from eval.run.photos import PhotoFile, PhotosError, open_photos


def choose(photos: list[PhotoFile], count: int, seed: int) -> list[PhotoFile]:
    """`count` photographs drawn without replacement, in their own order."""
    drawn = random.Random(seed).sample(range(len(photos)), min(count, len(photos)))
    return [photos[index] for index in sorted(drawn)]


def grey_version(image: Rgb8) -> Rgb8:
    """The photograph as the networks see it: its CIE L, no chroma."""
    return grey8(rgb8_to_lab(image)[0])


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
    except (PhotosError, EntryError, ValueError) as error:
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
    show(f"{args.out}: {len(rows)} photographs, {', '.join(columns)}")
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


def _named(photos: list[PhotoFile], names: list[str]) -> list[PhotoFile]:
    by_key = {photo.key: photo for photo in photos}
    if missing := [name for name in names if name not in by_key]:
        raise ValueError(f"--names: no photograph called {shortened(missing)}")
    return [by_key[name] for name in names]


def _read(
    photos: list[PhotoFile], args: argparse.Namespace
) -> tuple[list[PhotoFile], list[Rgb8], list[str]]:
    chosen, truths, failed = [], [], []
    for photo in photos if args.names else choose(photos, args.count, args.seed):
        try:
            truths.append(photo.read())
            chosen.append(photo)
        except ImageError as error:
            failed.append(str(error))
    return chosen, truths, failed


def _columns(
    photos: list[PhotoFile], truths: list[Rgb8], methods: list[Entry], args: argparse.Namespace
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


if __name__ == "__main__":
    raise SystemExit(main())
