"""What goes into a paper, written from the records: its table and its methods paragraph.

What the records know is stated; what only the researcher knows comes from the `protocol` of the
study's YAML, or stands as a gap in double brackets, which no reviewer will overlook.
"""

from __future__ import annotations

import re
from collections import Counter

from study.analysis.evaluation import Analysis
from study.analysis.votes import StudyData
from study.records import REAL
from study.reporting.presentation import english, shown_name
from study.reporting.wording import latex, render

_GAP = re.compile(r"\[\[(.+?)\]\]")
_QUESTIONS = {
    "single": "Do the colors of this picture look realistic?",
    "pairs": "Which of the two pictures looks more realistic?",
}


def methods_paragraph(data: StudyData, analysis: Analysis) -> str:
    """The paragraph as plain text; gaps stand as [[what to fill in]]."""
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
            or _QUESTIONS["single" if pairs is None else "pairs"],
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
    parts = _GAP.split(paragraph)
    shown = (rf"\textbf{{[{latex(p)}]}}" if i % 2 else _spaced(p) for i, p in enumerate(parts))
    return "".join(shown) + "\n"


def _spaced(text: str) -> str:
    """`latex` trims; the space between words and a gap is wanted."""
    before = " " if text[:1] == " " else ""
    after = " " if text[-1:] == " " and text.strip() else ""
    return before + latex(text) + after


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
