"""A study's answers, analysed: pure functions from a table of votes to frozen results.

Nothing here reads a file or a clock, and nothing raises on thin data: a figure that cannot be
estimated is an `Estimate` without a value, whose note says why.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from study.analysis.contrasts import (
    Comparison,
    adjust,
    clustered_difference,
    detection,
    odds_ratio,
    paired_counts,
    paired_difference,
)
from study.analysis.intervals import (
    Codes,
    Estimate,
    Floats,
    clustered_shares,
    share_interval,
    wilson,
)
from study.analysis.pairs import compare_pairs
from study.analysis.plan import Plan, excluded_participants, ordered
from study.analysis.reliability import agreement, order_effect, response_times
from study.analysis.results import (
    Analysis,
    FactorLevel,
    MethodResult,
    Results,
    VersusReal,
)
from study.records import DATA, REAL

FACTORS = {"exposure": "exposure_ms", "kind of scene": "scene_kind"}
"""Factors of a design and the columns that hold their levels."""


@dataclass(frozen=True)
class _Coded:
    """Votes as arrays (N,); methods[m] is the name of method code m."""

    answer: npt.NDArray[np.bool_]
    method: Codes
    participant: Codes
    image: Codes
    stimulus: Codes
    position: Floats
    rt_ms: Floats
    methods: tuple[str, ...]


def analyse(
    votes: pd.DataFrame, plan: Plan | None = None, participants: pd.DataFrame | None = None
) -> Analysis:
    """Analyse a study.

    Args:
        votes: as `study.analysis.votes.checked_votes` returns them, all kinds of trials.
        plan: what was declared; default the program's defaults.
        participants: as in `study.records.ParticipantRecord`; used for plates only.

    Returns:
        Results with and without the exclusions. Equal input gives equal output.
    """
    plan = plan or Plan()
    known = participants if participants is not None and len(participants) else None
    excluded = excluded_participants(votes, plan.rules, known)
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
    coded = _coded(data)
    methods = tuple(_method_result(coded, name, plan) for name in coded.methods)
    contrasts = plan.contrasts if pairs is None or len(data) else ()
    comparisons = adjust([_comparison(coded, a, b, plan) for a, b in contrasts])
    statistic, note = _omnibus(data)
    return Results(
        len(coded.answer),
        len(np.unique(coded.participant)),
        len(np.unique(coded.image)),
        methods,
        comparisons,
        _agreement(coded, np.ones(len(coded.answer), dtype=np.bool_), plan.seed),
        order_effect(
            coded.answer,
            coded.method,
            coded.position,
            coded.participant,
            coded.image,
            coded.rt_ms,
        ),
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


def _coded(data: pd.DataFrame) -> _Coded:
    # the analysis must not depend on the order of the rows
    data = data.sort_values(["participant", "trial"], kind="stable")
    shares = {
        str(name): float(share) for name, share in data.groupby("method")["answer"].mean().items()
    }
    names = ordered(list(shares), shares)
    place = data.groupby("participant").cumcount()
    last = data.groupby("participant")["trial"].transform("size") - 1
    return _Coded(
        data["answer"].to_numpy(dtype=np.bool_),
        np.array([names.index(name) for name in data["method"]], dtype=np.int64),
        pd.factorize(data["participant"], sort=True)[0].astype(np.int64),
        pd.factorize(data["base_image"], sort=True)[0].astype(np.int64),
        pd.factorize(data["stimulus"], sort=True)[0].astype(np.int64),
        (place / last.clip(lower=1)).to_numpy(dtype=np.float64),
        data["rt_ms"].to_numpy(dtype=np.float64),
        names,
    )


def _method_result(coded: _Coded, name: str, plan: Plan) -> MethodResult:
    chosen = coded.method == coded.methods.index(name)
    answer, people, images = coded.answer[chosen], coded.participant[chosen], coded.image[chosen]
    yes, votes = int(answer.sum()), len(answer)
    versus = None
    if name != REAL and REAL in coded.methods:
        versus = _versus_real(coded, name, plan)
    return MethodResult(
        name,
        yes,
        votes,
        len(np.unique(people)),
        len(np.unique(images)),
        share_interval(answer, people, images),
        wilson(yes, votes),
        _agreement(coded, chosen, plan.seed),
        response_times(coded.rt_ms[chosen], answer),
        versus,
    )


def _pair(coded: _Coded, a: str, b: str) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which votes belong to either method, and among those which to a."""
    codes = [coded.methods.index(name) if name in coded.methods else -1 for name in (a, b)]
    chosen = np.isin(coded.method, codes)
    return chosen, coded.method[chosen] == codes[0]


def _versus_real(coded: _Coded, name: str, plan: Plan) -> VersusReal:
    chosen, is_method = _pair(coded, name, REAL)
    answer, people, images = coded.answer[chosen], coded.participant[chosen], coded.image[chosen]
    difference, p = clustered_difference(answer, is_method, people, images)
    codes = np.where(is_method, 0, 1).astype(np.int64)
    return VersusReal(
        difference,
        p,
        odds_ratio(clustered_shares(answer, codes, people, images, 2), np.bincount(codes)),
        detection(
            name,
            paired_counts(answer, ~is_method, people),
            resamples=plan.resamples,
            seed=plan.seed,
        ),
    )


def _comparison(coded: _Coded, a: str, b: str, plan: Plan) -> Comparison:
    chosen, is_a = _pair(coded, a, b)
    answer, people = coded.answer[chosen], coded.participant[chosen]
    counts = paired_counts(answer, is_a, people)
    paired, p = paired_difference(counts, resamples=plan.resamples, seed=plan.seed)
    clustered, p_clustered = clustered_difference(answer, is_a, people, coded.image[chosen])
    return Comparison(a, b, counts.participants, paired, p, None, clustered, p_clustered, None)


def _agreement(coded: _Coded, chosen: npt.NDArray[np.bool_], seed: int) -> Estimate:
    stimulus, answer = coded.stimulus[chosen], coded.answer[chosen]
    votes = np.bincount(stimulus)
    yes = np.bincount(stimulus, weights=answer.astype(np.float64)).astype(np.int64)
    return agreement(yes, votes, seed=seed)


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
    ends = [
        wilson(int(yes), int(votes))
        for yes, votes in zip(table["yes"], table["votes"], strict=True)
    ]
    table["low"] = [low for low, _ in ends]
    table["high"] = [high for _, high in ends]
    return table
