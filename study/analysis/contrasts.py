"""Planned comparisons of two methods: paired participant bootstrap, Holm, and a stricter check.

The primary interval resamples participants, each with all their answers to both methods, so a
generous or a severe participant weighs on both sides alike. It speaks about new people looking at
*these* pictures. The two-way clustered interval beside it also lets the pictures vary, and so
speaks about new people looking at new pictures; where a method is better on some scenes and worse
on others it is wider, and the honest one to quote.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import stats

from study.analysis.intervals import Codes, Estimate, Floats, clustered_shares, few_clusters_note

RESAMPLES = 10_000
"""Bootstrap resamples of a report."""

_CHUNK = 2_000_000
FEW_PARTICIPANTS = 10


@dataclass(frozen=True)
class Counts:
    """Per participant, answers "realistic" and answers in all, for two methods; arrays (P,)."""

    yes_a: Codes
    votes_a: Codes
    yes_b: Codes
    votes_b: Codes

    @property
    def participants(self) -> int:
        """How many participants."""
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
    columns = (counts.yes_a, counts.votes_a, counts.yes_b, counts.votes_b)
    yes_a, votes_a, yes_b, votes_b = resampled_sums(columns, resamples, rng)
    return np.asarray(yes_a / votes_a - yes_b / votes_b, dtype=np.float64)


def bootstrap_p(differences: Floats) -> float:
    """Two-sided p-value of "no difference": twice the smaller tail, never zero.

    The added one in numerator and denominator (Davison and Hinkley 1997, eq. 4.11) counts the
    observed study itself.
    """
    at_most = int((differences <= 0.0).sum())
    at_least = int((differences >= 0.0).sum())
    return min(1.0, 2.0 * (1 + min(at_most, at_least)) / (len(differences) + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down adjusted p-values, in the order given."""
    count = len(p_values)
    order = sorted(range(count), key=lambda k: p_values[k])
    adjusted, largest = [0.0] * count, 0.0
    for rank, k in enumerate(order):
        largest = max(largest, min(1.0, (count - rank) * p_values[k]))
        adjusted[k] = largest
    return adjusted


def paired_difference(
    counts: Counts, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Estimate, float | None]:
    """Difference of shares with percentile interval over participants, and its p-value."""
    if counts.participants == 0:
        return Estimate(None, note="no participant judged both methods"), None
    observed = float(
        counts.yes_a.sum() / counts.votes_a.sum() - counts.yes_b.sum() / counts.votes_b.sum()
    )
    if counts.participants == 1:
        note = "only one participant judged both methods: the interval cannot be estimated"
        return Estimate(observed, note=note), None
    differences = bootstrap_differences(counts, resamples, np.random.default_rng(seed))
    low, high = np.quantile(differences, [0.025, 0.975])
    if high - low < 1e-12:
        note = "every participant shows the same difference: the interval cannot be estimated"
        return Estimate(observed, note=note), None
    note = ""
    if counts.participants < FEW_PARTICIPANTS:
        note = f"only {counts.participants} participants: the interval is a rough approximation"
    return Estimate(observed, float(low), float(high), note), bootstrap_p(differences)


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
    difference = float(fit.shares[0] - fit.shares[1])
    if min(fit.participants, fit.images) < 2:
        single = "participant" if fit.participants < 2 else "picture"
        note = f"only one {single}: the interval cannot be estimated"
        return Estimate(difference, note=note), None
    error = math.sqrt(max(fit.variance([1.0, -1.0]), 0.0))
    if error < 1e-12:
        note = "the answers do not vary: the interval cannot be estimated"
        return Estimate(difference, note=note), None
    reach = fit.critical * error
    low, high = max(-1.0, difference - reach), min(1.0, difference + reach)
    degrees = min(fit.participants, fit.images) - 1
    p = float(2.0 * stats.t.sf(abs(difference) / error, degrees))
    return Estimate(difference, low, high, few_clusters_note(fit)), p


def adjust(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The same comparisons with Holm-adjusted p-values; those without a p-value do not count."""

    def adjusted(values: Sequence[float | None]) -> list[float | None]:
        known = [value for value in values if value is not None]
        steps = iter(holm(known))
        return [None if value is None else next(steps) for value in values]

    plain = adjusted([entry.p for entry in comparisons])
    clustered = adjusted([entry.p_clustered for entry in comparisons])
    return tuple(
        replace(entry, p_holm=first, p_clustered_holm=second)
        for entry, first, second in zip(comparisons, plain, clustered, strict=True)
    )
