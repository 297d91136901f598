"""What the report page shows: the context of its templates, and how they are rendered."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from study.analysis.evaluation import Analysis, Results, VersusReal
from study.analysis.plan import Plan
from study.analysis.votes import StudyData
from study.reporting.gallery import Thumbnails, gallery
from study.reporting.paper import methods_paragraph
from study.reporting.plots import (
    contrasts_figure,
    pictures_figure,
    progress_figure,
    shares_figure,
    strengths_figure,
)
from study.reporting.presentation import (
    english,
    joined_notes,
)
from study.reporting.wording import headlines, sample_statement

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
    versus = [entry for entry in main.methods if entry.versus_real is not None]
    return {
        "title": title or english(data.config.get("title")) or "Perceptual realism study",
        "source": data.source,
        "period": period(data.votes),
        "sections": [entry for entry in _SECTIONS if entry[0] not in _absent(main)],
        "pair_shares_svg": strengths_figure(main.pairs) if main.pairs else "",
        "paragraph": methods_paragraph(data, analysis),
        "headlines": headlines(analysis),
        "warnings": [*warnings, *analysis.notes, *_warnings(data, thumbnails)],
        "main": main,
        "everyone": analysis.everyone,
        "plan": plan,
        "versus": versus,
        "versus_notes": {entry.method: _versus_note(entry.versus_real) for entry in versus},
        "contrasts_source": _contrasts_source(plan),
        "rules_source": "Rules as declared in the study’s configuration."
        if plan.rules_declared
        else "The study’s configuration declares no rules; these are the program’s own, the same "
        "for every study.",
        "rules": plan.rules.describe(),
        "people": analysis.people,
        "excluded": analysis.excluded,
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


def _versus_note(versus: VersusReal | None) -> str:
    assert versus is not None
    estimates = (versus.difference, versus.odds_ratio)
    return joined_notes((*estimates, versus.detection.d_prime, versus.detection.criterion))


def _contrasts_source(plan: Plan) -> str:
    if plan.contrasts_declared:
        return "Comparisons as declared in the study’s configuration."
    return (
        "These comparisons are not declared in the study’s configuration: read them as planned "
        "only if they were fixed elsewhere before the answers came in."
    )


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
    import yaml

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
