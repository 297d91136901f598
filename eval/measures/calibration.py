"""How vivid a method should be: the chroma factors that its own errors ask for.

One factor f multiplies all ab of all pictures. Pooled over pictures, the squared error is least at

    f = Σ t·o / Σ o·o        t, o: ab of truth and output

below 1 the method is overconfident, above 1 timid. The mean PSNR is nearly always best at a smaller
f: the mean of logarithms is ruled by the pictures with little colour, where any chroma costs most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from chromagan.color import Floats, Rgb8
from eval.measures.quality import PSNR_CAP, psnr, rebuild

FACTORS = (0.4, 0.7, 1.0, 1.3, 1.6)


@dataclass(frozen=True)
class Calibration:
    """Best factors (CIE ab multiplied), and what they would gain in dB."""

    pooled_factor: float
    pooled_gain: float
    psnr_factor: float
    psnr_gain: float


def chroma_products(truth_ab: Floats, ab: Floats) -> list[float]:
    """Sums over the pixels of one picture: t·t, t·o, o·o."""
    pairs = ((truth_ab, truth_ab), (truth_ab, ab), (ab, ab))
    return [float(np.dot(x.ravel(), y.ravel())) for x, y in pairs]


def psnr_at_factors(truth: Rgb8, truth_lab: Floats, ab: Floats) -> list[float]:
    """PSNR of one picture with its ab multiplied by each of `FACTORS`, true L, in dB."""
    pictures = (rebuild(truth_lab, ab * np.float32(factor)) for factor in FACTORS)
    return [min(psnr(truth, picture), PSNR_CAP) for picture in pictures]


def calibrate(products: Sequence[Sequence[float]], psnrs: Sequence[Sequence[float]]) -> Calibration:
    """From the numbers of every picture (`chroma_products`, `psnr_at_factors`).

    The mean PSNR between the factors is interpolated by a cubic spline. NaN where the method gives
    no colour at all.
    """
    tt, to, oo = np.sum(np.asarray(products, float), axis=0)
    if oo == 0:
        return Calibration(math.nan, math.nan, math.nan, math.nan)
    factor = to / oo
    errors = [tt - 2 * f * to + f * f * oo for f in (1.0, factor)]
    curve = CubicSpline(FACTORS, np.mean(np.asarray(psnrs, float), axis=0))
    fine = np.linspace(FACTORS[0], FACTORS[-1], 101)
    best = fine[np.argmax(curve(fine))]
    return Calibration(
        float(factor),
        float(10 * np.log10(errors[0] / errors[1])) if errors[1] > 0 else math.nan,
        float(best),
        float(curve(best) - curve(1.0)),
    )
