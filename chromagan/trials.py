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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chromagan.checkpoint.description import CheckpointError
from chromagan.checkpoint.source import DEFAULT_CHECKPOINT
from chromagan.color import delta_e_2000, rgb8_to_lab
from chromagan.inference.colorizer import ChromaGANColorizer, load_colorizer
from chromagan.inference.recolour import recolour
from chromagan.inference.upsampling import UPSAMPLINGS, ChromaUpsampler
from chromagan.training.photos import DataError, decode, find_photos

EDGE_SHARE = 0.05
"""Share of the pixels, those with the strongest true change of chroma, that count as edges."""
EDGE_REACH = 4
"""Pixels this near to a colour edge are where colour bleeds."""
MIRRORED = "square 224 mirrored"

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Row:
    """One way of doing it, over all photographs."""

    name: str
    psnr: float
    """Mean of the photographs' PSNR, 8-bit RGB at full size, dB."""
    gain: float
    """Mean difference of PSNR to the first row, dB, and its standard error."""
    gain_error: float
    delta_e: float
    """Mean ΔE2000 over the photographs' pixels."""
    bleeding: float
    """Mean ΔE2000 within `EDGE_REACH` pixels of the strongest colour edges."""
    seconds: float
    """Processor time per photograph."""


@dataclass(frozen=True)
class Score:
    """One photograph done one way."""

    psnr: float
    delta_e: float
    bleeding: float
    seconds: float


def compare_fits(colorizers: dict[str, ChromaGANColorizer], photos: Sequence[Image]) -> list[Row]:
    """One row per colorizer, in turn on every photograph; gains are to the first."""
    scores: dict[str, list[Score]] = {name: [] for name in colorizers}
    for photo in photos:
        near = colour_edges(photo)
        for name, colorizer in colorizers.items():
            started = time.process_time()
            result = colorizer(photo)
            seconds = time.process_time() - started
            scores[name].append(_score(photo, result, near, seconds))
    return _rows(scores)


def compare_upsamplings(
    colorizer: ChromaGANColorizer, photos: Sequence[Image], *, true_colours: bool
) -> list[Row]:
    """One row per way of enlarging ab to full size."""
    scores: dict[str, list[Score]] = {name: [] for name in UPSAMPLINGS}
    for photo in photos:
        near = colour_edges(photo)
        ab = colorizer.predict_ab(photo)
        if true_colours:
            ab = shrunk_colours(photo, ab.shape[0], ab.shape[1])
        for name in UPSAMPLINGS:
            started = time.process_time()
            result = recolour(photo, ab, upsampling=name)  # type: ignore[arg-type]
            seconds = time.process_time() - started
            scores[name].append(_score(photo, result, near, seconds))
    return _rows(scores)


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
    padded = np.pad(edges, EDGE_REACH)
    near: NDArray[np.bool_] = np.zeros_like(edges)
    for dy in range(2 * EDGE_REACH + 1):
        for dx in range(2 * EDGE_REACH + 1):
            near |= padded[dy : dy + edges.shape[0], dx : dx + edges.shape[1]]
    return near


def _score(truth: Image, result: Image, near: NDArray[np.bool_], seconds: float) -> Score:
    error = np.square(truth.astype(np.float32) - result).mean()
    differences = delta_e_2000(rgb8_to_lab(truth), rgb8_to_lab(result))
    psnr = 10 * np.log10(255**2 / max(float(error), 1e-9))
    bleeding = float(differences[near].mean()) if near.any() else 0.0
    return Score(float(psnr), float(differences.mean()), bleeding, seconds)


def _rows(scores: dict[str, list[Score]]) -> list[Row]:
    first = np.array([score.psnr for score in next(iter(scores.values()))])
    rows = []
    for name, items in scores.items():
        psnr = np.array([score.psnr for score in items])
        gains = psnr - first
        rows.append(
            Row(
                name,
                float(psnr.mean()),
                float(gains.mean()),
                float(gains.std(ddof=1) / len(gains) ** 0.5) if len(gains) > 1 else float("nan"),
                float(np.mean([score.delta_e for score in items])),
                float(np.mean([score.bleeding for score in items])),
                float(np.mean([score.seconds for score in items])),
            )
        )
    return rows


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


def _fits(checkpoint: str) -> dict[str, ChromaGANColorizer]:
    ways: dict[str, ChromaGANColorizer] = {}
    for fit, size in (
        ("square", 224),
        ("square", 192),
        ("square", 256),
        ("square", 288),
        ("aspect", 192),
        ("aspect", 224),
        ("aspect", 256),
        ("letterbox", 256),
    ):
        name = f"{fit} {size}"
        ways[name] = load_colorizer(checkpoint, fit=fit, working_size=size)  # type: ignore[arg-type]
    ways[MIRRORED] = load_colorizer(checkpoint, fit="square", working_size=224, flip=True)
    return ways


def _photos(sources: Sequence[str], limit: int | None) -> Iterator[Image]:
    found = find_photos(sources)
    step = max(1, len(found) // limit) if limit else 1
    for photo in found[::step][:limit]:
        yield decode(photo)


def main(argv: list[str] | None = None) -> int:
    """Run a comparison and print its table."""
    parser = argparse.ArgumentParser(
        prog="python -m chromagan.trials", description="Measure the choices behind the defaults."
    )
    parser.add_argument("what", choices=["fit", "upsampling"])
    parser.add_argument("--data", nargs="+", required=True, help="folders or tar shards of photos")
    parser.add_argument("--checkpoint", default=DEFAULT_CHECKPOINT, metavar="NAME|FILE|HUB_ID")
    parser.add_argument("--limit", type=int, help="use this many photographs, evenly chosen")
    args = parser.parse_args(argv)
    try:
        photos = list(_photos(args.data, args.limit))
        if args.what == "fit":
            print(f"{len(photos)} photographs, checkpoint {args.checkpoint}\n")
            print(table(compare_fits(_fits(args.checkpoint), photos)))
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
