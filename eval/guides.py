"""What known colours buy: PSNR against the number of points, and a half as reference for the other.

    python eval/guides.py --images val.tar --out results/guides

writes `guides.json` (rows of method, points, gain_db, low, high), `guides.md`, `guides.html`, plot.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

if not __package__:  # `python eval/guides.py`: find the packages, not the modules beside this file
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from chromagan.checkpoint.source import DEFAULT_CHECKPOINT
from chromagan.color import Rgb8
from chromagan.files import write_text
from chromagan.images import ImageError
from chromagan.images.pixels import squash
from chromagan.inference.colorizer import ChromaGANColorizer, load_colorizer
from chromagan.inference.guides import Guides
from chromagan.inference.guides.guidance import apply_guides, field_of
from chromagan.inference.guides.propagation import MAX_SAMPLES
from chromagan.inference.recolour import recolour
from chromagan.samples import sample_paths
from eval.baselines import RELEASES, MethodError, load_method
from eval.baselines.zhang import UserGuided
from eval.measures.hints import COUNTS, SIDE, WAYS, official_psnr, random_points, truth_on
from eval.measures.protocol import estimate
from eval.report.figures import curves_figure, encode_png
from eval.report.tables import Picture, Section, TextTable, number, plain, show, write_page
from eval.run.photos import PhotoFile, open_photos

WORSE = 0.2
"""dB: a photograph that loses more than this has been made worse."""
ZHANG = "Zhang 2017, points as input"
REFERENCE = "other half as reference"
PROTOCOL = (
    "Random points, uniform over the places of the network's grid, seeded per photograph; their "
    "true colours; PSNR at 224² in the official definition, gain over the same network without "
    "points, mean over photographs with 95 % bootstrap interval. The published curves of Zhang et "
    "al. 2017 and iColoriT are over other images, sizes and networks: none is quoted beside these."
)

Gains = dict[tuple[str, int], list[float]]


@dataclass(frozen=True)
class Row:
    """A mean over photographs; `worse` is the share that loses more than 0.2 dB."""

    method: str
    points: int
    gain_db: float
    low: float
    high: float
    worse: float
    least_db: float
    photographs: int


def measure(
    photos: list[PhotoFile],
    colorizer: ChromaGANColorizer,
    methods: list[str],
    counts: Sequence[int] = COUNTS,
    seed: int = 0,
) -> Gains:
    """Gain in dB of every method and number of points, one value a photograph."""
    gains: Gains = defaultdict(list)
    zhang = _zhang() if ZHANG in methods else None
    for place, photo in enumerate(photos):
        try:
            truth = squash(photo.read(), SIDE)
        except ImageError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        prediction = colorizer.predict(truth)
        field = field_of(prediction)
        true_ab = truth_on(truth, field.luminance.shape)
        before = _score(truth, prediction.ab, colorizer)
        plain_zhang = official_psnr(truth, zhang(truth)) if zhang else 0.0
        for count in counts:
            places, colors = random_points(true_ab, count, (seed, place, count))
            for name in (name for name in methods if name in WAYS):
                ab = WAYS[name](field, places, colors) if count else prediction.ab
                gains[name, count].append(_score(truth, ab, colorizer) - before)
            if zhang:
                guided = official_psnr(truth, zhang.with_points(truth, places, colors))
                gains[ZHANG, count].append(guided - plain_zhang)
        if REFERENCE in methods:
            gains[REFERENCE, 0].append(_halves(truth, colorizer))
        if (place + 1) % 50 == 0:
            print(f"{place + 1} of {len(photos)} photographs", file=sys.stderr)
    return gains


def _score(truth: Rgb8, ab: np.ndarray, colorizer: ChromaGANColorizer) -> float:
    return official_psnr(truth, recolour(truth, ab, upsampling=colorizer.upsampling))


def _halves(truth: Rgb8, colorizer: ChromaGANColorizer) -> float:
    """The right half guided by the left one, each seen by the network as its own photograph."""
    left, right = (squash(np.ascontiguousarray(h), SIDE) for h in np.split(truth, 2, axis=1))
    prediction = colorizer.predict(right)
    known = Guides(references=(colorizer.learn(left),))
    guided = _score(right, apply_guides(prediction, known), colorizer)
    return guided - _score(right, prediction.ab, colorizer)


def rows_of(gains: Gains, seed: int) -> list[Row]:
    """Means with intervals."""
    rows = []
    for (method, points), values in gains.items():
        mean = estimate(values, seed)
        worse = float(np.mean(np.array(values) < -WORSE))
        low, high = (mean.low, mean.high)
        rows.append(Row(method, points, mean.mean, low, high, worse, min(values), mean.n))
    return sorted(rows, key=lambda row: (row.method, row.points))


def table_of(rows: list[Row]) -> TextTable:
    """One line a method and number of points."""
    header = ["method", "points", "gain (dB)", "95 %", f"worse by {WORSE} dB", "least (dB)"]
    body = [
        [
            row.method,
            str(row.points) if row.method != REFERENCE else "–",
            number(row.gain_db, signed=True),
            f"{row.low:.2f} … {row.high:.2f}",
            f"{row.worse:.1%}",
            number(row.least_db, signed=True),
        ]
        for row in rows
        if row.points or row.method == REFERENCE
    ]
    return TextTable("Known colours", header, body)


def write_report(folder: Path, rows: list[Row], about: str) -> list[Path]:
    """`guides.json`, the table and the plot."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "guides.json", json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows:
        if row.method != REFERENCE:
            x, y = curves.setdefault(row.method, ([], []))
            x.append(row.points)
            y.append(row.gain_db)
    figure = curves_figure(curves, "points", "gain in PSNR (dB)")
    figure.axes[0].set_xscale("symlog", linthresh=1)
    picture = Picture("guides.png", encode_png(figure), "gain against the number of points")
    sections = [Section(texts=[about, PROTOCOL], picture=picture, table=table_of(rows))]
    return [folder / "guides.json", *write_page(folder, "guides", "Known colours", sections)]


