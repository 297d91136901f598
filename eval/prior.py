"""How often each colour occurs in photographs: the weights of the rebalanced accuracy.

`eval/colour_prior.csv` holds the measured distribution over the 10 × 10 cells of the ab plane. It
is made by `python -m eval.prior PHOTOS… -o FILE` (folders or .tar files of colour photographs).
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from chromagan.images import ImageError
from eval.folder import write_text
from eval.lab import Floats, rgb_to_lab
from eval.metrics import squash
from eval.photos import PhotosError, open_photos

FILE = Path(__file__).with_name("colour_prior.csv")
REACH = 120  # cell centres run from -120 to 120 in steps of 10 on both axes: sRGB ends at ±108
CELLS = 2 * REACH // 10 + 1


def rebalancing_weights(truth_ab: Floats) -> Floats:
    """1 / p(colour of the truth) per pixel, `(2, H, W)` -> `(H, W)`.

    Zhang et al. 2016, equation 4 with λ = 0: rare colours weigh as much as common ones. p is the
    prior of `FILE`, smoothed as in the paper (σ = 5 in ab, half a cell), never below 1e-6 so that
    one stray pixel cannot decide a photograph.
    """
    a, b = _cells(truth_ab)
    weights: Floats = _inverse_prior()[a, b]
    return weights


@cache
def _inverse_prior() -> Floats:
    counts = np.zeros((CELLS, CELLS))
    with FILE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            a, b = (int(row[axis]) + REACH for axis in "ab")
            counts[a // 10, b // 10] = float(row["probability"])
    smooth = gaussian_filter(counts, 0.5, mode="constant")
    inverse: Floats = (1 / np.maximum(smooth / smooth.sum(), 1e-6)).astype(np.float32)
    return inverse


def _cells(ab: Floats) -> npt.NDArray[np.intp]:
    """Index of the nearest cell centre on both axes."""
    index = np.clip(np.rint(ab / 10), -REACH // 10, REACH // 10).astype(np.intp)
    cells: npt.NDArray[np.intp] = index + REACH // 10
    return cells


def measure_prior(sources: list[Path], limit: int | None) -> tuple[npt.NDArray[np.int64], int]:
    """Pixel counts `(CELLS, CELLS)` over photographs squashed to 64², and how many there were."""
    counts = np.zeros((CELLS, CELLS), np.int64)
    used = 0
    for source in sources:
        for photo in open_photos(source, limit):
            try:
                a, b = _cells(rgb_to_lab(squash(photo.read(), 64))[1:])
            except ImageError as error:
                print(f"left out: {error}", file=sys.stderr)
                continue
            np.add.at(counts, (a, b), 1)
            used += 1
    return counts, used


def main(argv: list[str] | None = None) -> int:
    """Measure the colour prior of photographs and write it as CSV."""
    parser = argparse.ArgumentParser(prog="python -m eval.prior", description=main.__doc__)
    parser.add_argument("photos", nargs="+", type=Path, help="folders or .tar files")
    parser.add_argument("-o", "--out", type=Path, default=FILE)
    parser.add_argument("--limit", type=int, help="photographs per source")
    args = parser.parse_args(argv)
    try:
        counts, used = measure_prior(args.photos, args.limit)
    except PhotosError as error:
        parser.error(str(error))
    if not used:
        parser.error("none of the photographs could be read")
    text = io.StringIO()
    text.write(f"# colour frequencies over {used} photographs, {counts.sum()} pixels, 64x64 each\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("a", "b", "probability"))
    for a, b in np.argwhere(counts):
        share = counts[a, b] / counts.sum()
        writer.writerow((10 * a - REACH, 10 * b - REACH, f"{share:.4g}"))
    write_text(args.out, text.getvalue())
    print(f"{args.out}: {used} photographs")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
