"""Does the answer drift during a session? Order, practice and fatigue.

logit P(realistic) = method + β·t with t from 0 (first data trial) to 1 (last), two-way clustered
by participant and scene. exp(β) is the odds ratio from the first to the last trial: 1 means no
drift. The fit is Newton's method on the binomial likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import expit

from study.analysis.intervals import Codes, Estimate, Floats, clustered_sum

_STEPS = 50


@dataclass(frozen=True)
class OrderEffect:
    """odds_ratio: last over first trial; p: test of "no drift"; halves: share realistic in the
    first and the second half of the sessions; rt_halves: median response times there (ms)."""

    odds_ratio: Estimate
    p: float | None
    halves: tuple[float | None, float | None]
    rt_halves: tuple[float | None, float | None]


@dataclass(frozen=True)
class LogitFit:
    """Coefficients (K,), their two-way covariance and the two one-way ones (K, K)."""

    coefficients: Floats
    two_way: Floats
    by_participant: Floats
    by_image: Floats


def fit_logit(
    design: Floats, answer: npt.NDArray[np.bool_], participant: Codes, image: Codes
) -> LogitFit | None:
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
    scores = design * (y - p)[:, None]
    both = participant * (int(image.max()) + 1) + image
    parts = [bread @ clustered_sum(scores, group) @ bread for group in (participant, image, both)]
    return LogitFit(beta, parts[0] + parts[1] - parts[2], parts[0], parts[1])


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
    rt_halves = (_median(rt_ms[~late]), _median(rt_ms[late]))

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
    variances = (fit.two_way, fit.by_participant, fit.by_image)
    variance = max(float(part[0, 0]) for part in variances)
    slope, degrees = float(fit.coefficients[0]), min(people, images) - 1
    if variance < 1e-18:
        return OrderEffect(
            Estimate(float(np.exp(slope)), note="the answers do not vary: no interval"),
            None,
            halves,
            rt_halves,
        )
    error = float(np.sqrt(variance))
    reach = float(stats.t.ppf(0.975, degrees)) * error
    ends = np.exp(np.clip([slope, slope - reach, slope + reach], -50.0, 50.0))
    p = float(2.0 * stats.t.sf(abs(slope) / error, degrees))
    estimate = Estimate(float(ends[0]), float(ends[1]), float(ends[2]))
    return OrderEffect(estimate, p, halves, rt_halves)


def _mean(values: npt.NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if len(values) else None


def _median(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else None
