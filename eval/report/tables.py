"""Tables: cells first, then the same cells for a terminal, in Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

ABSENT = "–"
_TEX = str.maketrans(
    {c: rf"\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
    | {"±": r"$\pm$", "Δ": r"$\Delta$", "²": r"$^2$", "×": r"$\times$", "–": "--", "°": r"$^\circ$"}
)


@dataclass(frozen=True)
class TextTable:
    """Header and body, all text; the first column names the row. `short` suits a terminal."""

    title: str
    header: list[str]
    body: list[list[str]]
    short: list[str] = field(default_factory=list)
    note: str = ""


def number(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """A rounded number, or a dash where there is none."""
    if value is None or value != value:
        return ABSENT
    # + 0.0 turns a rounded negative zero into zero
    return f"{round(value, digits) + 0.0:{'+' if signed else ''}.{digits}f}"


def show(*lines: str) -> None:
    """Print, with escapes for what the terminal's encoding lacks: no result ends in an error."""
    encoding = sys.stdout.encoding or "utf-8"
    for line in lines:
        print(line.encode(encoding, "backslashreplace").decode(encoding))


def plain(table: TextTable) -> str:
    """Aligned columns under the short header, for a terminal."""
    rows = [table.short or table.header, *table.body]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.header))]
    return "\n".join(_aligned(row, widths) for row in rows)


def markdown(table: TextTable) -> str:
    """The table alone, without its title."""
    rule = ["---", *["---:"] * (len(table.header) - 1)]
    rows = [[md(cell) for cell in row] for row in (table.header, *table.body)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (rows[0], rule, *rows[1:]))


def latex(table: TextTable, caption: str) -> str:
    """A booktabs table, ready for \\input."""
    head, *rows = (
        " & ".join(tex(cell) for cell in row) + r" \\" for row in [table.header, *table.body]
    )
    return (
        "\\begin{table}\n\\centering\\small\n"
        f"\\caption{{{tex(f'{table.title}. {caption}')}}}\n"
        f"\\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}\n\\toprule\n{head}\n"
        "\\midrule\n" + "\n".join(rows) + "\n\\bottomrule\n\\end{tabular}\n\\end{table}"
    )


def comma_separated(header: Sequence[str], body: Sequence[Sequence[object]]) -> str:
    """CSV text; floats with six digits, None empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in body:
        writer.writerow(
            ["" if v is None else f"{v:.6g}" if isinstance(v, float) else v for v in row]
        )
    return text.getvalue()


def tex(text: str) -> str:
    """Escape for LaTeX."""
    return text.translate(_TEX)


def md(text: str) -> str:
    """Escape for a Markdown table cell."""
    return re.sub(r"([|\\])", r"\\\1", text).replace("\n", " ")


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = (
        cell.ljust(w) if i == 0 else cell.rjust(w)
        for i, (cell, w) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join([first, *rest]).rstrip()
