"""The quality measures: pure functions of two pictures, each with its protocol in its docstring.

Pictures are uint8 sRGB `(H, W, 3)` unless said otherwise; `ab` is float32 `(2, H, W)` in CIE units.
Nothing here averages over images: every number belongs to one image, as in the literature.
"""

from __future__ import annotations

import csv
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from chromagan.color import Floats, Rgb8, lab_to_rgb8

# Identical pictures have infinite PSNR, and one would make every mean infinite. Bytes are known
# only to within rounding, a mean squared error of 1/12: the best that 8-bit pictures can show.
PSNR_CAP = 10 * math.log10(255**2 * 12)
AUC_LIMIT = 150.0


def rebuild(truth_lab: Floats, ab: Floats) -> Rgb8:
    """True L with other ab `(2, H, W)`, back in 8-bit sRGB: clipped per channel and rounded.

    This is the picture that the official implementation measures: luminance is given to the
    method, so that only its chroma is judged.
    """
    return lab_to_rgb8(np.concatenate((truth_lab[:1], ab)))


def psnr(first: Rgb8, second: Rgb8) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and channels; `inf` for equal pictures.

    10 log10(255² / MSE). A mean over images is the mean of these values, never the PSNR of the
    pooled error.
    """
    _same_shape(first, second)
    return _decibel(_mean_square(first.astype(np.float32) - second))


def capped_psnr(first: Rgb8, second: Rgb8) -> float:
    """`psnr`, at most `PSNR_CAP`."""
    return min(psnr(first, second), PSNR_CAP)


def ab_psnr(truth_ab: Floats, ab: Floats) -> float:
    """PSNR of the two chroma planes in CIE units with the peak 255 (8-bit Lab's range).

    Five to six dB above the RGB number on the same picture: never compare the two.
    """
    _same_shape(truth_ab, ab)
    return _decibel(_mean_square(truth_ab - ab))


def ssim(first: Rgb8, second: Rgb8) -> float:
    """Structural similarity, mean over pixels and the three channels; 1 = equal.

    Wang et al. 2004: Gaussian window σ 1.5 cut to 11 × 11, K1 0.01, K2 0.03, range 255, population
    covariance, only windows that lie wholly inside. Pictures need at least 11 pixels a side.
    """
    _same_shape(first, second)
    if min(first.shape[:2]) < 11:
        raise ValueError(f"SSIM needs pictures of at least 11 × 11 pixels, got {first.shape}")
    # centred on 128: covariances do not change, and float32 loses nothing to large squares;
    # channel by channel, which stays in the processor's cache
    x, y = (np.moveaxis(p.astype(np.float32) - 128, -1, 0) for p in (first, second))
    return float(np.mean([_ssim_plane(*planes) for planes in zip(x, y, strict=True)]))


def colourfulness(rgb: Rgb8, *, absolute: bool = False) -> float:
    """Hasler & Süsstrunk 2003, equation 10, with signed opponents; 0 = grey, about 50 = vivid.

    rg = R - G, yb = (R + G) / 2 - B; sqrt(σ_rg² + σ_yb²) + 0.3 sqrt(μ_rg² + μ_yb²). NTIRE's
    challenges, DDColor and CT2 take the opponents' absolute values (`absolute`), which gives lower
    numbers: the two are not comparable.
    """
    r, g, b = rgb.reshape(-1, 3).T.astype(np.float32)
    rg, yb = r - g, (r + g) / 2 - b
    if absolute:
        rg, yb = np.abs(rg), np.abs(yb)
    spread = math.hypot(rg.std(dtype=np.float64), yb.std(dtype=np.float64))
    shift = math.hypot(rg.mean(dtype=np.float64), yb.mean(dtype=np.float64))
    return spread + 0.3 * shift


def mean_chroma(ab: Floats) -> float:
    """Mean of sqrt(a² + b²) in CIE units; a truth below 4 counts as a grey photograph."""
    return float(np.hypot(*ab).mean(dtype=np.float64))


def auc(truth_ab: Floats, ab: Floats, weights: Floats | None = None) -> float:
    """Area under the raw-accuracy curve, in [0, 1]; 1 = every pixel's chroma right.

    Zhang et al. 2016: the share of pixels whose ab lies within a distance t of the truth, for t
    from 0 to 150, area normalised. Integrated exactly: the mean of max(0, 1 - distance / 150).
    `weights` `(H, W)` re-weights pixels (the rebalanced variant, see `eval.measures.quality`).
    """
    _same_shape(truth_ab, ab)
    score = np.maximum(0, 1 - np.hypot(*(truth_ab - ab)) / AUC_LIMIT)
    return float(np.average(score, weights=weights))


def _ssim_plane(x: Floats, y: Floats) -> float:
    mean_x, mean_y = _windows(x), _windows(y)
    covariance = _windows(x * y) - mean_x * mean_y
    variances = _windows(x * x + y * y) - mean_x * mean_x - mean_y * mean_y
    mean_x, mean_y = mean_x + 128, mean_y + 128
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    structure = (2 * covariance + c2) / (variances + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    return float((structure * luminance).mean(dtype=np.float64))


def _windows(plane: Floats) -> Floats:
    """Gaussian mean of every 11 × 11 window inside `(H, W)` -> `(H - 10, W - 10)`."""
    means: Floats = gaussian_filter(plane, 1.5, radius=5)[5:-5, 5:-5]
    return means


def _mean_square(difference: Floats) -> float:
    flat = difference.reshape(-1)
    return float(np.dot(flat, flat)) / flat.size


def _decibel(mean_square: float) -> float:
    return math.inf if mean_square == 0 else 10 * math.log10(255**2 / mean_square)


def _same_shape(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> None:
    if first.shape != second.shape:
        raise ValueError(f"pictures differ in shape: {first.shape} and {second.shape}")


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
