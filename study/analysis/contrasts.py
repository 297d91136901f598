"""Planned comparisons of two methods: paired participant bootstrap, Holm, and a stricter check.

The primary interval resamples participants, each with all their answers to both methods, so a
generous or a severe participant weighs on both sides alike. It speaks about new people looking at
*these* pictures. The two-way clustered interval beside it also lets the pictures vary, and so
speaks about new people looking at new pictures; where a method is better on some scenes and worse
on others it is wider, and the honest one to quote.

Against photographs there is signal detection, too, as defined here and printed in the report: a
real photograph is the *signal*; calling it realistic is a hit, calling a colorization realistic is
a false alarm. d′ = z(H) − z(F) and criterion c = −(z(H) + z(F))/2, z the standard normal quantile.
d′ = 0 means that colorizations pass as often as photographs; c < 0 means a habit of answering
"realistic" whatever is shown, which inflates every share and cancels in d′. Both shares carry the
loglinear correction of Hautus (1995), (yes + ½)/(votes + 1), so that shares of 0 and 1 stay finite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import ndtri

from study.analysis.intervals import (
    Clustered,
    Codes,
    Estimate,
    Floats,
    clustered_shares,
    t_test,
)

RESAMPLES = 10_000
"""Bootstrap resamples of a report."""

_CHUNK = 2_000_000
FEW_PARTICIPANTS = 10
_CONSTANT = "the answers do not vary: the interval cannot be estimated"


class Counts(NamedTuple):
    """Per participant, answers "realistic" and answers in all, for two methods; arrays (P,)."""

    yes_a: Codes
    votes_a: Codes
    yes_b: Codes
    votes_b: Codes

    @property
    def participants(self) -> int:
        return len(self.yes_a)


@dataclass(frozen=True)
class Comparison:
    """method − against, in shares of "realistic".

    paired: difference with participant-bootstrap interval; p: its two-sided p-value; p_holm: the
    same adjusted for all planned comparisons. clustered: difference with two-way clustered
    interval, p_clustered: its t-test. participants: people who judged both methods.
    """

    method: str
    against: str
    participants: int
    paired: Estimate
    p: float | None
    p_holm: float | None
    clustered: Estimate
    p_clustered: float | None
    p_clustered_holm: float | None


def paired_counts(
    answer: npt.NDArray[np.bool_], is_a: npt.NDArray[np.bool_], participant: Codes
) -> Counts:
    """Counts of the participants who judged both methods; arrays (N,), is_a False means b."""
    _, person = np.unique(participant, return_inverse=True)
    people = int(person.max(initial=-1)) + 1

    def count(chosen: npt.NDArray[np.bool_]) -> Codes:
        return np.bincount(person[chosen], minlength=people).astype(np.int64)

    counts = (count(is_a & answer), count(is_a), count(~is_a & answer), count(~is_a))
    both = (counts[1] > 0) & (counts[3] > 0)
    return Counts(*(part[both] for part in counts))


def resampled_sums(
    columns: Sequence[Codes | Floats], resamples: int, rng: np.random.Generator
) -> list[Floats]:
    """Sums of each column over its rows drawn with replacement; each (resamples,)."""
    table = np.stack(columns, axis=1).astype(np.float64)
    people = len(table)
    step = max(1, _CHUNK // people)
    parts = [
        _weights(people, min(step, resamples - first), rng) @ table
        for first in range(0, resamples, step)
    ]
    return list(np.concatenate(parts).T)


def _weights(people: int, resamples: int, rng: np.random.Generator) -> Floats:
    """How often each person is drawn in each resample, (resamples, people).

    The same law as `rng.multinomial` with equal chances, several times as fast.
    """
    drawn = rng.integers(people, size=(resamples, people))
    cells = drawn + people * np.arange(resamples)[:, None]
    counts = np.bincount(cells.ravel(), minlength=resamples * people)
    return counts.reshape(resamples, people).astype(np.float64)


def bootstrap_differences(counts: Counts, resamples: int, rng: np.random.Generator) -> Floats:
    """Resampled differences of the two shares, (resamples,)."""
    yes_a, votes_a, yes_b, votes_b = resampled_sums(counts, resamples, rng)
    return np.asarray(yes_a / votes_a - yes_b / votes_b, dtype=np.float64)


def bootstrap_p(differences: Floats) -> float:
    """Two-sided p-value of "no difference": twice the smaller tail, never zero.

    The added one in numerator and denominator (Davison and Hinkley 1997, eq. 4.11) counts the
    observed study itself.
    """
    at_most = int((differences <= 0.0).sum())
    at_least = int((differences >= 0.0).sum())
    return min(1.0, 2.0 * (1 + min(at_most, at_least)) / (len(differences) + 1))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's (1979) step-down adjusted p-values, in the order given; None counts for nothing."""
    known = {k: p for k, p in enumerate(p_values) if p is not None}
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (k, p) in enumerate(sorted(known.items(), key=lambda entry: entry[1])):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[k] = largest
    return adjusted


