"""Signal detection: can participants tell a method's pictures from real photographs?

Definition used here and printed in the report: a real photograph is the *signal*; calling it
realistic is a hit, calling a colorization realistic is a false alarm. Then
d′ = z(H) − z(F) and criterion c = −(z(H) + z(F))/2, z the standard normal quantile.
d′ = 0 means that colorizations pass as often as photographs; c < 0 means a habit of answering
"realistic" whatever is shown, which inflates every share and cancels in d′.
Both shares carry the loglinear correction of Hautus (1995), (yes + ½)/(votes + 1), so that shares
of 0 and 1 stay finite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from study.analysis.contrasts import RESAMPLES, Counts, resampled_sums
from study.analysis.intervals import ClusteredShares, Estimate, Floats


@dataclass(frozen=True)
class Detection:
    """One method against real photographs; intervals by participant bootstrap."""

    method: str
    d_prime: Estimate
    criterion: Estimate


def loglinear(yes: npt.ArrayLike, votes: npt.ArrayLike) -> Floats:
    """(yes + ½)/(votes + 1), Hautus (1995)."""
    return (np.asarray(yes, dtype=np.float64) + 0.5) / (np.asarray(votes, dtype=np.float64) + 1.0)


def d_prime(hits: npt.ArrayLike, false_alarms: npt.ArrayLike) -> Floats:
    """z(H) − z(F) of two shares strictly between 0 and 1."""
    return np.asarray(ndtri(hits) - ndtri(false_alarms), dtype=np.float64)


def criterion(hits: npt.ArrayLike, false_alarms: npt.ArrayLike) -> Floats:
    """−(z(H) + z(F))/2 of two shares strictly between 0 and 1."""
    return np.asarray(-0.5 * (ndtri(hits) + ndtri(false_alarms)), dtype=np.float64)


def detection(
    method: str, real_and_method: Counts, *, resamples: int = RESAMPLES, seed: int = 0
) -> Detection:
    """d′ and c of a method; the counts' a is the real photographs, b the method."""
    counts = real_and_method
    if counts.participants == 0:
        none = Estimate(None, note="no participant judged both this method and real photographs")
        return Detection(method, none, none)
    columns = (counts.yes_a, counts.votes_a, counts.yes_b, counts.votes_b)
    hits = loglinear(counts.yes_a.sum(), counts.votes_a.sum())
    alarms = loglinear(counts.yes_b.sum(), counts.votes_b.sum())
    points = (float(d_prime(hits, alarms)), float(criterion(hits, alarms)))
    if counts.participants == 1:
        note = "only one participant: the interval cannot be estimated"
        return Detection(method, Estimate(points[0], note=note), Estimate(points[1], note=note))
    yes_a, votes_a, yes_b, votes_b = resampled_sums(columns, resamples, np.random.default_rng(seed))
    hits, alarms = loglinear(yes_a, votes_a), loglinear(yes_b, votes_b)
    return Detection(
        method,
        _percentiles(points[0], d_prime(hits, alarms)),
        _percentiles(points[1], criterion(hits, alarms)),
    )


def _percentiles(point: float, draws: Floats) -> Estimate:
    low, high = (float(end) for end in np.quantile(draws, [0.025, 0.975]))
    if high - low < 1e-12:
        return Estimate(point, note="the answers do not vary: the interval cannot be estimated")
    return Estimate(point, low, high)


def odds_ratio(fit: ClusteredShares) -> Estimate:
    """Odds of "realistic" for method 0 over method 1, two-way clustered logit interval."""
    shares, votes = fit.shares, fit.votes
    if ((shares <= 0.0) | (shares >= 1.0)).any():
        corrected = loglinear(shares * votes, votes)
        odds = corrected / (1.0 - corrected)
        note = (
            "all answers to one side agree, so the odds are 0 or infinite; value with the "
            "loglinear correction, no interval"
        )
        return Estimate(float(odds[0] / odds[1]), note=note)
    log_ratio = float(np.diff(np.log(shares / (1.0 - shares)))[0] * -1.0)
    if min(fit.participants, fit.images) < 2:
        note = "only one participant or picture: the interval cannot be estimated"
        return Estimate(float(np.exp(log_ratio)), note=note)
    scale = 1.0 / (shares * (1.0 - shares))
    variance = fit.variance([float(scale[0]), -float(scale[1])])
    if variance < 1e-18:
        note = "the answers do not vary: the interval cannot be estimated"
        return Estimate(float(np.exp(log_ratio)), note=note)
    reach = fit.critical * float(np.sqrt(variance))
    return Estimate(
        float(np.exp(log_ratio)), float(np.exp(log_ratio - reach)), float(np.exp(log_ratio + reach))
    )
