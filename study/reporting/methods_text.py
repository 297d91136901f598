"""The methods paragraph of a paper, written from the records, with gaps marked.

What the records know is stated; what only the researcher knows comes from the `protocol` of the
study's YAML, or stands as a gap in double brackets, which no reviewer will overlook.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from study.analysis.results import Analysis, Results
from study.analysis.votes import StudyData
from study.records import REAL
from study.reporting.latex import latex
from study.reporting.presentation import english, number, percent, shown_name
from study.reporting.wording import contrast_sentence

_GAP = re.compile(r"\[\[(.+?)\]\]")
_QUESTIONS = {
    "single": "Do the colors of this picture look realistic?",
    "pairs": "Which of the two pictures looks more realistic?",
}


def methods_paragraph(data: StudyData, analysis: Analysis) -> str:
    """The paragraph as plain text; gaps stand as [[what to fill in]]."""
    config = data.config
    sentences = [
        *_task(config, data, analysis.main),
        *_assignment(config, data),
        *_people(config, data, analysis),
        *_statistics(analysis),
        *_frame(config),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def in_latex(paragraph: str) -> str:
    """The same for LaTeX, gaps in bold."""
    parts = _GAP.split(paragraph)
    return (
        "".join(
            rf"\textbf{{[{latex(part)}]}}" if index % 2 else _spaced(part)
            for index, part in enumerate(parts)
        )
        + "\n"
    )


def _spaced(text: str) -> str:
    """`latex` trims; the space between words and a gap is wanted."""
    before = " " if text[:1] == " " else ""
    after = " " if text[-1:] == " " and text.strip() else ""
    return before + latex(text) + after


def _gap(config: Mapping[str, Any], key: str, what: str) -> str:
    stated = str((config.get("protocol") or {}).get(key) or "").strip().rstrip(".")
    return stated or f"[[{what}]]"


def _methods(main: Results) -> list[str]:
    if main.pairs is not None:
        return [entry.method for entry in main.pairs.strengths]
    return [entry.method for entry in main.methods]


def _task(config: Mapping[str, Any], data: StudyData, main: Results) -> list[str]:
    is_pairs = main.pairs is not None
    names = ", ".join(shown_name(name) for name in _methods(main)) or "[[methods]]"
    question = english(config.get("question")) or _QUESTIONS["pairs" if is_pairs else "single"]
    shown = (
        "saw two pictures of one scene side by side, sides balanced,"
        if is_pairs
        else "saw one picture at a time"
    )
    answers = "" if is_pairs else " (two buttons, sides counterbalanced between participants)"
    said = [
        f"Participants {shown} and answered “{question}”{answers}.",
        f"The conditions were {names}; {_scenes(main)}.",
        _exposure(config),
        f"The trial page is shown in {_gap(config, 'screenshots', 'figure with a screenshot')}.",
    ]
    return said


def _scenes(main: Results) -> str:
    part = main.pairs if main.pairs is not None else main
    return f"{part.images} scenes were shown"


def _exposure(config: Mapping[str, Any]) -> str:
    times = config.get("exposure_ms")
    if not times:
        return "Pictures stayed visible until the answer."
    listed = times if isinstance(times, list | tuple) else [times]
    mask = config.get("mask_ms", 0)
    dealt = ", dealt out evenly within each condition" if len(listed) > 1 else ""
    return (
        f"Pictures were visible for {' or '.join(str(t) for t in listed)} ms{dealt}, followed by a "
        f"noise mask of {mask} ms."
    )


def _assignment(config: Mapping[str, Any], data: StudyData) -> list[str]:
    trials = config.get("trials")
    if not trials:
        return ["[[trials per participant, practice and attention trials]]."]
    practice = (config.get("practice") or {}).get("trials", 0)
    attention = (config.get("attention") or {}).get("trials", 0)
    plates = (config.get("plates") or {}).get("count", 0)
    counted = ((plates, "colour-vision plates"), (practice, "practice trials"))
    before = " and ".join(f"{number} {what}" for number, what in counted if number)
    first = f" after {before}" if before else ""
    checks = f" with {attention} attention trials among them" if attention else ""
    return [
        f"Each participant judged {trials} trials in random order{checks}{first}; no scene was "
        "shown twice to a participant, conditions were balanced within and between participants."
    ]


def _people(config: Mapping[str, Any], data: StudyData, analysis: Analysis) -> list[str]:
    part = analysis.main.pairs if analysis.main.pairs is not None else analysis.main
    excluded = Counter(reason for why in analysis.excluded.values() for reason in why)
    reasons = "; ".join(f"{reason}: {count}" for reason, count in sorted(excluded.items()))
    left_out = (
        f"{len(analysis.excluded)} were excluded by rules fixed in advance ({reasons})"
        if analysis.plan.rules_declared and excluded
        else f"{len(analysis.excluded)} were excluded ({reasons or 'none met a rule'})"
    )
    return [
        f"Participants were recruited by {_gap(config, 'recruitment', 'how and where, dates')} and "
        f"paid {_gap(config, 'pay', 'amount and median duration')}.",
        f"{analysis.people} people answered; {left_out}, which leaves {part.votes} answers of "
        f"{part.participants} participants.",
        f"The sample size was chosen as follows: {_gap(config, 'power', 'power analysis')}.",
    ]


def _statistics(analysis: Analysis) -> list[str]:
    main = analysis.main
    if main.pairs is not None:
        return [
            "Strengths are maximum-likelihood estimates of the Bradley–Terry model; 95 % intervals "
            "come from bootstraps over participants and over scenes, combined as two-way "
            "clustering."
        ]
    said = [
        "We report the share of answers “realistic” with 95 % intervals of a logit model, standard "
        "errors clustered by participant and scene."
    ]
    said += [
        f"{'Real photographs' if entry.method == REAL else entry.method}: "
        f"{percent(entry.share.value)} [{number(100 * entry.share.low, 1)}, "
        f"{number(100 * entry.share.high, 1)}]."
        for entry in main.methods
        if entry.share.low is not None and entry.share.high is not None
    ]
    if main.contrasts:
        kind = "planned" if analysis.plan.contrasts_declared else "unplanned"
        said.append(
            f"The {len(main.contrasts)} {kind} comparisons used a paired bootstrap over "
            f"participants ({analysis.plan.resamples} resamples) with Holm’s correction."
        )
        said += [contrast_sentence(entry) for entry in main.contrasts]
    return said


def _frame(config: Mapping[str, Any]) -> list[str]:
    return [
        "All participants gave informed consent and could withdraw and delete their answers; "
        f"the study was approved by {_gap(config, 'ethics', 'ethics board and approval number')}."
    ]
