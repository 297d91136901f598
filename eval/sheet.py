"""Contact sheets: photographs down, methods across, every column labelled.

    python -m eval.sheet --images chromagan/samples/color --methods full,no-gan --grey --truth \\
        --count 16 --seed 0 -o sheet.webp

`--worst N` and `--best N` choose by the PSNR gain of the first method instead of at random (all
photographs are coloured for it), `--by-kind` as many of every kind of scene.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chromagan.checkpoint.source import DEFAULT_CHECKPOINT
from chromagan.color import Rgb8, grey8, rgb8_to_lab
from chromagan.files import write_bytes
from chromagan.samples import sample_paths
from eval.measures.protocol import measure_gain
from eval.report.figures import FORMATS, Style, encode, side_by_side
from eval.report.tables import show
from eval.run.entries import Entry, named_paths, networks, shortened
from eval.run.photos import PhotoFile, open_photos, read_all
from eval.run.scenes import KINDS, SceneClassifier


@dataclass(frozen=True)
class Looked:
    """A photograph that was looked at before choosing: its kind of scene and its PSNR gain."""

    photo: PhotoFile
    kind: str = ""
    gain: float = 0.0


def choose(photos: list[PhotoFile], count: int, seed: int) -> list[PhotoFile]:
    """`count` photographs drawn without replacement, in their own order."""
    drawn = random.Random(seed).sample(range(len(photos)), min(count, len(photos)))
    return [photos[index] for index in sorted(drawn)]


def ranked(photos: Sequence[Looked], worst: int, best: int) -> list[tuple[str, PhotoFile]]:
    """The `best` and `worst` photographs of every kind by gain, with labels, best first.

    A photograph is never there twice.
    """
    chosen = []
    for kind in sorted({looked.kind for looked in photos}):
        order = sorted((x for x in photos if x.kind == kind), key=lambda looked: -looked.gain)
        rest = order[best:]
        places = [("best", x) for x in order[:best]]
        places += [("worst", x) for x in rest[max(0, len(rest) - worst) :]]
        chosen += [
            (f"{kind} {why}: {x.gain:+.1f} dB, {x.photo.key}".strip(), x.photo) for why, x in places
        ]
    return chosen


def main(argv: list[str] | None = None) -> int:
    """Colorize a random choice of photographs and lay the results out; 0, 1 or 2 as psnr does."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        if args.out.suffix.lower() not in FORMATS:
            raise ValueError(f"-o {args.out}: the suffix must be one of {', '.join(FORMATS)}")
        if min(args.worst, args.best) < 0:
            raise ValueError("--worst, --best: not below 0")
        if args.count < 1 or args.cell < 16 or args.side_by_side < 1:
            raise ValueError("--count, --side-by-side: at least 1; --cell: at least 16")
        photos = open_photos(args.images or sample_paths("color")[0].parent)
        if args.names:
            photos = _named(photos, args.names.split(","))
        weights = named_paths(args.weights, "--weights")
        methods = networks(args.methods, weights, args.device)
        if args.by_kind and not SceneClassifier(args.device):
            raise ValueError("--by-kind needs a checkpoint with a class head; none is here")
    except ValueError as error:
        parser.error(str(error))
    chosen, failed = _chosen(photos, methods[0], args)
    truths = dict(read_all(photo for _, photo in chosen))
    labelled = [item for item in chosen if item[1] in truths]
    failed += len(chosen) - len(labelled)
    if not labelled:
        print("no photograph could be read", file=sys.stderr)
        return 1
    columns = _columns(truths, methods, args)
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    captions = args.captions or args.worst or args.best or args.by_kind
    labels = [label for label, _ in labelled] if captions else None
    sheet = side_by_side(rows, list(columns), labels, Style(cell=args.cell), args.side_by_side)
    write_bytes(args.out, encode(sheet, args.out.suffix, args.quality))
    show(f"{args.out}: {len(rows)} photographs, {', '.join(columns)}")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m eval.sheet", description=main.__doc__)
    add = parser.add_argument
    add("--images", type=Path, metavar="DIR|TAR", help="photographs (default: the samples)")
    add(
        "--methods",
        default=DEFAULT_CHECKPOINT,
        metavar="A,B,…",
        help="columns (default: the default checkpoint)",
    )
    add("--weights", action="append", default=[], metavar="NAME=FILE")
    add("--names", metavar="A,B,…", help="these photographs, by name without suffix")
    add("--count", type=int, default=16, help="photographs, drawn at random (default 16)")
    add("--seed", type=int, default=0, help="of the draw (default 0)")
    add("--worst", type=int, default=0, metavar="N", help="the N with the least PSNR gain")
    add("--best", type=int, default=0, metavar="N", help="the N with the largest PSNR gain")
    add("--by-kind", action="store_true", help="--worst, --best or --count of every kind of scene")
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


def _chosen(
    photos: list[PhotoFile], method: Entry, args: argparse.Namespace
) -> tuple[list[tuple[str, PhotoFile]], int]:
    """The photographs of the sheet with their labels, and how many could not be looked at."""
    by_gain = bool(args.worst or args.best)
    if not (by_gain or args.by_kind):
        drawn = photos if args.names else choose(photos, args.count, args.seed)
        return [(photo.key, photo) for photo in drawn], 0
    colorize = method.load() if by_gain else None
    classifier = SceneClassifier(args.device) if args.by_kind else None
    looked = []
    for photo, truth in read_all(photos):
        kind = classifier.kind(truth) if classifier else ""
        gain = measure_gain(truth, colorize(photo, truth)) if colorize else 0.0
        looked.append(Looked(photo, kind, gain))
    failed = len(photos) - len(looked)
    if by_gain:
        return ranked(looked, args.worst, args.best), failed
    kinds = {kind: [x.photo for x in looked if x.kind == kind] for kind in KINDS}
    return [
        (f"{kind}: {photo.key}", photo)
        for kind, same in kinds.items()
        for photo in choose(same, args.count, args.seed)
    ], failed


def _columns(
    truths: dict[PhotoFile, Rgb8], methods: list[Entry], args: argparse.Namespace
) -> dict[str, list[Rgb8]]:
    columns: dict[str, list[Rgb8]] = {}
    if args.grey:
        columns["input"] = [grey8(rgb8_to_lab(truth)[0]) for truth in truths.values()]
    for method in methods:
        colorize = method.load()
        columns[method.name] = [colorize(photo, truth) for photo, truth in truths.items()]
    if args.truth:
        columns["truth"] = list(truths.values())
    return columns


if __name__ == "__main__":
    raise SystemExit(main())
