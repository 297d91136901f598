"""The paper's table in LaTeX."""

from __future__ import annotations

from collections.abc import Mapping

from study.analysis.intervals import Estimate
from study.analysis.pairs import PairResults
from study.analysis.results import Analysis, Results
from study.records import REAL
from study.reporting.presentation import MISSING, interval, shown_name

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
