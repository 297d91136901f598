"""The paper's table in LaTeX."""

from __future__ import annotations

from study.analysis.results import Analysis
from study.reporting.presentation import MISSING, interval

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

    Needs the booktabs package.
    """
    methods = analysis.main.methods
    if not methods:
        return "% No answers, hence no table.\n"
    names = [latex("Real" if entry.is_real else entry.method) for entry in methods]
    values = [
        MISSING if entry.share.value is None else f"{100 * entry.share.value:.1f}"
        for entry in methods
    ]
    # bold marks the best method; photographs do not compete
    best = max((e.share.value or 0.0 for e in methods if not e.is_real), default=None)
    values = [
        rf"\textbf{{{text}}}" if not entry.is_real and entry.share.value == best else text
        for entry, text in zip(methods, values, strict=True)
    ]
    ranges = [latex(interval(entry.share, 100.0, 1)).replace(MISSING, "--") for entry in methods]
    rows = [
        ["", *names],
        ["Naturalness (\\%)", *values],
        ["95\\% interval", *ranges],
        ["Answers", *(str(entry.votes) for entry in methods)],
    ]
    lines = [" & ".join(row) + r" \\" for row in rows]
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
            rf"\caption{{{_caption(analysis)}}}",
            r"\label{tab:perceptual}",
            r"\end{table}",
            "",
        ]
    )


def _caption(analysis: Analysis) -> str:
    main = analysis.main
    return (
        "Perceptual realism: share of answers that call a picture realistic. "
        f"{main.votes} answers of {main.participants} participants on {main.images} scenes; "
        "95\\% intervals from a logit model with standard errors clustered by participant and "
        "scene."
    )
