"""How far answers can be trusted: agreement about pictures, drift over a session, times.

Drift: logit P(realistic) = method + β·t with t from 0 (first data trial) to 1 (last), two-way
clustered by participant and scene. exp(β) is the odds ratio from the first to the last trial: 1
means no drift. The fit is Newton's method on the binomial likelihood.

Agreement: Krippendorff's α = 1 − D_o/D_e for nominal data (Krippendorff 2004, ch. 11). For n_u
answers of which y_u are "realistic" on picture u, over pictures with at least two answers:
D_o = Σ_u 2·y_u·(n_u − y_u)/(n_u − 1) / n,  D_e = 2·Y·(n − Y)/(n(n − 1)),  n = Σ n_u, Y = Σ y_u.
Missing answers are no trouble. α = 1 is full agreement, 0 what chance would give.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from study.analysis.contrasts import resampled_sums
from study.analysis.intervals import Clustered, Codes, Estimate, Floats, clustered, t_test

RESAMPLES = 1_000
_STEPS = 50


@dataclass(frozen=True)
class ResponseTimes:
    """Milliseconds: quartiles over all answers, medians by answer; None where none is known."""

    answers: int
    lower: float | None
    median: float | None
    upper: float | None
    realistic: float | None
    not_realistic: float | None


@dataclass(frozen=True)
class OrderEffect:
    """odds_ratio: last over first trial; p: test of "no drift"; halves: share realistic in the
    first and the second half of the sessions; rt_halves: median response times there (ms)."""

    odds_ratio: Estimate
    p: float | None
    halves: tuple[float | None, float | None]
    rt_halves: tuple[float | None, float | None]


def fit_logit(
    design: Floats, answer: npt.NDArray[np.bool_], participant: Codes, image: Codes
) -> Clustered | None:
    """Maximum-likelihood logit with two-way clustered covariance; None if it does not exist.

    design: (N, K), full rank. Separation (a combination of columns that predicts every answer)
    shows as coefficients that run away, and gives None.
    """
    y = answer.astype(np.float64)
    beta = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        p = expit(design @ beta)
        hessian = design.T @ (design * (p * (1.0 - p))[:, None])
        if not np.isfinite(hessian).all() or np.linalg.cond(hessian) > 1e12:
            return None
        step = np.linalg.solve(hessian, design.T @ (y - p))
        beta = beta + step
        if np.abs(beta).max() > 30.0:
            return None
        if np.abs(step).max() < 1e-10:
            break
    else:
        return None
    p = expit(design @ beta)
    bread = np.linalg.inv(design.T @ (design * (p * (1.0 - p))[:, None]))
    return clustered(beta, design * (y - p)[:, None] @ bread, participant, image)


def order_effect(
    answer: npt.NDArray[np.bool_],
    method: Codes,
    position: Floats,
    participant: Codes,
    image: Codes,
    rt_ms: Floats,
) -> OrderEffect:
    """Drift over a session; all arrays (N,), position in [0, 1], rt_ms nan where unknown."""
    late = position > 0.5
    halves = (_mean(answer[~late]), _mean(answer[late]))
    rt_halves = (_quantile(rt_ms[~late], 0.5), _quantile(rt_ms[late], 0.5))

    def without(reason: str) -> OrderEffect:
        return OrderEffect(Estimate(None, note=reason), None, halves, rt_halves)

    mixed = [m for m in np.unique(method) if 0 < answer[method == m].sum() < (method == m).sum()]
    kept = np.isin(method, mixed)
    people, images = len(np.unique(participant[kept])), len(np.unique(image[kept]))
    if not mixed:
        return without("no method has both answers, so drift cannot be seen")
    if min(people, images) < 2:
        return without("only one participant or picture: drift cannot be estimated")
    if np.ptp(position[kept]) == 0.0 or kept.sum() <= len(mixed) + 2:
        return without("too few answers to estimate drift")
    columns = [(method[kept] == m).astype(np.float64) for m in mixed]
    design = np.stack([position[kept], *columns], axis=1)
    fit = fit_logit(design, answer[kept], participant[kept], image[kept])
    if fit is None:
        return without("trial position and answers (or method) go together completely: no estimate")
    slope = float(fit.values[0])
    error = float(np.sqrt(fit.variance(np.eye(len(fit.values))[0])))
    if error < 1e-9:
        odds = Estimate(float(np.exp(slope)), note="the answers do not vary: no interval")
        return OrderEffect(odds, None, halves, rt_halves)
    low, high, p = t_test(slope, error, fit.clusters)
    value, low, high = (float(end) for end in np.exp(np.clip([slope, low, high], -50.0, 50.0)))
    return OrderEffect(Estimate(value, low, high), p, halves, rt_halves)


def _mean(values: npt.NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if len(values) else None


def _quantile(values: Floats, q: float) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.quantile(known, q)) if len(known) else None


def _alpha(observed: Floats, total: Floats, positive: Floats) -> Floats:
    """1 − D_o/D_e from Σ 2y(n − y)/(n − 1), n and Y; nan where every answer is the same."""
    expected = 2.0 * positive * (total - positive)
    possible = expected > 0
    ratio = observed * np.maximum(total - 1.0, 0.0) / np.where(possible, expected, 1.0)
    return np.asarray(np.where(possible, 1.0 - ratio, np.nan), dtype=np.float64)


def agreement(yes: Codes, votes: Codes, *, seed: int = 0) -> Estimate:
    """α with a percentile interval over pictures drawn with replacement; arrays (U,).

    Participants are not resampled: a person drawn twice would agree with themself.
    """
    kept = votes >= 2
    yes, votes = yes[kept], votes[kept]
    pictures = len(votes)
    if pictures == 0:
        return Estimate(None, note="no picture has two answers")
    terms = [2.0 * yes * (votes - yes) / (votes - 1.0), votes, yes]
    point = float(_alpha(*(term.sum() for term in terms)))
    if np.isnan(point):
        return Estimate(None, note="every answer is the same: α is not defined")
    if pictures == 1:
        return Estimate(point, note="only one picture: the interval cannot be estimated")
    draws = _alpha(*resampled_sums(terms, RESAMPLES, np.random.default_rng(seed)))
    draws = draws[~np.isnan(draws)]
    if len(draws) < 0.9 * RESAMPLES:
        return Estimate(point, note="too few differing answers for an interval")
    low, high = (float(end) for end in np.quantile(draws, [0.025, 0.975]))
    return Estimate(point, low, high)


def response_times(rt_ms: Floats, answer: npt.NDArray[np.bool_]) -> ResponseTimes:
    """Quartiles and medians by answer of response times (N,) in ms, nan where unknown."""
    return ResponseTimes(
        int((~np.isnan(rt_ms)).sum()),
        *(_quantile(rt_ms, q) for q in (0.25, 0.5, 0.75)),
        *(_quantile(rt_ms[chosen], 0.5) for chosen in (answer, ~answer)),
    )
