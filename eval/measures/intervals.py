"""Means with their uncertainty: standard errors and paired bootstrap intervals over images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

DRAWS = 2000
_CHUNK = 100


@dataclass(frozen=True)
class Estimate:
    """A mean over images: `se` = sd / sqrt(n), 95 % bootstrap interval, `n` images that count."""

    mean: float
    se: float
    low: float
    high: float
    n: int
    median: float

    def as_dict(self) -> dict[str, float | int | None]:
        """For JSON: numbers that do not exist are null."""
        return {name: _finite(value) for name, value in vars(self).items()}


def estimate(values: npt.ArrayLike, seed: int = 0, draws: int = DRAWS) -> Estimate:
    """Mean of per-image `values` (NaN = not defined for that image) with its uncertainty.

    The interval is the percentile bootstrap: images drawn with replacement, 2.5 % and 97.5 %
    quantiles of the mean. All calls with one seed and one number of images draw the same images,
    so estimates of two methods, and of their difference, belong together (paired).
    """
    data: Values = np.asarray(values, np.float64)
    present = ~np.isnan(data)
    count = int(present.sum())
    if count == 0:
        return Estimate(math.nan, math.nan, math.nan, math.nan, 0, math.nan)
    kept = data[present]
    mean = float(kept.mean())
    if count == 1:
        return Estimate(mean, math.nan, math.nan, math.nan, 1, mean)
    low, high = np.nanquantile(_bootstrap_means(data, present, seed, draws), (0.025, 0.975))
    error = float(kept.std(ddof=1)) / math.sqrt(count)
    return Estimate(mean, error, float(low), float(high), count, float(np.median(kept)))


def paired_difference(first: npt.ArrayLike, second: npt.ArrayLike, seed: int = 0) -> Estimate:
    """`estimate` of first - second, image by image."""
    return estimate(np.asarray(first, np.float64) - np.asarray(second, np.float64), seed)


def _bootstrap_means(data: Values, present: npt.NDArray[np.bool_], seed: int, draws: int) -> Values:
    filled = np.where(present, data, 0.0)
    means = [
        np.divide(
            filled[drawn].sum(axis=1),
            present[drawn].sum(axis=1),
            out=np.full(len(drawn), np.nan),
            where=present[drawn].any(axis=1),
        )
        for drawn in _draws(data.size, seed, draws)
    ]
    return np.concatenate(means)


def _draws(size: int, seed: int, draws: int) -> Iterator[npt.NDArray[np.int64]]:
    """Image indices of every resample, in chunks so that memory stays small."""
    generator = np.random.default_rng(seed)
    for start in range(0, draws, _CHUNK):
        yield generator.integers(0, size, (min(_CHUNK, draws - start), size))


def _finite(value: float | int) -> float | int | None:
    return value if isinstance(value, int) or math.isfinite(value) else None
