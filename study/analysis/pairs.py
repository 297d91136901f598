"""Two pictures, one question: Bradley-Terry strengths with intervals for new people and scenes.

P(method preferred to against) = logit⁻¹(s_method − s_against) (Bradley and Terry 1952), fitted by
maximum likelihood with `choix`. There is no order of answers in it, as there is in Elo's ratings.

Answers of one person go together, and so do answers on one scene. The variance of a difference of
strengths is V_people + V_scenes − V_answers, each by a bootstrap that draws people, scenes or
single answers with replacement: the two-way clustering of Cameron, Gelbach and Miller (2011), as
for shares in `study.analysis.intervals`. Drawing people and scenes at once would count the spread
of single answers three times.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import choix
import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from study.analysis.contrasts import holm, resampled_sums
from study.analysis.intervals import Codes, Estimate, Floats, share_interval, t_test
from study.records import REAL

RESAMPLES = 1_000
_STEPS = 12
_RUNAWAY = 12.0  # odds of 160,000 to 1: no maximum


@dataclass(frozen=True)
class PairShare:
    """How often `method` was preferred to `against`; share with two-way clustered interval."""

    method: str
    against: str
    wins: int
    votes: int
    share: Estimate
    modelled: float | None
    """The same share by the model."""


@dataclass(frozen=True)
class Strength:
    """A method's strength over the reference (log odds), and how often it would be preferred."""

    method: str
    strength: Estimate
    preferred: Estimate


@dataclass(frozen=True)
class StrengthContrast:
    """A planned comparison: difference of two strengths, its p-value, and that Holm-corrected."""

    method: str
    against: str
    difference: Estimate
    p: float | None
    p_holm: float | None = None


@dataclass(frozen=True)
class PairResults:
    """Everything about a set of comparisons. left: share of answers for the left picture."""

    votes: int
    participants: int
    images: int
    reference: str
    strengths: tuple[Strength, ...]
    pairs: tuple[PairShare, ...]
    contrasts: tuple[StrengthContrast, ...]
    left: Estimate
    note: str = ""

    @property
    def misfit(self) -> float | None:
        """Largest difference between an observed share and the model's; None with two methods."""
        known = [
            abs(entry.modelled - entry.share.value)
            for entry in self.pairs
            if entry.modelled is not None and entry.share.value is not None
        ]
        return max(known) if len(known) > 1 else None


def fit_bradley_terry(wins: Floats) -> Floats | None:
    """Strengths (K,) with mean 0 from wins[i, j] = how often i beat j; None if there is no fit.

    A fit exists where from every method a chain of wins leads to every other (Ford 1957).
    """
    groups, _ = connected_components(wins > 0, connection="strong")
    if groups > 1:
        return None
    return np.asarray(choix.ilsr_pairwise_dense(wins), dtype=np.float64)


def refit(wins: Floats, start: Floats) -> Floats:
    """Strengths (R, K) of many resampled studies (R, K, K) at once, from one study's fit (K,).

    Newton's method on all of them together takes 1/200 of the time of `choix` on each. Draws that
    have no fit get half a win each way for methods that met.
    """
    theta = _newton(wins, start)
    runaway = ~(np.abs(theta).max(axis=1) < _RUNAWAY)
    if runaway.any():
        met = wins[runaway] + np.swapaxes(wins[runaway], 1, 2) > 0
        theta[runaway] = _newton(wins[runaway] + 0.5 * met, start)
    return theta


def _newton(wins: Floats, start: Floats) -> Floats:
    met = wins + np.swapaxes(wins, 1, 2)
    theta = np.tile(start, (len(wins), 1))
    methods = len(start)
    for _ in range(_STEPS):
        chance = expit(theta[:, :, None] - theta[:, None, :])
        slope = (wins - met * chance).sum(axis=2)
        weight = met * chance * (1.0 - chance)
        # strengths are known up to a constant: the added ones hold their mean
        hessian = np.eye(methods) * weight.sum(axis=2)[:, :, None] - weight + 1.0 / methods
        hessian += 1e-9 * np.eye(methods)
        step = np.linalg.solve(hessian, slope[:, :, None])[:, :, 0]
        theta = theta + np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-9:
            break
    return theta


