"""Where a picture's colours go wrong: sums over pixels of one true colour, pooled over pictures.

The truth decides where a pixel belongs: to one of twelve hues, to the neutrals, and besides to the
skin tones. Lab planes are float32 `(3, H, W)` with one L for both pictures.

And how vivid a method should be: one factor f multiplies all ab of all pictures. Pooled over
pictures, the squared error is least at

    f = Σ t·o / Σ o·o        t, o: ab of truth and output

below 1 the method is overconfident, above 1 timid. The mean PSNR is nearly always best at a smaller
f: the mean of logarithms is ruled by the pictures with little colour, where any chroma costs most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from chromagan.color import Floats, Rgb8, delta_e_2000
from eval.measures.quality import capped_psnr, rebuild

HUES = (
    "pink",
    "red",
    "orange",
    "yellow",
    "lime",
    "green",
    "teal",
    "cyan",
    "azure",
    "blue",
    "violet",
    "magenta",
)
"""Sectors of 30° of the CIE hue angle, the first centred on 0°; sRGB's red is at 40°, its yellow at
103°, green at 136°, cyan at 196°, blue at 306°, magenta at 328°."""
NEUTRAL_CHROMA = 8.0
"""Below this chroma a colour has no hue to speak of: whites, greys, blacks."""
COLOURS = (*HUES, "neutral")

SKIN_HUE = (25.0, 75.0)
SKIN_CHROMA = (8.0, 45.0)
SKIN_L = (20.0, 92.0)
"""Skin of all kinds in photographs by daylight and indoors; sand, wood and fur lie there, too, so
that skin is looked for only in photographs that show people (`eval.run.scenes`)."""


@dataclass(frozen=True)
class RegionSums:
    """Sums over the pixels of one region of one or more pictures, CIE units and radians."""

    pixels: float = 0.0
    l: float = 0.0  # noqa: E741
    true_a: float = 0.0
    true_b: float = 0.0
    a: float = 0.0
    b: float = 0.0
    true_chroma: float = 0.0
    chroma: float = 0.0
    squared_error: float = 0.0
    true_square: float = 0.0
    """Squared chroma of the truth: the squared error of no colour at all."""
    weight: float = 0.0
    """Product of the two chromas: how much a hue difference matters in a pixel."""
    hue_error: float = 0.0
    """Absolute hue difference, weighted."""
    cross: float = 0.0
    dot: float = 0.0
    delta_e: float = 0.0

    def as_list(self) -> list[float]:
        return [getattr(self, field.name) for field in fields(self)]

    @property
    def gain(self) -> float:
        """dB by which the pooled squared ab error lies below that of no colour at all."""
        if self.true_square == 0 or self.squared_error == 0:
            return math.nan
        return 10 * math.log10(self.true_square / self.squared_error)

    @property
    def chroma_ratio(self) -> float:
        """Mean chroma over that of the truth: below 1 is too grey."""
        return _ratio(self.chroma, self.true_chroma)

    @property
    def hue_degrees(self) -> float:
        """Mean absolute hue error in degrees, pixels weighted by both chromas; chance gives 90."""
        return math.degrees(_ratio(self.hue_error, self.weight))

    @property
    def shift_degrees(self) -> float:
        """Where the hue goes on the whole: + counter-clockwise, from red towards yellow."""
        return math.degrees(math.atan2(self.cross, self.dot)) if self.weight else math.nan

    @property
    def mean_delta_e(self) -> float:
        return _ratio(self.delta_e, self.pixels)

    def mean_lab(self, *, truth: bool) -> tuple[float, float, float]:
        """The region's mean colour, (L, a, b)."""
        a, b = (self.true_a, self.true_b) if truth else (self.a, self.b)
        return _ratio(self.l, self.pixels), _ratio(a, self.pixels), _ratio(b, self.pixels)


def is_skin(lab: Floats) -> npt.NDArray[np.bool_]:
    """Pixels whose lightness, hue and chroma are those of skin, `(3, H, W)` -> `(H, W)`."""
    chroma, hue = np.hypot(*lab[1:]), np.degrees(np.arctan2(lab[2], lab[1])) % 360
    inside: npt.NDArray[np.bool_] = np.ones(lab.shape[1:], bool)
    for values, (low, high) in ((lab[0], SKIN_L), (hue, SKIN_HUE), (chroma, SKIN_CHROMA)):
        inside &= (low <= values) & (values <= high)
    return inside


def colour_index(lab: Floats) -> npt.NDArray[np.intp]:
    """Number of each pixel's colour in `COLOURS`."""
    degrees = np.degrees(np.arctan2(lab[2], lab[1])) % 360
    sector = np.floor_divide(degrees + 15, 30).astype(np.intp) % 12
    return np.where(np.hypot(*lab[1:]) < NEUTRAL_CHROMA, len(HUES), sector)


def region_sums(truth: Floats, output: Floats) -> dict[str, RegionSums]:
    """The sums of every colour that occurs in the truth, of `skin`, and of what is `not skin`."""
    planes = _planes(truth, output)
    index = colour_index(truth).ravel()
    sums = np.stack([np.bincount(index, p, len(COLOURS)) for p in planes], axis=1)
    skin = is_skin(truth).ravel()
    regions = {name: RegionSums(*row) for name, row in zip(COLOURS, sums.tolist(), strict=True)}
    of_skin = RegionSums(*planes[:, skin].sum(axis=1).tolist())
    of_rest = RegionSums(*planes[:, ~skin].sum(axis=1).tolist())
    regions |= {"skin": of_skin, "not skin": of_rest}
    return {name: region for name, region in regions.items() if region.pixels}


def _planes(truth: Floats, output: Floats) -> npt.NDArray[np.float64]:
    """What `RegionSums` sums, `(fields, pixels)`."""
    (_, ta, tb), (_, a, b) = truth.reshape(3, -1), output.reshape(3, -1)
    true_chroma, chroma = np.hypot(ta, tb), np.hypot(a, b)
    cross, dot = ta * b - tb * a, ta * a + tb * b
    weight = true_chroma * chroma
    return np.stack(
        (
            np.ones_like(ta),
            truth[0].ravel(),
            ta,
            tb,
            a,
            b,
            true_chroma,
            chroma,
            (ta - a) ** 2 + (tb - b) ** 2,
            true_chroma**2,
            weight,
            weight * np.abs(np.arctan2(cross, dot)),
            cross,
            dot,
            delta_e_2000(truth, output).ravel(),
        )
    ).astype(np.float64)


def _ratio(above: float, below: float) -> float:
    return above / below if below else math.nan


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
    return [capped_psnr(truth, picture) for picture in pictures]


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
