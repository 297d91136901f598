"""The report's words: figures as text, sentences made from them, and how templates are filled."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from study.analysis.contrasts import Comparison, detectable_difference
from study.analysis.evaluation import Analysis
from study.analysis.intervals import Estimate
from study.analysis.pairs import PairResults
from study.records import REAL
from study.settings import pick

MISSING = "–"


def shown_name(method: str) -> str:
    """A method's name for readers; the photographs get their own words."""
    return "real photographs" if method == REAL else method


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
    return MISSING if value is None else f"{value:.0f}"


def joined_notes(estimates: Iterable[Estimate]) -> str:
    """The different notes of several estimates, each once."""
    return "; ".join(dict.fromkeys(entry.note for entry in estimates if entry.note))


def headlines(analysis: Analysis) -> list[str]:
    """The result in sentences, each supported by a figure of the report."""
    main, said = analysis.main, []
    if main.pairs is not None:
        said += _pair_headlines(main.pairs)
    real = main.method(REAL)
    methods = [entry for entry in main.methods if not entry.is_real]
    if real is not None:
        said.append(
            f"Real photographs were called realistic in {percent(real.share.value)} of answers "
            f"{interval(real.share, 100.0, 1)}."
        )
    if methods:
        top = methods[0]
        subject = f"The most convincing method, {top.method}," if len(methods) > 1 else top.method
        said.append(
            f"{subject} was called realistic in {percent(top.share.value)} "
            f"{interval(top.share, 100.0, 1)}."
        )
    said += [sentence for entry in main.contrasts if (sentence := contrast_sentence(entry))]
    return said


def _pair_headlines(pairs: PairResults) -> list[str]:
    said = [
        f"{entry.method} would be preferred to {shown_name(pairs.reference)} in "
        f"{percent(entry.preferred.value)} of comparisons {interval(entry.preferred, 100.0, 1)}."
        for entry in pairs.strengths
        if entry.method != pairs.reference and entry.preferred.value is not None
    ]
    for entry in pairs.contrasts:
        if entry.p_holm is not None:
            verdict = "a difference" if entry.p_holm < 0.05 else "no difference established"
            said.append(
                f"{entry.method} against {entry.against}: strength "
                f"{number(entry.difference.value, 2, sign=True)} {interval(entry.difference)}, "
                f"Holm-corrected p {p_equals(entry.p_holm)}, {verdict} for new people and scenes."
            )
    return said


def contrast_sentence(entry: Comparison) -> str:
    """One planned comparison in words; empty if nothing could be estimated."""
    if entry.paired.value is None:
        return ""
    points = number(100.0 * entry.paired.value, 1, sign=True)
    text = f"{entry.method} against {entry.against}: {points} points"
    if entry.p_holm is None or not entry.paired.has_interval:
        return f"{text}; {entry.paired.note}."
    text += f" {interval(entry.paired, 100.0, 1)}, Holm-corrected p {p_equals(entry.p_holm)}"
    same = entry.p_holm < 0.05
    text += ", a difference on these pictures" if same else ", no difference established"
    if entry.p_clustered_holm is not None and same:
        wider = entry.p_clustered_holm < 0.05
        verdict = "it holds" if wider else "it is not established"
        text += (
            f"; {verdict} when the pictures, too, are taken as a sample "
            f"{interval(entry.clustered, 100.0, 1)}, p {p_equals(entry.p_clustered_holm)}"
        )
    return text + "."


def p_equals(p: float) -> str:
    """“= 0.012” or “< 0.001”."""
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def sample_statement(analysis: Analysis) -> list[str]:
    """What this sample can and cannot show."""
    main, plan = analysis.main, analysis.plan
    if not main.votes:
        return ["No answers, hence nothing can be said."]
    per_picture = main.pictures["votes"]
    said = [
        f"{main.votes} answers of {main.participants} participants on {main.images} scenes "
        f"({len(per_picture)} pictures), {main.votes / main.participants:.0f} answers per "
        f"participant on average, {per_picture.median():g} per picture in the median."
    ]
    widths = [
        100.0 * width / 2.0 for entry in main.methods if (width := entry.share.width) is not None
    ]
    if widths:
        said.append(
            f"A method's share is known to ± {min(widths):.1f} to {max(widths):.1f} points "
            "(half the 95 % interval)."
        )
    effects = [e.design_effect for e in main.methods if e.design_effect is not None]
    if effects:
        said.append(
            f"Because answers of one person and on one scene go together, an answer here is worth "
            f"{1.0 / max(effects):.2f} to {1.0 / min(effects):.2f} independent ones."
        )
    for entry in main.contrasts:
        detectable = detectable_difference(entry, len(plan.contrasts))
        if detectable is not None:
            said.append(
                f"{entry.method} against {entry.against}: a study of this size finds a true "
                f"difference of {100 * detectable:.1f} points with 80 % power; smaller ones it "
                "will often miss, so “not established” is not “no difference”."
            )
    return said


TEMPLATES = Path(__file__).parent / "templates"
_MARKDOWN = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]<>#|~"})


def render(template: str, context: Mapping[str, Any]) -> str:
    """A template with its context; HTML is escaped, Markdown by `md`, LaTeX by `latex`."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=template.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=not template.endswith(".html.j2"),
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "contrast_sentence": contrast_sentence,
        "in_percent": lambda value: MISSING if value is None else f"{100 * value:.1f}",
        "interval": interval,
        "joined_notes": joined_notes,
        "latex": latex,
        "md": lambda text: " ".join(str(text).split()).translate(_MARKDOWN),
        "milliseconds": milliseconds,
        "number": number,
        "p_equals": p_equals,
        "p_value": p_value,
        "percent": percent,
        "shown_name": shown_name,
        "unbroken": unbroken,
    }
    text = environment.get_template(template).render(context)
    return tidy_markdown(text) if template.endswith(".md.j2") else text


_LATEX = str.maketrans(
    {mark: f"\\{mark}" for mark in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"−": "$-$"}
)


def latex(text: str) -> str:
    """Text on one line with LaTeX's special characters escaped."""
    return " ".join(text.split()).translate(_LATEX)


def unbroken(text: str) -> str:
    """The text with no-break spaces inside figures: “87.8 %”, “p = 0.01”, “[1.0, 2.0]”."""
    return re.sub(r"(?<=\d) (?=%)|(?<=[p=<]) (?=[=<\d])|(?<=\d,) (?=[\d−])", "\u00a0", text)


def tidy_markdown(text: str) -> str:
    """Blank lines around headings and after tables and lists, never two together."""
    lines: list[str] = []
    for line in (raw.rstrip() for raw in text.splitlines()):
        before = lines[-1] if lines else ""
        kinds = [
            entry[:1] if entry[:1] in {"#", "|"} or entry[:2] == "- " else ""
            for entry in (before, line)
        ]
        if before and line and (kinds[0] != kinds[1] or kinds[1] == "#"):
            lines.append("")
        if line or before:
            lines.append(line)
    return "\n".join(lines).rstrip() + "\n"
