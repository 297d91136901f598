"""The figures of a run: means with intervals, PSNR against colourfulness, sheets of pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from chromagan.color import Rgb8
from chromagan.files import write_bytes
from eval.baselines import FLOORS
from eval.report.summary import column
from eval.run.folder import ImageScores, RunFolder, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = {".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
BLUE, GREY, INK = "#2b6cb0", "#555555", "#222222"


def write_plots(folder: RunFolder, summary: dict[str, Any], table: Table) -> None:
    """`psnr.png`, `psnr_colourfulness.png` and `extremes.webp`."""
    write_bytes(folder.path / "psnr.png", encode_png(psnr_figure(summary)))
    write_bytes(folder.path / "psnr_colourfulness.png", encode_png(colourfulness_figure(summary)))
    write_bytes(folder.path / "extremes.webp", extremes(folder, table))


def psnr_figure(summary: dict[str, Any]) -> Figure:
    """Official PSNR of every method with its 95 % interval, best on top."""
    methods = {name: method["psnr224"] for name, method in summary["methods"].items()}
    ranked = dict(sorted(methods.items(), key=lambda item: item[1]["mean"] or -np.inf))
    count = summary["images"]["count"]
    return intervals_figure(ranked, f"PSNR at 224² in dB, mean of {count} images, 95 % interval")


def intervals_figure(values: Mapping[str, dict[str, Any]], label: str) -> Figure:
    """One line per entry, bottom to top: its mean and 95 % interval; differences show their 0."""
    figure = new_figure(7, 1.4 + 0.4 * len(values))
    axes = figure.add_subplot()
    for place, value in enumerate(values.values()):
        if value["mean"] is None:
            continue
        mean = value["mean"]
        axes.errorbar(mean, place, xerr=_bars(value), fmt="o", color=BLUE, ecolor=GREY)
        axes.annotate(
            f"{mean:.2f}", (mean, place), (0, 6), textcoords="offset points", ha="center", size=8
        )
    low, high = axes.get_xlim()
    if low < 0 < high:
        axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_yticks(range(len(values)), list(values))
    axes.set_ylim(-0.6, len(values) - 0.4)
    axes.set_xlabel(label)
    axes.grid(axis="x", alpha=0.3)
    return figure


def colourfulness_figure(summary: dict[str, Any]) -> Figure:
    """PSNR against the colourfulness relative to the truth: safe and grey to vivid and wrong."""
    figure = new_figure(7, 4.6)
    axes = figure.add_subplot()
    for name, method in summary["methods"].items():
        ratio, decibel = method["colourfulness_ratio"], method["colour"]["psnr224"]
        if ratio["mean"] is None or decibel["mean"] is None:
            continue
        place = (ratio["mean"], decibel["mean"])
        axes.errorbar(*place, _bars(decibel), _bars(ratio), "o", color=BLUE, ecolor=GREY, lw=0.8)
        axes.annotate(name, place, (6, 5), textcoords="offset points")
    axes.axvline(1, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_xlabel("colourfulness / colourfulness of the truth (1 = as vivid as the photograph)")
    axes.set_ylabel(f"PSNR at 224² in dB, {summary['images']['colour']} colour photographs")
    axes.grid(alpha=0.3)
    return figure


def curves_figure(
    curves: Mapping[str, tuple[list[float], list[float]]], x_label: str, y_label: str
) -> Figure:
    """Named curves of (x, y) on one pair of axes."""
    figure = new_figure(7, 4.6)
    axes = figure.add_subplot()
    for name, (x, y) in curves.items():
        axes.plot(x, y, marker="o", markersize=3, linewidth=1.2, label=name)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def extremes(folder: RunFolder, table: Table) -> bytes:
    """Best, median and worst photographs of one method, every method beside the truth (WebP).

    The method is the first that is more than a floor (`grey`, `mean-ab`).
    """
    names = list(table)
    leader = next((name for name in names if name not in FLOORS), names[0])
    ranked = np.argsort(-column(table[leader], "psnr224"), kind="stable")
    chosen = [(f"{leader} {kind}", i) for kind, s in _places(len(ranked), 3) for i in ranked[s]]
    return comparison_sheet(
        folder, table, [index for _, index in chosen], [kind for kind, _ in chosen], cell=160
    )


def comparison_sheet(
    folder: RunFolder, table: Table, indices: list[int], kinds: list[str], *, cell: int
) -> bytes:
    """WebP: the photographs with these row numbers, the truth first, then every method."""
    rows = [[table[name][index] for name in table] for index in indices]
    pictures = [
        [folder.read_truth(row[0]), *(folder.read_picture(scores) for scores in row)]
        for row in rows
    ]
    labels = [
        f"{kind}{': ' if kind else ''}{psnr_label(row)}"
        for kind, row in zip(kinds, rows, strict=True)
    ]
    return encode(contact_sheet(pictures, ["truth", *table], labels, Style(cell=cell)), ".webp")


def psnr_label(row: list[ImageScores]) -> str:
    """`key (full 24.1, lite 23.0 dB)`: one photograph's numbers by method."""
    numbers = ", ".join(f"{scores['method']} {scores['psnr224']:.1f}" for scores in row[:6])
    return f"{row[0]['key']} ({numbers} dB)"


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches, outside pyplot's global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def encode_png(figure: Figure) -> bytes:
    """A figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()


def _places(total: int, count: int) -> list[tuple[str, slice]]:
    """Non-overlapping slices of a ranking: best, median, worst; fewer where there are few."""
    count = max(1, min(count, total // 3))
    if total < 3:
        return [("best", slice(0, total))]
    middle = (total - count) // 2
    return [
        ("best", slice(0, count)),
        ("median", slice(middle, middle + count)),
        ("worst", slice(total - count, total)),
    ]


def _bars(value: dict[str, Any]) -> list[list[float]] | None:
    if value["low"] is None:
        return None
    below, above = value["mean"] - value["low"], value["high"] - value["mean"]
    return [[max(0.0, below)], [max(0.0, above)]]


@dataclass(frozen=True)
class Style:
    """Of a contact sheet; sizes in pixels."""

    cell: int = 192
    gap: int = 6
    label: int = 22


def contact_sheet(
    rows: Sequence[Sequence[Rgb8]],
    columns: Sequence[str],
    labels: Sequence[str] | None = None,
    style: Style | None = None,
) -> Image.Image:
    """Compose pictures (any sizes, aspect kept) into a grid.

    `rows[i][j]` belongs under `columns[j]`; `labels[i]`, where given, stands below row i. A row's
    pictures share one height: the tallest of them when each is fitted into a `cell` wide square.
    """
    style = style or Style()
    if any(len(row) != len(columns) for row in rows) or not rows:
        raise ValueError("every row of a sheet needs one picture per column")
    fitted = [[_fit(picture, style.cell) for picture in row] for row in rows]
    heights = [max(picture.height for picture in row) for row in fitted]
    below = style.label if labels else 0
    step = style.cell + style.gap
    height = style.label + style.gap + sum(h + style.gap + below for h in heights)
    sheet = Image.new("RGB", (len(columns) * step + style.gap, height), "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=style.label * 0.62)
    for place, name in enumerate(columns):
        center = style.gap + place * step + style.cell // 2
        pen.text((center, 4), name, fill=INK, font=font, anchor="ma")
    top = style.label
    for index, row in enumerate(fitted):
        for place, picture in enumerate(row):
            left = style.gap + place * step + (style.cell - picture.width) // 2
            sheet.paste(picture, (left, top))
        top += heights[index]
        if labels:
            pen.text((style.gap, top + 2), labels[index], fill=INK, font=font)
        top += style.gap + below
    return sheet


def side_by_side(
    rows: Sequence[Sequence[Rgb8]],
    columns: Sequence[str],
    labels: Sequence[str] | None,
    style: Style,
    blocks: int,
) -> Image.Image:
    """`contact_sheet` in blocks beside one another, for pages that are wider than high."""
    size = -(-len(rows) // blocks)
    sheets = [
        contact_sheet(rows[i : i + size], columns, labels and labels[i : i + size], style)
        for i in range(0, len(rows), size)
    ]
    width, height = sum(s.width for s in sheets), max(s.height for s in sheets)
    joined = Image.new("RGB", (width, height), "white")
    left = 0
    for sheet in sheets:
        joined.paste(sheet, (left, 0))
        left += sheet.width
    return joined


def encode(sheet: Image.Image, suffix: str, quality: int = 82) -> bytes:
    """The sheet as a WebP, JPEG or PNG file. Raises ValueError for another suffix."""
    kind = FORMATS.get(suffix.lower())
    if kind is None:
        raise ValueError(f"a sheet is written as {', '.join(FORMATS)}, not {suffix!r}")
    buffer = io.BytesIO()
    options = {"WEBP": {"quality": quality, "method": 6}, "JPEG": {"quality": quality}}
    sheet.save(buffer, kind, **options.get(kind, {}))
    return buffer.getvalue()


def _fit(picture: Rgb8, cell: int) -> Image.Image:
    height, width = picture.shape[:2]
    scale = cell / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.LANCZOS)
