"""How often each colour occurs in photographs, and the pixel weights that follow from it.

`colour_prior.csv` holds the measured distribution over the cells of the ab plane, 10 × 10 CIE units
each; `python -m eval.prior` measures it anew.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from chromagan.color import Floats

FILE = Path(__file__).with_name("colour_prior.csv")
REACH = 120  # cell centres run from -120 to 120 in steps of 10 on both axes: sRGB ends at ±108
CELLS = 2 * REACH // 10 + 1


def rebalancing_weights(truth_ab: Floats) -> Floats:
    """1 / p(colour of the truth) per pixel, `(2, H, W)` -> `(H, W)`.

    Zhang et al. 2016, equation 4 with λ = 0: rare colours weigh as much as common ones. p is the
    prior of `FILE`, smoothed as in the paper (σ = 5 in ab, half a cell), never below 1e-6 so that
    one stray pixel cannot decide a photograph.
    """
    a, b = cells(truth_ab)
    weights: Floats = _inverse_prior()[a, b]
    return weights


def cells(ab: Floats) -> npt.NDArray[np.intp]:
    """Index of the nearest cell centre on both axes, `(2, …)` -> `(2, …)`."""
    index = np.clip(np.rint(ab / 10), -REACH // 10, REACH // 10).astype(np.intp)
    return index + REACH // 10


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