def main(argv: list[str] | None = None) -> int:
    """Measure what points and references buy; 0 = report written, 2 = wrong call."""
    args = _parser().parse_args(argv)
    try:
        photos = open_photos(args.images or sample_paths("color")[0].parent, args.limit)
        colorizer = load_colorizer(args.checkpoint)
        methods = _methods(args.methods)
    except ValueError as error:
        _parser().error(str(error))
    gains = measure(photos, colorizer, methods, args.points, args.seed)
    if not gains:
        print("no photograph could be measured", file=sys.stderr)
        return 1
    rows = rows_of(gains, args.seed)
    about = f"{rows[0].photographs} photographs, network {colorizer.name}, seed {args.seed}."
    written = write_report(args.out, rows, about)
    show(about, plain(table_of(rows)), *map(str, written))
    return 0


def _methods(listed: str | None) -> list[str]:
    known = [*WAYS, ZHANG, REFERENCE]
    names = known if listed is None else [name.strip() for name in listed.split(",")]
    if wrong := [name for name in names if name not in known]:
        raise ValueError(f"--methods: {wrong[0]!r} is none of {', '.join(known)}")
    if ZHANG in names:
        try:
            _zhang()
        except MethodError as error:
            print(f"without {ZHANG}: {error}", file=sys.stderr)
            names.remove(ZHANG)
    return names


def _zhang() -> UserGuided:
    method = load_method("zhang17")
    assert isinstance(method, UserGuided)
    if method.weights_file is None or method.weights_file.name != RELEASES["zhang17"].filename:
        raise MethodError("the authors' weights are not here: python -m eval.fetch zhang17")
    return method


def _counts(text: str) -> tuple[int, ...]:
    counts = tuple(int(count) for count in text.split(","))
    if min(counts) < 0 or max(counts) > MAX_SAMPLES:
        raise argparse.ArgumentTypeError(f"numbers of points are 0 to {MAX_SAMPLES}: {text}")
    return counts


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python eval/guides.py", description=main.__doc__)
    add = parser.add_argument
    add("--images", type=Path, metavar="DIR|TAR", help="colour photographs (default: the samples)")
    add("--checkpoint", default=DEFAULT_CHECKPOINT, metavar="NAME|FILE")
    add("--methods", metavar="A,B,…", help=f"of {', '.join([*WAYS, ZHANG, REFERENCE])}")
    counts = ",".join(map(str, COUNTS))
    add("--points", type=_counts, default=COUNTS, metavar="N,N,…", help=f"default: {counts}")
    add("--limit", type=int, metavar="N", help="only the first N photographs by name")
    add("--seed", type=int, default=0, help="of the points and the bootstrap (default 0)")
    add("--out", type=Path, default=Path("results/guides"), metavar="DIR")
    return parser


if __name__ == "__main__":
    sys.exit(main())
