"""Measure the choices behind the defaults: how photographs are fitted, how colours are enlarged.

python -m chromagan.trials fit --data ../shared/photos/val.tar
python -m chromagan.trials upsampling --data chromagan/samples/color

Truth is the photographs' own colour. `fit` compares what the network sees (shape, working size,
mirrored average); `upsampling` compares the ways back to full size, with the network's colours and
with the true ones averaged down to the network's output size, which leaves the enlargement as the
only error.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from chromagan.checkpoint.source import DEFAULT_CHECKPOINT, CheckpointError
from chromagan.color import delta_e_2000, psnr8, rgb8_to_lab
from chromagan.inference.colorizer import ChromaGANColorizer, load_colorizer
from chromagan.inference.recolour import recolour
from chromagan.inference.upsampling import UPSAMPLINGS, ChromaUpsampler, box_mean
from chromagan.training.photos import DataError, decode, find_photos

EDGE_SHARE = 0.05
"""Share of the pixels, those with the strongest true change of chroma, that count as edges."""
EDGE_REACH = 4
"""Pixels this near to a colour edge are where colour bleeds."""
FITS = ["square 224", *(f"square {side}" for side in (192, 256, 288))]
FITS += [*(f"aspect {side}" for side in (192, 224, 256)), "letterbox 256", "square 224 mirrored"]
"""The first is what the others are compared with."""

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Ways = Mapping[str, Callable[[], Image]]


class Row(NamedTuple):
    """One way of doing it, over all photographs."""

    name: str
    gain: float
    """Mean difference of PSNR to the first row, dB, and its standard error."""
    gain_error: float
    psnr: float
    """Mean of the photographs' PSNR, 8-bit RGB at full size, dB."""
    delta_e: float
    """Mean ΔE2000 over the photographs' pixels."""
    bleeding: float
    """Mean ΔE2000 within `EDGE_REACH` pixels of the strongest colour edges."""
    seconds: float
    """Processor time per photograph."""


def compare_fits(colorizers: dict[str, ChromaGANColorizer], photos: Sequence[Image]) -> list[Row]:
    """One row per colorizer, in turn on every photograph; gains are to the first."""
    return _compare(lambda photo: {n: partial(c, photo) for n, c in colorizers.items()}, photos)


def compare_upsamplings(
    colorizer: ChromaGANColorizer, photos: Sequence[Image], *, true_colours: bool
) -> list[Row]:
    """One row per way of enlarging ab to full size."""

    def ways(photo: Image) -> Ways:
        ab = colorizer.predict_ab(photo)
        if true_colours:
            ab = shrunk_colours(photo, ab.shape[0], ab.shape[1])
        return {n: partial(recolour, photo, ab, upsampling=n) for n in UPSAMPLINGS}  # type: ignore[arg-type]

    return _compare(ways, photos)


def _compare(ways: Callable[[Image], Ways], photos: Sequence[Image]) -> list[Row]:
    scores: dict[str, list[tuple[float, ...]]] = {}
    for photo in photos:
        lab, near = rgb8_to_lab(photo), colour_edges(photo)
        for name, way in ways(photo).items():
            started = time.process_time()
            result = way()
            seconds = time.process_time() - started
            error = delta_e_2000(lab, rgb8_to_lab(result))
            bleeding = error[near].mean() if near.any() else 0.0
            score = (psnr8(result, photo), error.mean(), bleeding, seconds)
            scores.setdefault(name, []).append(score)
    tables = {name: np.array(rows) for name, rows in scores.items()}
    first = next(iter(tables.values()))[:, 0]
    rows = []
    for name, table in tables.items():
        gains = table[:, 0] - first
        spread = gains.std(ddof=1) / len(gains) ** 0.5 if len(gains) > 1 else np.nan
        rows.append(Row(name, *map(float, (gains.mean(), spread, *table.mean(axis=0)))))
    return rows


def shrunk_colours(photo: Image, height: int, width: int) -> Floats:
    """The photograph's own ab, averaged over areas: `(height, width, 2)`, CIE units."""
    ab = np.moveaxis(rgb8_to_lab(photo)[1:], 0, -1)
    small = ChromaUpsampler(ab, (height, width), "bilinear")
    return np.moveaxis(small.rows(0, height, np.zeros((height, width), np.float32)), 0, -1)


def colour_edges(photo: Image) -> NDArray[np.bool_]:
    """`(H, W)`: near the photograph's strongest changes of chroma."""
    ab = rgb8_to_lab(photo)[1:]
    down, across = np.gradient(ab, axis=1), np.gradient(ab, axis=2)
    strength = np.sqrt((down**2 + across**2).sum(axis=0))
    edges = strength >= max(np.quantile(strength, 1 - EDGE_SHARE), 1e-6)
    near: NDArray[np.bool_] = box_mean(edges, EDGE_REACH) > 1e-6
    return near


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| way | PSNR dB | against the first, dB | ΔE2000 | ΔE2000 at colour edges | CPU ms |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row.name} | {row.psnr:.2f} | {row.gain:+.3f} ± {row.gain_error:.3f} "
        f"| {row.delta_e:.2f} | {row.bleeding:.2f} | {1000 * row.seconds:.0f} |"
        for row in rows
    ]
    return "\n".join(lines)


def _fit(checkpoint: str, name: str) -> ChromaGANColorizer:
    fit, size, *mirrored = name.split()
    return load_colorizer(checkpoint, fit=fit, working_size=int(size), flip=bool(mirrored))  # type: ignore[arg-type]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m chromagan.trials", description="Measure the choices behind the defaults."
    )
    parser.add_argument("what", choices=["fit", "upsampling"])
    parser.add_argument("--data", nargs="+", required=True, help="folders or tar shards of photos")
    parser.add_argument("--checkpoint", default=DEFAULT_CHECKPOINT, metavar="NAME|FILE|HUB_ID")
    parser.add_argument("--limit", type=int, help="use this many photographs, evenly chosen")
    args = parser.parse_args(argv)
    try:
        found = find_photos(args.data).photos
        step = max(1, len(found) // args.limit) if args.limit else 1
        photos = [decode(photo) for photo in found[::step][: args.limit]]
        if args.what == "fit":
            print(f"{len(photos)} photographs, checkpoint {args.checkpoint}\n")
            print(table(compare_fits({n: _fit(args.checkpoint, n) for n in FITS}, photos)))
            return 0
        colorizer = load_colorizer(args.checkpoint)
        for true_colours in (True, False):
            whose = "true colours, averaged down" if true_colours else "the network's colours"
            print(f"{len(photos)} photographs, {whose}, checkpoint {args.checkpoint}\n")
            print(table(compare_upsamplings(colorizer, photos, true_colours=true_colours)) + "\n")
    except (CheckpointError, DataError, ValueError) as error:
        print(f"chromagan.trials: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
