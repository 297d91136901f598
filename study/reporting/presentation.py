"""Results as formatted numbers and tables: what the HTML, Markdown and CSV reports share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from study.analysis.contrasts import Comparison, detectable_difference
from study.analysis.evaluation import Results
from study.analysis.intervals import Estimate
from study.analysis.pairs import PairResults
from study.records import REAL
from study.settings import pick

REAL_NAME = "real photographs"
MISSING = "–"


def shown_name(method: str) -> str:
    """A method's name for readers; the photographs get their own words."""
    return REAL_NAME if method == REAL else method


def english(text: object) -> str:
    """A text of the configuration in English, where there is a choice."""
    if isinstance(text, Mapping):
        return pick(text, "en")
    return str(text or "")


def number(value: float | None, digits: int = 2, *, sign: bool = False) -> str:
    """A number with a true minus sign, an en dash if there is none."""
    if value is None or math.isnan(value):
        return MISSING
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    if float(text) == 0.0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def percent(value: float | None) -> str:
    """A share as per cent with one decimal."""
    return MISSING if value is None else f"{number(100.0 * value, 1)} %"


def interval(estimate: Estimate, scale: float = 1.0, digits: int = 2) -> str:
    """“[low, high]”, an en dash where there is none."""
    if estimate.low is None or estimate.high is None:
        return MISSING
    return f"[{number(scale * estimate.low, digits)}, {number(scale * estimate.high, digits)}]"


def p_value(p: float | None) -> str:
    """A p-value to three decimals, “< 0.001” below."""
    if p is None:
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def milliseconds(value: float | None) -> str:
    """Whole milliseconds."""
    return MISSING if value is None else f"{value:.0f}"


def rates_table(results: Results) -> pd.DataFrame:
    """One row per method, numbers as numbers: the CSV form of the main table."""
    rows = []
    for entry in results.methods:
        times = entry.response_times
        row: dict[str, Any] = {
            "method": entry.method,
            "votes": entry.votes,
            "participants": entry.participants,
            "pictures": entry.images,
            "realistic": entry.yes,
            "rate": entry.share.value,
            "low": entry.share.low,
            "high": entry.share.high,
            "naive_wilson_low": entry.naive[0],
            "naive_wilson_high": entry.naive[1],
            "design_effect": entry.design_effect,
            "alpha": entry.agreement.value,
            "rt_lower_quartile_ms": times.lower,
            "rt_median_ms": times.median,
            "rt_upper_quartile_ms": times.upper,
            "note": entry.share.note,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def versus_real_table(results: Results) -> pd.DataFrame:
    """One row per method compared with real photographs; empty without photographs."""
    rows = []
    for entry in results.methods:
        if entry.versus_real is None:
            continue
        versus, row = entry.versus_real, {"method": entry.method}
        estimates = {
            "difference": versus.difference,
            "odds_ratio": versus.odds_ratio,
            "d_prime": versus.detection.d_prime,
            "criterion": versus.detection.criterion,
        }
        cells: dict[str, Any] = {}
        for name, estimate in estimates.items():
            cells |= estimate_columns(name, estimate)
        rows.append({**row, **cells, "p": versus.p, "note": joined_notes(estimates.values())})
    return pd.DataFrame(rows)


def contrasts_table(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """One row per planned comparison; differences as shares, not percentage points."""
    return pd.DataFrame(
        [
            {
                "method": entry.method,
                "against": entry.against,
                "participants": entry.participants,
                "difference": entry.paired.value,
                "low": entry.paired.low,
                "high": entry.paired.high,
                "p": entry.p,
                "p_holm": entry.p_holm,
                "clustered_difference": entry.clustered.value,
                "clustered_low": entry.clustered.low,
                "clustered_high": entry.clustered.high,
                "clustered_p": entry.p_clustered,
                "clustered_p_holm": entry.p_clustered_holm,
                "detectable_difference": detectable_difference(entry, len(comparisons)),
                "note": joined_notes((entry.paired, entry.clustered)),
            }
            for entry in comparisons
        ]
    )


def joined_notes(estimates: Any) -> str:
    """The different notes of several estimates, each once."""
    return "; ".join(dict.fromkeys(entry.note for entry in estimates if entry.note))


def estimate_columns(name: str, estimate: Estimate) -> dict[str, float | None]:
    """A figure and its interval as three columns."""
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def factors_tables(results: Results) -> dict[str, pd.DataFrame]:
    """One table for each factor of the design, by file name."""
    return {
        f"by-{name.replace(' ', '-')}": pd.DataFrame(
            [
                {
                    "level": entry.level,
                    "group": entry.group,
                    "answers": entry.votes,
                    "yes": entry.yes,
                    **estimate_columns("share", entry.share),
                    "note": entry.share.note,
                }
                for entry in levels
            ]
        )
        for name, levels in results.factors.items()
    }


def pairs_tables(pairs: PairResults | None) -> dict[str, pd.DataFrame]:
    """Strengths and the shares of every two methods; none without pairs."""
    if pairs is None:
        return {}
    strengths = [
        {
            "method": entry.method,
            **estimate_columns("strength", entry.strength),
            **estimate_columns("preferred", entry.preferred),
            "note": entry.strength.note,
        }
        for entry in pairs.strengths
    ]
    shares = [
        {
            "method": entry.method,
            "against": entry.against,
            "wins": entry.wins,
            "answers": entry.votes,
            **estimate_columns("share", entry.share),
            "modelled": entry.modelled,
            "note": entry.share.note,
        }
        for entry in pairs.pairs
    ]
    return {"strengths": pd.DataFrame(strengths), "pairs": pd.DataFrame(shares)}