def compare_pairs(
    data: pd.DataFrame,
    contrasts: tuple[tuple[str, str], ...] = (),
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairResults | None:
    """Analyse the trials of kind "pair", in order of participant and trial; None without any."""
    data = data[data["kind"] == "pair"]
    if data.empty:
        return None
    names = sorted({*data["method"], *data["against"]})
    answer = data["answer"].to_numpy(dtype=np.bool_)
    people = pd.factorize(data["participant"], sort=True)[0].astype(np.int64)
    images = pd.factorize(data["base_image"], sort=True)[0].astype(np.int64)
    is_left = answer == data["method_on_left"].fillna(True).to_numpy(dtype=np.bool_)
    pair = np.stack(
        [pd.Categorical(data[side], categories=names).codes for side in ("method", "against")],
        axis=1,
    ).astype(np.int64)
    won = np.where(answer[:, None], pair, pair[:, ::-1])
    cell = won[:, 0] * len(names) + won[:, 1]
    model = _Model(cell, len(names), people, images, min(resamples, RESAMPLES), seed)
    reference = names.index(REAL) if REAL in names else 0
    strengths = [(names[code], model.difference(code, reference)[0]) for code in model.order]
    tested = [
        StrengthContrast(a, b, *model.difference(names.index(a), names.index(b)))
        for a, b in contrasts
        if {a, b} <= set(names)
    ]
    corrected = zip(tested, holm([entry.p for entry in tested]), strict=True)
    return PairResults(
        len(answer),
        int(people.max()) + 1,
        int(images.max()) + 1,
        names[reference],
        tuple(Strength(name, strength, _chance(strength)) for name, strength in strengths),
        tuple(_shares(pair, names, model, answer, people, images)),
        tuple(replace(entry, p_holm=p) for entry, p in corrected),
        share_interval(is_left, people, images),
        model.note,
    )


class _Model:
    """One fit and the draws behind its variances; cell (N,) is winner · K + loser.

    order: method codes from the strongest to the weakest, as they come without a fit.
    """

    def __init__(
        self, cell: Codes, methods: int, people: Codes, images: Codes, resamples: int, seed: int
    ) -> None:
        self.clusters = min(len(np.unique(people)), len(np.unique(images)))
        wins = np.bincount(cell, minlength=methods**2).reshape(methods, methods)
        self.fit = fit_bradley_terry(wins.astype(np.float64))
        self.order = list(range(methods))
        self.note = ""
        if self.fit is None:
            self.note = (
                "a method won or lost all its comparisons, or some methods never met: "
                "strengths cannot be estimated"
            )
            return
        self.order = [int(code) for code in np.argsort(-self.fit, kind="stable")]
        rng, size = np.random.default_rng(seed), methods**2
        self.draws = []  # strengths with people, scenes or answers drawn with replacement
        for groups in (people, images, np.arange(len(cell))):
            table = np.bincount(groups * size + cell, minlength=(groups.max() + 1) * size)
            sums = resampled_sums(list(table.reshape(-1, size).T), resamples, rng)
            drawn = np.stack(sums, axis=1).reshape(-1, methods, methods)
            self.draws.append(refit(drawn, self.fit))

    def difference(self, a: int, b: int) -> tuple[Estimate, float | None]:
        """s_a − s_b with its 95 % interval, and the p-value of "none"."""
        if self.fit is None:
            return Estimate(None, note=self.note), None
        value = float(self.fit[a] - self.fit[b])
        if a == b:
            return Estimate(0.0, note="the reference"), None
        if self.clusters < 2:
            return Estimate(value, note="only one participant or scene: no interval"), None
        by_people, by_scenes, by_answers = (
            float(np.var(draw[:, a] - draw[:, b], ddof=1)) for draw in self.draws
        )
        error = max(by_people + by_scenes - by_answers, by_people, by_scenes) ** 0.5
        if error < 1e-9:
            return Estimate(value, note="the answers do not vary: no interval"), None
        low, high, p = t_test(value, error, self.clusters)
        return Estimate(value, low, high), p


def _chance(strength: Estimate) -> Estimate:
    """How often a method with this lead would be preferred."""
    ends = (strength.value, strength.low, strength.high)
    value, low, high = (None if end is None else float(expit(end)) for end in ends)
    return Estimate(value, low, high, strength.note)


def _shares(
    pair: Codes,
    names: list[str],
    model: _Model,
    answer: np.ndarray,
    people: Codes,
    images: Codes,
) -> list[PairShare]:
    found = []
    met = np.sort(pair, axis=1)
    for a, b in np.unique(met, axis=0):
        chosen = (met == (a, b)).all(axis=1)
        prefers = (answer == (pair[:, 0] == a))[chosen]
        modelled = _chance(model.difference(a, b)[0]).value
        share = share_interval(prefers, people[chosen], images[chosen])
        wins, votes = int(prefers.sum()), len(prefers)
        found.append(PairShare(names[a], names[b], wins, votes, share, modelled))
    return found
