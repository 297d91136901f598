"""The report's figures as inline SVG: text stays text, equal input gives equal bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from study.analysis.contrasts import Comparison
from study.analysis.evaluation import MethodResult, Results
from study.analysis.intervals import Estimate
from study.analysis.pairs import PairResults
from study.records import REAL
from study.reporting.wording import shown_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, PALE, GRID = "#1f2430", "#667085", "#c3cad6", "#e4e7ec"
REAL_COLOUR, METHOD_COLOUR, SECOND_COLOUR = "#0f766e", "#3b5bdb", "#b45309"
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "study",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_SHOWN = 28


def shares_figure(methods: Sequence[MethodResult]) -> str:
    """Shares with 95 % clustered intervals, naive Wilson ones thin beside them."""

    def draw(axes: Axes) -> None:
        for row, entry in enumerate(methods):
            axes.plot([100 * end for end in entry.naive], [row + 0.22] * 2, color=PALE, lw=4)
        _draw_shares(axes, {entry.method: entry.share for entry in methods})
        axes.set_xlabel("answers “realistic”, %")

    label = "Share of answers realistic per method with 95 % intervals: " + "; ".join(
        f"{entry.method} {_percent(entry.share.value)}" for entry in methods
    )
    return _svg(draw, 7.4, 0.62 * len(methods) + 1.1, label)


def strengths_figure(results: PairResults) -> str:
    """How often each method would be preferred to the reference, with 95 % intervals."""
    shares = {entry.method: entry.preferred for entry in results.strengths}

    def draw(axes: Axes) -> None:
        axes.axvline(50.0, color=MUTED, lw=1)
        _draw_shares(axes, shares)
        axes.set_xlabel(f"preferred to {shown_name(results.reference)}, %")

    label = "How often each method would be preferred: " + "; ".join(
        f"{method} {_percent(share.value)}" for method, share in shares.items()
    )
    return _svg(draw, 7.4, 0.62 * len(shares) + 1.1, label)


def _draw_shares(axes: Axes, shares: Mapping[str, Estimate]) -> None:
    """A row for each method: its share in per cent, written above it, and the interval."""
    for row, (method, share) in enumerate(shares.items()):
        _dot_and_line(axes, share, row, REAL_COLOUR if method == REAL else METHOD_COLOUR)
        if share.value is not None:
            axes.annotate(
                f"{100 * share.value:.1f} %",
                (100 * share.value, row),
                (0, 9),
                color=INK,
                fontsize=9,
                textcoords="offset points",
                ha="center",
            )
    _name_rows(axes, list(shares))
    axes.set_xlim(-2, 102)


def _dot_and_line(axes: Axes, estimate: Estimate, row: float, colour: str) -> None:
    if estimate.low is not None and estimate.high is not None:
        ends = [100 * estimate.low, 100 * estimate.high]
        axes.plot(ends, [row, row], color=colour, lw=2.5, solid_capstyle="round")
    if estimate.value is not None:
        axes.plot(100 * estimate.value, row, "o", color=colour, ms=7)


def contrasts_figure(contrasts: Sequence[Comparison]) -> str:
    """Planned differences: paired bootstrap (blue) and two-way clustered (brown) intervals."""

    def draw(axes: Axes) -> None:
        axes.axvline(0.0, color=MUTED, lw=1)
        for row, entry in enumerate(contrasts):
            _dot_and_line(axes, entry.paired, row - 0.13, METHOD_COLOUR)
            _dot_and_line(axes, entry.clustered, row + 0.17, SECOND_COLOUR)
        _name_rows(axes, [f"{entry.method} − {entry.against}" for entry in contrasts])
        reach = max(5.0, 1.08 * max(abs(end) for end in axes.get_xlim()))
        axes.set_xlim(-reach, reach)
        axes.set_xlabel("difference, percentage points")

    label = "Planned comparisons with 95 % intervals: " + "; ".join(
        f"{entry.method} minus {entry.against} {_percent(entry.paired.value)}"
        for entry in contrasts
    )
    return _svg(draw, 7.4, 0.7 * len(contrasts) + 1.1, label)


def pictures_figure(results: Results, seed: int) -> str:
    """One dot per picture, its area the number of votes; the bar is the method's share."""
    names = [entry.method for entry in results.methods]
    rng = np.random.default_rng(seed)

    def draw(axes: Axes) -> None:
        for row, entry in enumerate(results.methods):
            table = results.pictures[results.pictures["method"] == entry.method]
            shake = rng.uniform(-0.27, 0.27, len(table))
            colour = REAL_COLOUR if entry.is_real else METHOD_COLOUR
            axes.scatter(
                100 * table["share"],
                row + shake,
                s=5 + 4 * table["votes"],
                color=colour,
                alpha=0.3,
                linewidths=0,
            )
            if entry.share.value is not None:
                axes.plot([100 * entry.share.value] * 2, [row - 0.36, row + 0.36], color=INK, lw=2)
        _name_rows(axes, names)
        axes.set_xlim(-4, 104)
        axes.set_xlabel("answers “realistic” per picture, %")

    label = f"Share of answers realistic for each of {len(results.pictures)} pictures, by method"
    return _svg(draw, 7.4, 0.78 * len(names) + 1.1, label)


def progress_figure(votes: pd.DataFrame) -> str:
    """Data votes collected over time, cumulative; empty text if no vote has a time."""
    times = votes.loc[votes["kind"].isin(("real", "method")), "answered_at"].dropna()
    seconds = np.sort(times.to_numpy(dtype=np.float64))
    if len(seconds) < 2 or seconds[0] == seconds[-1]:
        return ""
    chosen = np.unique(np.linspace(0, len(seconds) - 1, 400).astype(int))
    # the ends and two moments between: matplotlib's own date ticks warn on some spans
    ticks = np.linspace(seconds[0], seconds[-1], 4)
    form = "%Y-%m-%d" if np.ptp(seconds) > 4 * 86_400 else "%Y-%m-%d %H:%M"

    def draw(axes: Axes) -> None:
        axes.step(seconds[chosen], chosen + 1, where="post", color=METHOD_COLOUR, lw=2)
        axes.set_ylim(0)
        axes.set_ylabel("answers so far")
        names = [datetime.fromtimestamp(float(tick), UTC).strftime(form) for tick in ticks]
        axes.set_xticks(ticks, names)
        axes.grid(axis="y", color=GRID)

    return _svg(draw, 7.4, 2.6, f"Answers collected over time, {len(seconds)} in all")


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [_shortened(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


def _shortened(name: str) -> str:
    name = " ".join(shown_name(name).split())
    short = name if len(name) <= _SHOWN else name[: _SHOWN - 1] + "…"
    return short.replace("$", r"\$")  # a dollar sign would start a formula


def _percent(value: float | None) -> str:
    return "not estimable" if value is None else f"{100 * value:.1f} %"


def _svg(draw: Callable[[Axes], None], width: float, height: float, label: str) -> str:
    """Draw on fresh axes and return an <svg> element with a text alternative."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure: Figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    body = text[text.index("<svg") :]
    body = re.sub(
        r'<svg [^>]*viewBox="([^"]+)"[^>]*>', r'<svg viewBox="\1" role="img">', body, count=1
    )
    body = re.sub(r"<metadata>.*?</metadata>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*">', "<g>", body)  # ids must be unique in the page
    title = f"<title>{escape(label)}</title>"
    return body.replace('role="img">', f'role="img" aria-label="{escape(label)}">{title}', 1)
