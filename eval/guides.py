"""What known colours buy: PSNR against the number of points, and a half as reference for the other.

    python eval/guides.py --images val.tar --out results/guides

writes `guides.json` (rows of method, points, gain_db, low, high), `guides.md`, `guides.html`, plot.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

if not __package__:  # `python eval/guides.py`: find the packages, not the modules beside this file
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from chromagan.checkpoint.source import DEFAULT_CHECKPOINT, CheckpointError
from chromagan.color import Rgb8, rgb8_to_lab
from chromagan.files import write_text
from chromagan.images import ImageError
from chromagan.images.resizing import squash
from chromagan.inference.colorizer import ChromaGANColorizer, load_colorizer
from chromagan.inference.guides import Guides
from chromagan.inference.guides.guidance import apply_guides, field_of
from chromagan.inference.guides.propagation import MAX_SAMPLES
from chromagan.inference.recolour import recolour
from chromagan.samples import sample_paths
from eval.baselines import RELEASES, MethodError, load_method
from eval.baselines.zhang import UserGuided
from eval.measures.hints import COUNTS, SIDE, WAYS, official_psnr, random_points, truth_on
from eval.measures.intervals import estimate
from eval.report.page import Picture, Section, write_page
from eval.report.plots import curves_figure, encode_png
from eval.report.tables import TextTable, number, plain, show
from eval.run.photos import PhotoFile, PhotosError, open_photos

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
    for number_, photo in enumerate(photos):
        try:
            truth = squash(photo.read(), SIDE)
        except ImageError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        for key, gain in _of_photograph(truth, colorizer, methods, counts, (seed, number_), zhang):
            gains[key].append(gain)
        if (number_ + 1) % 50 == 0:
            print(f"{number_ + 1} of {len(photos)} photographs", file=sys.stderr)
    return gains


def _of_photograph(
    truth: Rgb8,
    colorizer: ChromaGANColorizer,
    methods: list[str],
    counts: Sequence[int],
    seed: tuple[int, ...],
    zhang: UserGuided | None,
) -> Iterator[tuple[tuple[str, int], float]]:
    prediction = colorizer.predict(truth)
    field = field_of(prediction)
    true_ab = truth_on(truth, field.luminance.shape)
    lab = rgb8_to_lab(truth)

    def score(ab: np.ndarray) -> float:
        return official_psnr(truth, recolour(truth, ab, upsampling=colorizer.upsampling), lab)

    before = score(prediction.ab)
    plain_zhang = official_psnr(truth, zhang(truth)) if zhang else 0.0
    for count in counts:
        places, colors = random_points(true_ab, count, (*seed, count))
        for name in methods:
            if name in WAYS:
                gain = score(WAYS[name](field, places, colors)) - before if count else 0.0
                yield (name, count), gain
        if zhang:
            yield (
                (ZHANG, count),
                official_psnr(truth, zhang.with_points(truth, places, colors)) - plain_zhang,
            )
    if REFERENCE in methods:
        yield (REFERENCE, 0), _halves(truth, colorizer)


def _halves(truth: Rgb8, colorizer: ChromaGANColorizer) -> float:
    """The right half guided by the left one, each seen by the network as its own photograph."""
    left, right = (squash(np.ascontiguousarray(h), SIDE) for h in np.split(truth, 2, axis=1))
    prediction = colorizer.predict(right)
    known = Guides(references=(colorizer.learn(left),))
    plain, guided = (
        official_psnr(right, recolour(right, ab, upsampling=colorizer.upsampling))
        for ab in (prediction.ab, apply_guides(prediction, known))
    )
    return guided - plain


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
    except (PhotosError, CheckpointError, ValueError) as error:
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
