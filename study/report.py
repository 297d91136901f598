"""Write a study's report: HTML that stands alone, Markdown, LaTeX, CSV and JSON.

    python -m study.report --database-url sqlite:///study.sqlite -o report/
    python -m study.report --votes export/ -o report/

Equal answers, plan and seed give equal files, byte for byte.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from chromagan.files import write_text
from study.analysis.contrasts import Comparison, detectable_difference
from study.analysis.evaluation import Analysis, FactorLevel, Results, analyse
from study.analysis.intervals import Estimate
from study.analysis.pairs import PairShare, Strength
from study.analysis.plan import Plan, plan_from_config, read_contrasts
from study.analysis.votes import StudyData, VotesError, add_source_arguments, read_source
from study.reporting.page import in_latex, latex_table, report_context, versions
from study.reporting.wording import headlines, joined_notes, render
from study.settings import StudyError, load_config


def write_report(
    data: StudyData,
    plan: Plan,
    folder: Path,
    *,
    stimuli: Path | None = None,
    title: str = "",
    warnings: Sequence[str] = (),
) -> Analysis:
    """Analyse and write everything into folder, which is made if needed.

    Files: report.html, report.md, table.tex, methods.txt and methods.tex (the paper's methods
    paragraph), report.json, and as CSV rates, rates-all, versus-real, contrasts, contrasts-all,
    pictures, exclusions ("-all": without exclusions), by-FACTOR, strengths, pairs.

    Raises:
        OSError: the folder cannot be written.
    """
    analysis = analyse(data.votes, plan, data.participants)
    context = report_context(data, analysis, stimuli=stimuli, title=title, warnings=warnings)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "report.html", render("report.html.j2", context))
    write_text(folder / "report.md", render("report.md.j2", context))
    write_text(folder / "table.tex", latex_table(analysis))
    paragraph = str(context["paragraph"])
    write_text(folder / "methods.txt", paragraph + "\n")
    write_text(folder / "methods.tex", in_latex(paragraph))
    write_text(folder / "report.json", json.dumps(as_json(analysis, data), indent=1) + "\n")
    for name, table in csv_tables(analysis).items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    return analysis


def csv_tables(analysis: Analysis) -> dict[str, pd.DataFrame]:
    """The report's tables as numbers, by file name."""
    excluded = [
        {"participant": person, "reasons": "; ".join(reasons)}
        for person, reasons in analysis.excluded.items()
    ]
    levels = ["level", "group", "answers", "yes", "share", "share_low", "share_high", "note"]
    tables = {
        "rates": _rates_table(analysis.main),
        "rates-all": _rates_table(analysis.everyone),
        "versus-real": _versus_real_table(analysis.main),
        "contrasts": _contrasts_table(analysis.main.contrasts),
        "contrasts-all": _contrasts_table(analysis.everyone.contrasts),
        "pictures": analysis.main.pictures,
        "exclusions": pd.DataFrame(excluded, columns=["participant", "reasons"]),
    }
    for name, entries in analysis.main.factors.items():
        tables[f"by-{name.replace(' ', '-')}"] = _table(entries)[levels]
    if pairs := analysis.main.pairs:
        tables |= {"strengths": _table(pairs.strengths), "pairs": _table(pairs.pairs)}
    return tables


def _rates_table(results: Results) -> pd.DataFrame:
    """One row per method, numbers as numbers: the CSV form of the main table."""
    return pd.DataFrame(
        [
            {
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
                "rt_lower_quartile_ms": entry.response_times.lower,
                "rt_median_ms": entry.response_times.median,
                "rt_upper_quartile_ms": entry.response_times.upper,
                "note": entry.share.note,
            }
            for entry in results.methods
        ]
    )


def _versus_real_table(results: Results) -> pd.DataFrame:
    """One row per method compared with real photographs; empty without photographs."""
    rows = []
    for entry in results.methods:
        if entry.versus_real is None:
            continue
        row: dict[str, Any] = {"method": entry.method}
        for name, estimate in entry.versus_real.estimates.items():
            row |= _estimate_columns(name, estimate)
        note = joined_notes(entry.versus_real.estimates.values())
        rows.append(row | {"p": entry.versus_real.p, "note": note})
    return pd.DataFrame(rows)


