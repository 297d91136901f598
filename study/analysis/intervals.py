"""Intervals for a share of "realistic" answers: naive, and clustered by participant and picture.

Answers of one person resemble each other, and so do answers to one picture. A Wilson interval
ignores both and is too narrow; it is reported only under the name *naive*. The interval to use
comes from a logit model with one parameter per method and a two-way cluster-robust covariance
(Cameron, Gelbach and Miller 2011, "Robust inference with multiway clustering"). With one
parameter per method the model is saturated, so the fit is the observed share and its covariance
has the closed form below; no iteration, hence nothing that can fail to converge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import expit, logit

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

FEW_CLUSTERS = 10
"""Below this many participants or pictures a clustered interval is reported with a warning."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval, or the reason why there is none.

    value, low, high: None where it cannot be estimated; note says why, or how far to trust it.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""

    @property
    def has_interval(self) -> bool:
        return self.low is not None and self.high is not None

    @property
    def width(self) -> float | None:
        return None if self.low is None or self.high is None else self.high - self.low


def wilson(yes: int, votes: int) -> tuple[float, float]:
    """95 % score interval (Wilson 1927) for yes of votes, answers taken as independent."""
    if votes < 1 or not 0 <= yes <= votes:
        raise ValueError(f"{yes} of {votes} is not a share of answers")
    z = float(stats.norm.ppf(0.975))
    share, spread = yes / votes, z * z / votes
    centre = (share + spread / 2.0) / (1.0 + spread)
    half = z / (1.0 + spread) * math.sqrt(share * (1.0 - share) / votes + spread / (4.0 * votes))
    # the exact ends, where rounding would leave 1e-17 or 1 - 1e-16
    low = 0.0 if yes == 0 else max(0.0, centre - half)
    high = 1.0 if yes == votes else min(1.0, centre + half)
    return low, high


@dataclass(frozen=True)
class Clustered:
    """Estimates (K,) with their covariances (K, K), clustered three ways.

    by_participant, by_image, by_both: clustered by participant, by scene, and by both together.
    participants, images: how many clusters.
    """

    values: Floats
    by_participant: Floats
    by_image: Floats
    by_both: Floats
    participants: int
    images: int

    @property
    def two_way(self) -> Floats:
        """Cameron–Gelbach–Miller covariance V_participant + V_image − V_both, (K, K)."""
        return self.by_participant + self.by_image - self.by_both

    @property
    def clusters(self) -> int:
        """The fewer of participants and scenes: an interval's degrees of freedom and one."""
        return min(self.participants, self.images)

    @property
    def note(self) -> str:
        """Why there is no interval, or that it rests on too few clusters for the asymptotics."""
        if self.clusters < 2:
            single = "participant" if self.participants < 2 else "picture"
            return f"only one {single}: the interval cannot be estimated"
        if self.clusters < FEW_CLUSTERS:
            return (
                f"only {self.participants} participants and {self.images} pictures: "
                "the interval is a rough approximation"
            )
        return ""

    def variance(self, weights: Sequence[float]) -> float:
        """Variance of the weighted sum: the two-way one, but no less than each one-way.

        The two-way difference of sums can fall below a one-way variance, even below zero, by
        chance; taking the largest keeps the interval from being narrower than a simpler
        analysis would make it (MacKinnon, Nielsen and Webb 2021 call it max-se).
        """
        w = np.asarray(weights, dtype=np.float64)
        parts = (self.two_way, self.by_participant, self.by_image)
        return max(0.0, *(float(w @ part @ w) for part in parts))


def t_test(value: float, error: float, clusters: int) -> tuple[float, float, float]:
    """95 % interval by Student's t with clusters − 1 degrees of freedom, and p of "zero"."""
    reach = float(stats.t.ppf(0.975, clusters - 1)) * error
    p = float(2.0 * stats.t.sf(abs(value) / error, clusters - 1))
    return value - reach, value + reach, p


def clustered_shares(
    answer: npt.NDArray[np.bool_], method: Codes, participant: Codes, image: Codes, methods: int
) -> Clustered:
    """Shares per method with cluster-robust covariance; all arrays (N,), method codes 0…M−1.

    With influence e_i = (y_i − p_m) / n_m of answer i on the share of its method, the covariance
    clustered by g is c_g Σ_g (Σ_{i∈g} e_i)(Σ_{i∈g} e_i)ᵀ, c_g = G/(G−1) · (N−1)/(N−M), the
    small-sample factor of Stata and statsmodels. Times 1/(p_m(1−p_m)) on both sides it is the
    sandwich covariance of the saturated logit model.
    """
    votes = np.bincount(method, minlength=methods)
    if (votes == 0).any():
        raise ValueError("every method needs at least one answer")
    y = answer.astype(np.float64)
    shares = np.bincount(method, weights=y, minlength=methods) / votes
    influence = (y - shares[method]) / votes[method]
    scores = np.where(method[:, None] == np.arange(methods), influence[:, None], 0.0)
    return clustered(shares, scores, participant, image)


def clustered(values: Floats, scores: Floats, participant: Codes, image: Codes) -> Clustered:
    """Estimates with covariances from each answer's influence on them, scores (N, K)."""
    both = participant * (int(image.max()) + 1) + image
    parts = [_clustered_sum(scores, group) for group in (participant, image, both)]
    people, images = (len(np.unique(group)) for group in (participant, image))
    return Clustered(values, parts[0], parts[1], parts[2], people, images)


def _clustered_sum(scores: Floats, group: Codes) -> Floats:
    """c_g Σ_g s_g s_gᵀ of the clusters' summed scores; scores (N, K), group (N,)."""
    _, group = np.unique(group, return_inverse=True)
    n, k = scores.shape
    groups = int(group.max()) + 1
    if groups < 2 or n <= k:
        return np.full((k, k), np.nan)
    sums = np.stack([np.bincount(group, weights=column) for column in scores.T], axis=1)
    factor = groups / (groups - 1) * (n - 1) / (n - k)
    return np.asarray(factor * (sums.T @ sums), dtype=np.float64)


def share_interval(answer: npt.NDArray[np.bool_], participant: Codes, image: Codes) -> Estimate:
    """One method's share with its two-way clustered 95 % interval on the logit scale."""
    n = len(answer)
    if n == 0:
        return Estimate(None, note="no answers")
    fit = clustered_shares(answer, np.zeros(n, dtype=np.int64), participant, image, 1)
    share = float(fit.values[0])
    if fit.clusters < 2:
        return Estimate(share, note=fit.note)
    if share in (0.0, 1.0):
        # Clopper and Pearson (1934), by the quantiles of the beta distribution
        low = float(stats.beta.ppf(0.025, fit.clusters, 1)) if share else 0.0
        high = 1.0 if share else float(stats.beta.ppf(0.975, 1, fit.clusters))
        side = "realistic" if share else "not realistic"
        note = (
            f"every answer is “{side}”: no logit model can be fitted; exact binomial interval "
            f"for {fit.clusters} independent answers, the fewer of participants and pictures"
        )
        return Estimate(share, low, high, note)
    scale = share * (1.0 - share)
    error = math.sqrt(max(fit.variance([1.0]), scale / n)) / scale
    low, high, _ = t_test(float(logit(share)), error, fit.clusters)
    return Estimate(share, float(expit(low)), float(expit(high)), fit.note)
