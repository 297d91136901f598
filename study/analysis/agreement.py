"""Krippendorff's α for two answers: how far participants agree on the same picture.

α = 1 − D_o/D_e for nominal data (Krippendorff 2004, ch. 11). For n_u answers of which y_u are
"realistic" on picture u, over pictures with at least two answers:
D_o = Σ_u 2·y_u·(n_u − y_u)/(n_u − 1) / n,  D_e = 2·Y·(n − Y)/(n(n − 1)),  n = Σ n_u, Y = Σ y_u.
Missing answers are no trouble. α = 1 is full agreement, 0 what chance would give.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from study.analysis.contrasts import resampled_sums
from study.analysis.intervals import Codes, Estimate, Floats

RESAMPLES = 1_000


def krippendorff_alpha(yes: npt.ArrayLike, votes: npt.ArrayLike) -> Floats:
    """α from counts per picture, over the last axis; nan where every answer is the same."""
    y, n = np.asarray(yes, dtype=np.float64), np.asarray(votes, dtype=np.float64)
    kept = n >= 2
    y, n = np.where(kept, y, 0.0), np.where(kept, n, 0.0)
    observed = (2.0 * y * (n - y) / np.where(kept, n - 1.0, 1.0)).sum(axis=-1)
    return _alpha(observed, n.sum(axis=-1), y.sum(axis=-1))


def _alpha(observed: Floats, total: Floats, positive: Floats) -> Floats:
    """1 − D_o/D_e from Σ 2y(n − y)/(n − 1), n and Y."""
    expected = 2.0 * positive * (total - positive)
    possible = expected > 0
    ratio = observed * np.maximum(total - 1.0, 0.0) / np.where(possible, expected, 1.0)
    return np.asarray(np.where(possible, 1.0 - ratio, np.nan), dtype=np.float64)


def agreement(yes: Codes, votes: Codes, *, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """α with a percentile interval over pictures drawn with replacement; arrays (U,).

    Participants are not resampled: a person drawn twice would agree with themself.
    """
    kept = votes >= 2
    yes, votes = yes[kept], votes[kept]
    pictures = len(votes)
    if pictures == 0:
        return Estimate(None, note="no picture has two answers")
    point = float(krippendorff_alpha(yes, votes))
    if np.isnan(point):
        return Estimate(None, note="every answer is the same: α is not defined")
    if pictures == 1:
        return Estimate(point, note="only one picture: the interval cannot be estimated")
    sums = resampled_sums(
        [2.0 * yes * (votes - yes) / (votes - 1.0), votes, yes],
        resamples,
        np.random.default_rng(seed),
    )
    draws = _alpha(*sums)
    draws = draws[~np.isnan(draws)]
    if len(draws) < 0.9 * resamples:
        return Estimate(point, note="too few differing answers for an interval")
    low, high = (float(end) for end in np.quantile(draws, [0.025, 0.975]))
    return Estimate(point, low, high)
