"""The methods paragraph of a paper, written from the records, with gaps marked.

What the records know is stated; what only the researcher knows comes from the `protocol` of the
study's YAML, or stands as a gap in double brackets, which no reviewer will overlook.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from study.analysis.intervals import Estimate
from study.analysis.pairs import PairResults
from study.analysis.results import Analysis, Results
from study.analysis.votes import StudyData
from study.records import REAL
from study.reporting.presentation import MISSING, english, interval, number, percent, shown_name
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


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def latex(text: str) -> str:
    """Text on one line with LaTeX's special characters escaped."""
    text = " ".join(text.split())
    return "".join(_LATEX.get(character, character) for character in text).replace("−", "$-$")


def latex_table(analysis: Analysis) -> str:
    """The paper's table: methods as columns, “naturalness” in per cent as the row.

    Pairs: how often each method would be preferred to the reference. Needs the booktabs package.
    """
    main = analysis.main
    if main.pairs is not None and not main.methods:
        reference = latex(shown_name(main.pairs.reference))
        shares = {entry.method: entry.preferred for entry in main.pairs.strengths}
        rows = _share_rows(rf"Preferred to {reference} (\%)", shares)
        return _table(list(shares), rows, _pairs_caption(main.pairs))
    if not main.methods:
        return "% No answers, hence no table.\n"
    shares = {entry.method: entry.share for entry in main.methods}
    rows = _share_rows(r"Naturalness (\%)", shares)
    rows.append(["Answers", *(str(entry.votes) for entry in main.methods)])
    return _table(list(shares), rows, _caption(main))


def _share_rows(name: str, shares: Mapping[str, Estimate]) -> list[list[str]]:
    # bold marks the best method; photographs do not compete
    best = max((e.value or 0.0 for method, e in shares.items() if method != REAL), default=None)
    values = []
    for method, entry in shares.items():
        text = MISSING if entry.value is None else f"{100 * entry.value:.1f}"
        is_best = method != REAL and entry.value == best
        values.append(rf"\textbf{{{text}}}" if is_best else text)
    ends = [latex(interval(entry, 100.0, 1)).replace(MISSING, "--") for entry in shares.values()]
    return [[name, *values], [r"95\% interval", *ends]]


def _table(methods: list[str], rows: list[list[str]], caption: str) -> str:
    names = [latex("Real" if method == REAL else method) for method in methods]
    lines = [" & ".join(row) + r" \\" for row in (["", *names], *rows)]
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"\centering",
            rf"\begin{{tabular}}{{l{'c' * len(methods)}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            rf"\caption{{{caption}}}",
            r"\label{tab:perceptual}",
            r"\end{table}",
            "",
        ]
    )


def _caption(main: Results) -> str:
    return (
        "Perceptual realism: share of answers that call a picture realistic. "
        f"{main.votes} answers of {main.participants} participants on {main.images} scenes; "
        "95\\% intervals from a logit model with standard errors clustered by participant and "
        "scene."
    )


def _pairs_caption(pairs: PairResults) -> str:
    return (
        "Perceptual realism of two pictures of one scene: how often each method would be preferred "
        f"(Bradley--Terry). {pairs.votes} answers of {pairs.participants} participants on "
        f"{pairs.images} scenes; 95\\% intervals by bootstrap over participants and scenes."
    )
