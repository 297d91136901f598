"""What the report's templates show: the page, and what goes into a paper."""

from __future__ import annotations

import json
import platform
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from study.analysis.evaluation import Analysis, Results
from study.analysis.plan import Plan
from study.analysis.votes import StudyData
from study.records import REAL
from study.reporting.gallery import Thumbnails, gallery
from study.reporting.plots import (
    contrasts_figure,
    pictures_figure,
    progress_figure,
    shares_figure,
    strengths_figure,
)
from study.reporting.wording import (
    english,
    headlines,
    latex,
    render,
    sample_statement,
    shown_name,
)

_SECTIONS = (
    ("pairs", "Strengths"),
    ("methods", "Shares"),
    ("versus", "Against photographs"),
    ("contrasts", "Comparisons"),
    ("pictures", "Pictures"),
    ("exclusions", "Exclusions"),
    ("quality", "Agreement, times, order"),
    ("sample", "Sample"),
    ("factors", "Exposure and scenes"),
    ("paragraph", "Methods paragraph"),
    ("how", "How it is computed"),
    ("configuration", "Configuration"),
)


def report_context(
    data: StudyData,
    analysis: Analysis,
    *,
    stimuli: Path | None = None,
    title: str = "",
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """What the templates show; warnings come on top of the analysis's own notes."""
    main, plan = analysis.main, analysis.plan
    files: dict[str, str] = {}
    if len(data.stimuli):
        files = dict(zip(data.stimuli["stimulus"], data.stimuli["file"], strict=True))
    thumbnails = Thumbnails(stimuli, files)
    rows = gallery(main, thumbnails, data.stimuli)
    shown = [picture for row in rows for picture in (*row.most, *row.least)]
    return {
        **vars(analysis),
        "title": title or english(data.config.get("title")) or "Perceptual realism study",
        "source": data.source,
        "period": period(data.votes),
        "sections": [entry for entry in _SECTIONS if entry[0] not in _absent(main)],
        "pair_shares_svg": strengths_figure(main.pairs) if main.pairs else "",
        "paragraph": methods_paragraph(data, analysis),
        "headlines": headlines(analysis),
        "warnings": [*warnings, *analysis.notes, *_warnings(data, thumbnails)],
        "versus": [entry for entry in main.methods if entry.versus_real],
        "contrasts_source": "Comparisons as declared in the study’s configuration."
        if plan.contrasts_declared
        else "These comparisons are not declared in the study’s configuration: read them as "
        "planned only if they were fixed elsewhere before the answers came in.",
        "rules_source": "Rules as declared in the study’s configuration."
        if plan.rules_declared
        else "The study’s configuration declares no rules; these are the program’s own, the same "
        "for every study.",
        "rules": plan.rules.describe(),
        "reasons": Counter(r for why in analysis.excluded.values() for r in why).most_common(),
        "flow": _flow(data.participants),
        "background": exit_answers(data.participants, data.config),
        "gallery": rows,
        "with_images": any(picture.image for picture in shown),
        "with_originals": any(picture.original for picture in shown),
        "shares_svg": shares_figure(main.methods) if main.methods else "",
        "contrasts_svg": contrasts_figure(main.contrasts) if main.contrasts else "",
        "pictures_svg": pictures_figure(main, plan.seed) if main.methods else "",
        "progress_svg": progress_figure(data.votes),
        "sample": sample_statement(analysis),
        "facts": _facts(data, plan),
        "config_text": _config_text(data.config),
    }


def _absent(main: Results) -> set[str]:
    """Sections that this study has no answers for."""
    absent = set() if main.pairs else {"pairs"}
    if main.pairs and not main.methods:
        absent |= {"methods", "versus", "contrasts", "pictures", "quality", "sample"}
    return absent if main.factors else absent | {"factors"}


def period(votes: pd.DataFrame) -> str:
    """First and last day (UTC) on which answers came in; "" if unknown."""
    times = votes["answered_at"].dropna()
    if times.empty:
        return ""
    days = [datetime.fromtimestamp(t, UTC).date().isoformat() for t in (times.min(), times.max())]
    return days[0] if days[0] == days[1] else f"{days[0]} to {days[1]}"


def versions() -> dict[str, str]:
    """Versions of what computed the figures."""
    found = {"python": platform.python_version()}
    for package in ("chromagan", "numpy", "scipy", "pandas", "matplotlib"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "source tree"
    return found


def _warnings(data: StudyData, thumbnails: Thumbnails) -> list[str]:
    said = []
    if data.votes["config_hash"].nunique() > 1:
        said.append(
            "The answers come from several versions of the study and are pooled here; "
            "analyse the versions one by one to be safe."
        )
    if thumbnails.missing:
        said.append(f"{len(thumbnails.missing)} pictures to be shown were not found or unreadable.")
    return said


def _flow(participants: pd.DataFrame) -> str:
    if participants.empty or "outcome" not in participants:
        return ""
    counts = Counter(participants["outcome"])
    parts = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    return f"Of {len(participants)} who gave consent: {parts}."


def _facts(data: StudyData, plan: Plan) -> list[tuple[str, str]]:
    facts = [
        ("study version (hash)", data.config_hash or "unknown"),
        ("seed", str(plan.seed)),
        ("bootstrap resamples", str(plan.resamples)),
    ]
    if len(data.stimuli):
        facts.append(("stimuli in the set", str(len(data.stimuli))))
    return facts + [(f"version of {name}", version) for name, version in versions().items()]


def _config_text(config: Mapping[str, Any]) -> str:
    if not config:
        return ""
    return yaml.safe_dump(json.loads(json.dumps(config, default=str)), sort_keys=False)


def exit_answers(
    participants: pd.DataFrame, config: Mapping[str, Any]
) -> list[tuple[str, list[tuple[str, int]]]]:
    """Per question with options: its text and how often each answer was given, most first.

    participants: from a database (column answers) or an export (columns answer_ID). Participants
    who did not reach the question are not counted; an empty answer counts as “no answer”.
    """
    found = []
    for question in config.get("questions") or ():
        if not isinstance(question, Mapping) or not question.get("options"):
            continue
        given = _given(participants, str(question.get("id")))
        if given:
            counts = Counter(answer or "no answer" for answer in given)
            found.append((english(question.get("text")), counts.most_common()))
    return found


def _given(participants: pd.DataFrame, question: str) -> list[str]:
    if "answers" in participants:
        rows = [row for row in participants["answers"] if isinstance(row, Mapping)]
        return [str(row[question]) for row in rows if question in row]
    column = f"answer_{question}"
    if column not in participants:
        return []
    finished = (
        participants[participants["completed"]] if "completed" in participants else participants
    )
    return [str(value) for value in finished[column]]


def methods_paragraph(data: StudyData, analysis: Analysis) -> str:
    """A paper's methods paragraph as plain text.

    What the records know is stated; what only the researcher knows comes from the `protocol` of the
    study's YAML, or stands as a gap in double brackets, which no reviewer will overlook.
    """
    config, pairs = data.config, analysis.main.pairs
    protocol = {k: str(v or "").strip() for k, v in (config.get("protocol") or {}).items()}
    times = config.get("exposure_ms") or ()
    practice, attention = (
        (config.get(key) or {}).get("trials") for key in ("practice", "attention")
    )
    plates = (config.get("plates") or {}).get("count")
    before = ((plates, "colour-vision plates"), (practice, "practice trials"))
    excluded = Counter(reason for why in analysis.excluded.values() for reason in why)
    compared = analysis.main.methods if pairs is None else pairs.strengths
    text = render(
        "methods.txt.j2",
        {
            "config": config,
            "analysis": analysis,
            "pairs": pairs,
            "part": pairs or analysis.main,
            "methods": [entry.method for entry in compared],
            "question": english(config.get("question"))
            or (
                "Do the colors of this picture look realistic?"
                if pairs is None
                else "Which of the two pictures looks more realistic?"
            ),
            "times": times if isinstance(times, list | tuple) else [times],
            "before": [f"{count} {what}" for count, what in before if count],
            "attention": attention,
            "reasons": [f"{reason}: {count}" for reason, count in sorted(excluded.items())],
            "stated": {key: text.rstrip(".") for key, text in protocol.items()},
        },
    )
    return " ".join(text.split())


def in_latex(paragraph: str) -> str:
    """The same for LaTeX, gaps in bold."""
    return re.sub(r"\[\[(.+?)\]\]", r"\\textbf{[\1]}", latex(paragraph)) + "\n"


def latex_table(analysis: Analysis) -> str:
    """The paper's table: methods as columns, “naturalness” in per cent as the row, best in bold.

    Pairs: how often each method would be preferred to the reference. Needs the booktabs package.
    """
    main = analysis.main
    pairs = None if main.methods else main.pairs
    if pairs is not None:
        name = rf"Preferred to {latex(shown_name(pairs.reference))} (\%)"
        shares = {entry.method: entry.preferred for entry in pairs.strengths}
    elif main.methods:
        name = r"Naturalness (\%)"
        shares = {entry.method: entry.share for entry in main.methods}
    else:
        return "% No answers, hence no table.\n"
    # photographs do not compete
    values = [e.value for method, e in shares.items() if method != REAL and e.value is not None]
    best = max(values, default=None)
    context = {"name": name, "shares": shares, "best": best, "main": main, "pairs": pairs}
    return render("table.tex.j2", context)
