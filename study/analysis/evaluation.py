"""A study's answers, analysed: pure functions from a table of votes to frozen results.

Nothing here reads a file or a clock, and nothing raises on thin data: a figure that cannot be
estimated is an `Estimate` without a value, whose note says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from study.analysis.contrasts import (
    Comparison,
    Detection,
    adjust,
    clustered_difference,
    detection,
    odds_ratio,
    paired_counts,
    paired_difference,
)
from study.analysis.intervals import Codes, Estimate, clustered_shares, share_interval, wilson
from study.analysis.pairs import PairResults, compare_pairs
from study.analysis.plan import Plan, excluded_participants
from study.analysis.reliability import (
    OrderEffect,
    ResponseTimes,
    agreement,
    order_effect,
    response_times,
)
from study.records import DATA, REAL

FACTORS = {"exposure": "exposure_ms", "kind of scene": "scene_kind"}
"""Factors of a design and the columns that hold their levels."""


@dataclass(frozen=True)
class VersusReal:
    """A method against real photographs.

    difference: share minus the share of photographs; p: its test. odds_ratio: method over real.
    """

    difference: Estimate
    p: float | None
    odds_ratio: Estimate
    detection: Detection

    @property
    def estimates(self) -> dict[str, Estimate]:
        return {
            "difference": self.difference,
            "odds_ratio": self.odds_ratio,
            "d_prime": self.detection.d_prime,
            "criterion": self.detection.criterion,
        }


@dataclass(frozen=True)
class MethodResult:
    """Everything about one method. naive: Wilson interval that takes answers as independent.
    design_effect: how much wider (in variance) the clustered interval is than the naive one."""

    method: str
    yes: int
    votes: int
    participants: int
    images: int
    share: Estimate
    naive: tuple[float, float]
    agreement: Estimate
    response_times: ResponseTimes
    versus_real: VersusReal | None

    @property
    def is_real(self) -> bool:
        return self.method == REAL

    @property
    def design_effect(self) -> float | None:
        """(clustered width / naive width)², None without a clustered interval."""
        width = self.share.width
        return None if width is None else float((width / (self.naive[1] - self.naive[0])) ** 2)


@dataclass(frozen=True)
class FactorLevel:
    """Share at one level of a factor. group: the method; pairs: “method : against”."""

    level: str
    group: str
    yes: int
    votes: int
    share: Estimate


@dataclass(frozen=True)
class Results:
    """One complete evaluation of one set of votes.

    factors: by name (exposure, kind of scene) the shares at each level, where there are several.
    pairs: the comparisons of a study with `task: pairs`.
    """

    votes: int
    participants: int
    images: int
    methods: tuple[MethodResult, ...]
    contrasts: tuple[Comparison, ...]
    agreement: Estimate
    order: OrderEffect
    omnibus: tuple[float, float, int] | None
    omnibus_note: str
    pictures: pd.DataFrame
    factors: Mapping[str, tuple[FactorLevel, ...]]
    pairs: PairResults | None

    def method(self, name: str) -> MethodResult | None:
        """The result of one method, None if it has no votes."""
        return next((entry for entry in self.methods if entry.method == name), None)


@dataclass(frozen=True)
class Analysis:
    """main: after the declared exclusions. everyone: without any. excluded: reasons by person."""

    plan: Plan
    main: Results
    everyone: Results
    excluded: dict[str, list[str]]
    people: int
    notes: tuple[str, ...]


def analyse(votes: pd.DataFrame, plan: Plan, participants: pd.DataFrame | None = None) -> Analysis:
    """Analyse a study.

    Args:
        votes: as `study.analysis.votes.checked_votes` returns them, all kinds of trials.
        plan: what was declared.
        participants: as in `study.records.ParticipantRecord`; used for plates only.

    Returns:
        Results with and without the exclusions. Equal input gives equal output.
    """
    excluded = excluded_participants(votes, plan.rules, participants)
    # the analysis must not depend on the order of the rows
    votes = votes.sort_values(["participant", "trial"], kind="stable")
    data = votes[votes["kind"].isin(DATA)]
    kept = data[~data["participant"].isin(list(excluded))]
    return Analysis(
        plan,
        evaluate(kept, plan),
        evaluate(data, plan),
        excluded,
        int(votes["participant"].nunique()),
        tuple(_notes(data, kept, plan)),
    )


def _notes(data: pd.DataFrame, kept: pd.DataFrame, plan: Plan) -> list[str]:
    notes = []
    present = {*data["method"], *data["against"]} - {""}
    if data.empty:
        notes.append("There are no answers yet.")
    elif kept.empty:
        notes.append("The declared exclusions leave no answers; see the results without them.")
    if present and REAL not in present:
        notes.append(
            "No real photographs were shown, so the answers have no reference: differences, "
            "odds ratios, d′ and the criterion cannot be estimated."
        )
    if len(present - {REAL}) == 1:
        notes.append("Only one method was shown, so methods cannot be compared.")
    missing = sorted({name for pair in plan.contrasts for name in pair} - present)
    if missing and present:
        notes.append(f"Planned comparisons name methods without answers: {', '.join(missing)}.")
    if not plan.contrasts and len(present - {REAL}) > 1:
        notes.append("No comparisons were declared, so none is tested.")
    return notes


def evaluate(everything: pd.DataFrame, plan: Plan) -> Results:
    """Every figure of the report from data trials (real photographs, methods, pairs) alone."""
    pairs = compare_pairs(everything, plan.contrasts, resamples=plan.resamples, seed=plan.seed)
    data = everything[everything["kind"] != "pair"]
    shares = data.groupby("method")["answer"].mean()
    # real photographs first, then methods from the most to the least convincing
    methods = sorted(data["method"].unique(), key=lambda name: (name != REAL, -shares[name], name))
    contrasts = plan.contrasts if pairs is None or len(data) else ()
    statistic, note = _omnibus(data)
    return Results(
        len(data),
        data["participant"].nunique(),
        data["base_image"].nunique(),
        tuple(_method_result(data, name, plan) for name in methods),
        adjust([_comparison(data, a, b, plan) for a, b in contrasts]),
        _agreement(data, plan.seed),
        _order_effect(data, methods),
        statistic,
        note,
        pictures(data),
        {
            name: levels
            for name, column in FACTORS.items()
            if len(levels := factor_levels(everything, column))
        },
        pairs,
    )


def factor_levels(data: pd.DataFrame, column: str) -> tuple[FactorLevel, ...]:
    """Shares of each method (or pair) at each level of a factor; empty if there is one level."""
    known = data[data[column].notna() & (data[column] != "")]
    if known[column].nunique() < 2:
        return ()
    group = known["method"].where(
        known["against"] == "", known["method"] + " : " + known["against"]
    )
    found = []
    for (name, level), rows in known.groupby([group, column], sort=True):
        answer = rows["answer"].to_numpy(dtype=np.bool_)
        codes = (pd.factorize(rows[c])[0].astype(np.int64) for c in ("participant", "base_image"))
        shown = f"{level:g}" if isinstance(level, float) else str(level)
        share = share_interval(answer, *codes)
        found.append(FactorLevel(shown, str(name), int(answer.sum()), len(answer), share))
    return tuple(found)


def _arrays(votes: pd.DataFrame) -> tuple[npt.NDArray[np.bool_], Codes, Codes]:
    """Answers, and codes of participants and scenes."""
    people, images = (
        pd.factorize(votes[column], sort=True)[0].astype(np.int64)
        for column in ("participant", "base_image")
    )
    return votes["answer"].to_numpy(dtype=np.bool_), people, images


def _order_effect(data: pd.DataFrame, methods: list[str]) -> OrderEffect:
    answer, people, images = _arrays(data)
    codes = pd.Categorical(data["method"], categories=methods).codes.astype(np.int64)
    place = data.groupby("participant").cumcount()
    last = data.groupby("participant")["trial"].transform("size") - 1
    position = (place / last.clip(lower=1)).to_numpy(dtype=np.float64)
    rt_ms = data["rt_ms"].to_numpy(dtype=np.float64)
    return order_effect(answer, codes, position, people, images, rt_ms)


def _method_result(data: pd.DataFrame, name: str, plan: Plan) -> MethodResult:
    votes = data[data["method"] == name]
    answer, people, images = _arrays(votes)
    yes = int(answer.sum())
    compared = name != REAL and (data["method"] == REAL).any()
    return MethodResult(
        name,
        yes,
        len(votes),
        votes["participant"].nunique(),
        votes["base_image"].nunique(),
        share_interval(answer, people, images),
        wilson(yes, len(votes)),
        _agreement(votes, plan.seed),
        response_times(votes["rt_ms"].to_numpy(dtype=np.float64), answer),
        _versus_real(data, name, plan) if compared else None,
    )


def _versus_real(data: pd.DataFrame, name: str, plan: Plan) -> VersusReal:
    votes = data[data["method"].isin([name, REAL])]
    is_real = (votes["method"] == REAL).to_numpy()
    answer, people, images = _arrays(votes)
    difference, p = clustered_difference(answer, ~is_real, people, images)
    codes = is_real.astype(np.int64)
    counts = paired_counts(answer, is_real, people)
    return VersusReal(
        difference,
        p,
        odds_ratio(clustered_shares(answer, codes, people, images, 2), np.bincount(codes)),
        detection(name, counts, resamples=plan.resamples, seed=plan.seed),
    )


def _comparison(data: pd.DataFrame, a: str, b: str, plan: Plan) -> Comparison:
    votes = data[data["method"].isin([a, b])]
    is_a = (votes["method"] == a).to_numpy()
    answer, people, images = _arrays(votes)
    counts = paired_counts(answer, is_a, people)
    paired, p = paired_difference(counts, resamples=plan.resamples, seed=plan.seed)
    clustered, p_clustered = clustered_difference(answer, is_a, people, images)
    return Comparison(a, b, counts.participants, paired, p, None, clustered, p_clustered, None)


def _agreement(votes: pd.DataFrame, seed: int) -> Estimate:
    per_picture = votes.groupby("stimulus")["answer"].agg(["sum", "size"]).astype(np.int64)
    return agreement(*per_picture.to_numpy().T, seed=seed)


def _omnibus(data: pd.DataFrame) -> tuple[tuple[float, float, int] | None, str]:
    """Friedman's test that all methods (photographs apart) are alike, on participants' shares."""
    shown = data[data["method"] != REAL]
    if shown["method"].nunique() < 3:
        return None, "Friedman’s test needs three methods"
    means = shown.groupby(["participant", "method"])["answer"].mean()
    shares = means.unstack().dropna().to_numpy(dtype=np.float64)
    if len(shares) < 5:
        return None, "Friedman’s test needs five participants who judged every method"
    if (np.ptp(shares, axis=1) == 0.0).all():
        return None, "every participant gave every method the same share"
    statistic, p = stats.friedmanchisquare(*shares.T)
    return (float(statistic), float(p), len(shares)), ""


def pictures(data: pd.DataFrame) -> pd.DataFrame:
    """Per picture: method, base_image, stimulus, yes, votes, share, low, high (Wilson)."""
    grouped = data.groupby(["method", "base_image", "stimulus"], sort=True)["answer"]
    table = grouped.agg(yes="sum", votes="size").reset_index()
    table["yes"] = table["yes"].astype(int)
    table["share"] = table["yes"] / table["votes"]
    ends = [wilson(*counts) for counts in zip(table["yes"], table["votes"], strict=True)]
    table["low"] = [low for low, _ in ends]
    table["high"] = [high for _, high in ends]
    return table
