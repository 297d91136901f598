"""The result tables as files: Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

from eval.folder import RunFolder, write_text
from eval.protocol import METRICS
from eval.published import published
from eval.tables import caption, metrics_table, notes, psnr_table


def write_tables(folder: RunFolder, summary: dict[str, Any]) -> None:
    """`table.md`, `table.tex` and `table.csv`, each in one step."""
    write_text(folder.path / "table.md", markdown(summary))
    write_text(folder.path / "table.tex", latex(summary))
    write_text(folder.path / "table.csv", comma_separated(summary))


def markdown(summary: dict[str, Any]) -> str:
    """`table.md`."""
    parts = [caption(summary)]
    for table in (psnr_table(summary), metrics_table(summary)):
        rule = ["---", *["---:"] * (len(table.header) - 1)]
        rows = [table.header, rule, *table.body]
        text = "\n".join("| " + " | ".join(_md(cell) for cell in row) + " |" for row in rows)
        parts.append(f"## {table.title}\n\n{text}")
    parts.append("\n".join(f"- {_md(line)}" for line in notes(summary)))
    return "\n\n".join(parts) + "\n"


def latex(summary: dict[str, Any]) -> str:
    """`table.tex`: booktabs tables, ready for \\input."""
    parts = []
    for table in (psnr_table(summary), metrics_table(summary)):
        rows = [
            " & ".join(tex(cell) for cell in row) + r" \\" for row in [table.header, *table.body]
        ]
        parts.append(
            "\\begin{table}\n\\centering\\small\n"
            f"\\caption{{{tex(table.title + '. ' + caption(summary))}}}\n"
            f"\\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}\n\\toprule\n{rows[0]}\n"
            "\\midrule\n" + "\n".join(rows[1:]) + "\n\\bottomrule\n\\end{tabular}\n\\end{table}"
        )
    comment = "\n".join(f"% {line}" for line in notes(summary))
    return "\n\n".join([*parts, comment]) + "\n"


def comma_separated(summary: dict[str, Any]) -> str:
    """`table.csv`: one line per method and metric, numbers only, published in its own column."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "images", "metric", "mean", "se", "low", "high", "n", "median",
                     "published"])  # fmt: skip
    known = published("psnr")
    for name, method in summary["methods"].items():
        groups = [("all", {m: method[m] for m in (*METRICS, "gain_over_grey")})]
        groups.append(("colour", {m: method["colour"][m] for m in ("psnr224", "gain_over_grey")}))
        for images, values in groups:
            for metric, value in values.items():
                first = metric == "psnr224" and images == "all"
                figure = known.get(name.partition("@")[0]) if first else None
                numbers = [value[k] for k in ("mean", "se", "low", "high", "n", "median")]
                cells = ["" if v is None else f"{v:.6g}" for v in numbers]
                writer.writerow([name, images, metric, *cells, figure.value if figure else ""])
    return text.getvalue()


def tex(text: str) -> str:
    """Escape for LaTeX."""
    escaped = re.sub(r"([&%$#_{}])", r"\\\1", text.replace("\\", "/"))
    symbols = {"±": r"$\pm$", "Δ": r"$\Delta$", "²": r"$^2$", "×": r"$\times$", "–": "--", "~": " "}
    return "".join(symbols.get(character, character) for character in escaped)


def _md(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