def paired_difference(
    counts: Counts, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Estimate, float | None]:
    """Difference of shares with percentile interval over participants, and its p-value."""
    if counts.participants == 0:
        return Estimate(None, note="no participant judged both methods"), None
    yes_a, votes_a, yes_b, votes_b = (column.sum() for column in counts)
    observed = float(yes_a / votes_a - yes_b / votes_b)
    if counts.participants == 1:
        note = "only one participant judged both methods: the interval cannot be estimated"
        return Estimate(observed, note=note), None
    note = ""
    if counts.participants < FEW_PARTICIPANTS:
        note = f"only {counts.participants} participants: the interval is a rough approximation"
    differences = bootstrap_differences(counts, resamples, np.random.default_rng(seed))
    estimate = percentile_interval(observed, differences, note)
    return estimate, bootstrap_p(differences) if estimate.has_interval else None


def percentile_interval(value: float, draws: Floats, note: str = "") -> Estimate:
    """95 % percentile interval of bootstrap draws; none where all of them are the same."""
    low, high = (float(end) for end in np.quantile(draws, [0.025, 0.975]))
    if high - low < 1e-12:
        return Estimate(value, note=_CONSTANT)
    return Estimate(value, low, high, note)


def clustered_difference(
    answer: npt.NDArray[np.bool_],
    is_a: npt.NDArray[np.bool_],
    participant: Codes,
    image: Codes,
) -> tuple[Estimate, float | None]:
    """Difference of shares with two-way clustered 95 % interval, and the p-value of its t-test."""
    if not is_a.any() or is_a.all():
        return Estimate(None, note="no answers to one of the two methods"), None
    method = np.where(is_a, 0, 1).astype(np.int64)
    fit = clustered_shares(answer, method, participant, image, 2)
    difference = float(fit.values[0] - fit.values[1])
    if fit.clusters < 2:
        return Estimate(difference, note=fit.note), None
    error = math.sqrt(fit.variance([1.0, -1.0]))
    if error < 1e-12:
        return Estimate(difference, note=_CONSTANT), None
    low, high, p = t_test(difference, error, fit.clusters)
    return Estimate(difference, max(-1.0, low), min(1.0, high), fit.note), p


def adjust(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The same comparisons with Holm-adjusted p-values."""
    plain = holm([entry.p for entry in comparisons])
    clustered = holm([entry.p_clustered for entry in comparisons])
    return tuple(
        replace(entry, p_holm=first, p_clustered_holm=second)
        for entry, first, second in zip(comparisons, plain, clustered, strict=True)
    )


def detectable_difference(comparison: Comparison, family: int) -> float | None:
    """Smallest true difference that this study would find with 80 % power (family tests, α 5 %).

    (z_{1−α/2k} + z_{0.8}) · s.e., the s.e. taken from the paired interval: what a study of this
    size and spread can see, not a statement about the difference that was observed.
    """
    width, z = comparison.paired.width, stats.norm.ppf
    if width is None:
        return None
    error = width / (2.0 * z(0.975))
    return float((z(1.0 - 0.025 / max(family, 1)) + z(0.8)) * error)


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
    method: str, counts: Counts, *, resamples: int = RESAMPLES, seed: int = 0
) -> Detection:
    """d′ and c of a method; the counts' a is the real photographs, b the method."""
    if counts.participants == 0:
        none = Estimate(None, note="no participant judged both this method and real photographs")
        return Detection(method, none, none)
    points = _detected([column.sum() for column in counts])
    if counts.participants == 1:
        note = "only one participant: the interval cannot be estimated"
        return Detection(method, *(Estimate(float(point), note=note) for point in points))
    draws = _detected(resampled_sums(counts, resamples, np.random.default_rng(seed)))
    return Detection(method, *map(percentile_interval, map(float, points), draws))


def _detected(sums: Sequence[npt.ArrayLike]) -> tuple[Floats, Floats]:
    """d′ and c from the sums of `Counts`' four columns."""
    hits, false_alarms = loglinear(*sums[:2]), loglinear(*sums[2:])
    return d_prime(hits, false_alarms), criterion(hits, false_alarms)


def odds_ratio(fit: Clustered, votes: Codes) -> Estimate:
    """Odds of "realistic" for method 0 over method 1, two-way clustered logit interval.

    votes: answers to each of the two methods, (2,).
    """
    shares = fit.values
    if ((shares <= 0.0) | (shares >= 1.0)).any():
        corrected = loglinear(shares * votes, votes)
        odds = corrected / (1.0 - corrected)
        note = (
            "all answers to one side agree, so the odds are 0 or infinite; value with the "
            "loglinear correction, no interval"
        )
        return Estimate(float(odds[0] / odds[1]), note=note)
    log_ratio = float(np.diff(np.log(shares / (1.0 - shares)))[0] * -1.0)
    if fit.clusters < 2:
        note = "only one participant or picture: the interval cannot be estimated"
        return Estimate(float(np.exp(log_ratio)), note=note)
    scale = 1.0 / (shares * (1.0 - shares))
    error = math.sqrt(fit.variance([float(scale[0]), -float(scale[1])]))
    if error < 1e-9:
        return Estimate(float(np.exp(log_ratio)), note=_CONSTANT)
    low, high, _ = t_test(log_ratio, error, fit.clusters)
    value, low, high = (float(np.exp(end)) for end in (log_ratio, low, high))
    return Estimate(value, low, high)
