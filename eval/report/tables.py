"""Tables for a terminal, in Markdown, LaTeX and CSV, and reports in sections that hold them."""

from __future__ import annotations

import base64
import csv
import io
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chromagan.files import write_bytes, write_text

ABSENT = "–"
TEMPLATE = Path(__file__).with_name("page.html.j2")
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


def with_error(
    value: Mapping[str, Any], digits: int = 2, *, errors: bool = True, signed: bool = False
) -> str:
    """An estimate as text: its mean, ± its standard error where there is one."""
    mean = number(value["mean"], digits, signed=signed)
    return f"{mean} ± {number(value['se'], digits)}" if errors and value["se"] is not None else mean


def show(*lines: str) -> None:
    """Print, with escapes for what the terminal's encoding lacks: no result ends in an error."""
    encoding = sys.stdout.encoding or "utf-8"
    for line in lines:
        print(line.encode(encoding, "backslashreplace").decode(encoding))


def plain(table: TextTable) -> str:
    """Aligned columns under the short header, for a terminal."""
    rows = [table.short or table.header, *table.body]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.header))]
    lines = []
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)


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


def comma_separated(header: Sequence[str], body: Iterable[Iterable[object]]) -> str:
    """CSV text; floats with six digits, None and NaN empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in body:
        writer.writerow([_cell(value) for value in row])
    return text.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value


def tex(text: str) -> str:
    """Escape for LaTeX."""
    return text.translate(_TEX)


def md(text: str) -> str:
    """Escape for a Markdown table cell."""
    return re.sub(r"([|\\])", r"\\\1", text).replace("\n", " ")


@dataclass(frozen=True)
class Picture:
    """An image file of a report: its name, its bytes and what it shows."""

    name: str
    data: bytes
    says: str

    @property
    def address(self) -> str:
        """The picture itself as a URL."""
        kind = self.name.rpartition(".")[2]
        return f"data:image/{kind};base64,{base64.b64encode(self.data).decode()}"


@dataclass(frozen=True)
class Section:
    """A heading, paragraphs, then a picture and a table where there are any."""

    title: str = ""
    texts: Sequence[str] = ()
    table: TextTable | None = None
    picture: Picture | None = None


def write_page(folder: Path, name: str, title: str, sections: Sequence[Section]) -> list[Path]:
    """`NAME.html`, `NAME.md` and the pictures; the paths of the first two."""
    for section in sections:
        if section.picture:
            write_bytes(folder / section.picture.name, section.picture.data)
    paths = [folder / f"{name}.html", folder / f"{name}.md"]
    write_text(paths[0], as_html(title, sections))
    write_text(paths[1], as_markdown(title, sections))
    return paths


def as_html(title: str, sections: Sequence[Section]) -> str:
    """One file: styles and pictures inside, no scripts, nothing fetched."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(title=title, sections=sections)


def as_markdown(title: str, sections: Sequence[Section]) -> str:
    """The same for a repository."""
    parts = [f"# {title}"]
    for section in sections:
        parts += [f"## {section.title}"] if section.title else []
        parts += section.texts
        if section.picture:
            parts.append(f"![{section.picture.says}]({section.picture.name})")
        if section.table:
            parts.append(markdown(section.table))
    return "\n\n".join(parts) + "\n"