def _contrasts_table(comparisons: Sequence[Comparison]) -> pd.DataFrame:
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


def _estimate_columns(name: str, estimate: Estimate) -> dict[str, float | None]:
    """A figure and its interval as three columns."""
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _table(entries: Sequence[FactorLevel | Strength | PairShare]) -> pd.DataFrame:
    """A row for each entry, a column for each field; an estimate's three, and the notes last."""
    rows = []
    for entry in entries:
        row: dict[str, Any] = {}
        for name, value in vars(entry).items():
            row |= _estimate_columns(name, value) if isinstance(value, Estimate) else {name: value}
        notes = joined_notes(v for v in vars(entry).values() if isinstance(v, Estimate))
        rows.append(row | {"note": notes})
    return pd.DataFrame(rows).rename(columns={"votes": "answers"})


def as_json(analysis: Analysis, data: StudyData) -> dict[str, Any]:
    """Every figure, unrounded; None where it cannot be estimated."""

    def results(part: Results) -> dict[str, Any]:
        plain = asdict(replace(part, pictures=pd.DataFrame()))
        plain["pictures"] = part.pictures.to_dict("records")
        return plain

    return {
        "plan": {**asdict(analysis.plan), "rules": analysis.plan.rules.model_dump()},
        "config_hash": data.config_hash,
        "versions": versions(),
        "participants": analysis.people,
        "excluded": analysis.excluded,
        "notes": list(analysis.notes),
        "main": results(analysis.main),
        "without_exclusions": results(analysis.everyone),
    }


def _plan(arguments: argparse.Namespace, data: StudyData) -> tuple[Plan, str]:
    """The plan, and a warning if the declared one cannot be read."""
    data_votes = data.votes[data.votes["kind"].isin(("real", "method"))]
    methods, warning = sorted(set(data_votes["method"])), ""
    try:
        plan = plan_from_config(data.config, methods)
    except ValueError as error:
        plan = plan_from_config({}, methods)
        warning = f"The declared analysis cannot be read ({error}); defaults are used instead."
    try:
        if arguments.contrast:
            contrasts = read_contrasts(arguments.contrast)
            same = plan.contrasts_declared and contrasts == plan.contrasts
            plan = replace(plan, contrasts=contrasts, contrasts_declared=same)
        if arguments.seed is not None:
            plan = replace(plan, seed=arguments.seed)
        if arguments.resamples is not None:
            plan = replace(plan, resamples=arguments.resamples)
    except ValueError as error:
        text = str(error).replace("analysis.contrasts:", "--contrast:")
        raise VotesError(text) from error
    return plan, warning


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; 0 written, 2 not possible as asked."""
    parser = argparse.ArgumentParser(prog="study.report", description=__doc__.split("\n")[0])
    add_source_arguments(parser)
    parser.add_argument("-o", "--output", type=Path, default=Path("report"), metavar="DIR")
    parser.add_argument(
        "--stimuli", type=Path, metavar="DIR", help="stimulus folder, to show pictures"
    )
    parser.add_argument("--config", type=Path, help="study.yaml, if --votes has no configuration")
    parser.add_argument(
        "--contrast",
        action="append",
        metavar="METHOD:AGAINST",
        help="a comparison (several allowed) in place of the declared ones",
    )
    parser.add_argument("--seed", type=int, help="of the bootstrap")
    parser.add_argument("--resamples", type=int, help="of the bootstrap")
    parser.add_argument("--title", default="", help="in place of the study's title")
    arguments = parser.parse_args(argv)

    try:
        if arguments.stimuli is not None and not arguments.stimuli.is_dir():
            raise VotesError(f"--stimuli: no folder {arguments.stimuli}")
        data = read_source(arguments)
        if arguments.config is not None:
            data = replace(data, config=load_config(arguments.config).as_dict())
        plan, warning = _plan(arguments, data)
        analysis = write_report(
            data,
            plan,
            arguments.output,
            stimuli=arguments.stimuli,
            title=arguments.title,
            warnings=[warning] if warning else [],
        )
    except (StudyError, OSError) as error:
        print(f"study.report: {error}", file=sys.stderr)
        return 2
    for line in (warning, *analysis.notes, *headlines(analysis)):
        if line:
            print(line)
    print(f"Report: {arguments.output / 'report.html'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
