"""The figures of a run: PSNR with intervals, PSNR against colourfulness, and the extremes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.folder import RunFolder, write_bytes
from eval.lab import Rgb8
from eval.photos import decode
from eval.sheet import Style, contact_sheet, encode
from eval.summary import Row, Table, column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from eval.comparison import Difference

_BLUE, _GREY = "#2b6cb0", "#555555"


def write_plots(folder: RunFolder, summary: dict[str, Any], table: Table) -> list[str]:
    """`psnr.png`, `psnr_colourfulness.png` and `extremes.webp`; returns their names."""
    write_bytes(folder.path / "psnr.png", encode_png(psnr_figure(summary)))
    write_bytes(folder.path / "psnr_colourfulness.png", encode_png(colourfulness_figure(summary)))
    write_bytes(folder.path / "extremes.webp", extremes(folder, table))
    return ["psnr.png", "psnr_colourfulness.png", "extremes.webp"]


def psnr_figure(summary: dict[str, Any]) -> Figure:
    """Official PSNR of every method with its 95 % interval, best on top."""
    ranked = sorted(summary["methods"].items(), key=lambda item: _mean(item[1]["psnr224"]))
    figure = _figure(width=7, height=1.4 + 0.38 * len(ranked))
    axes = figure.add_subplot()
    for place, (_, method) in enumerate(ranked):
        _interval_point(axes, method["psnr224"], place)
    axes.set_yticks(range(len(ranked)), [name for name, _ in ranked])
    axes.set_ylim(-0.6, len(ranked) - 0.4)
    axes.set_xlabel(
        f"PSNR at 224² in dB, mean of {summary['images']['count']} images, 95 % interval"
    )
    axes.grid(axis="x", alpha=0.3)
    return figure


def colourfulness_figure(summary: dict[str, Any]) -> Figure:
    """PSNR against the colourfulness relative to the truth: safe and grey to vivid and wrong."""
    figure = _figure(width=7, height=4.6)
    axes = figure.add_subplot()
    for name, method in summary["methods"].items():
        ratio, decibel = method["colourfulness_ratio"], method["colour"]["psnr224"]
        if ratio["mean"] is None or decibel["mean"] is None:
            continue
        axes.errorbar(
            ratio["mean"], decibel["mean"], xerr=_bars(ratio), yerr=_bars(decibel),
            fmt="o", color=_BLUE, ecolor=_GREY, elinewidth=0.8,
        )  # fmt: skip
        axes.annotate(name, (ratio["mean"], decibel["mean"]), (6, 5), textcoords="offset points")
    axes.axvline(1, color=_GREY, linewidth=0.8, linestyle=":")
    axes.set_xlabel("colourfulness / colourfulness of the truth (1 = as vivid as the photograph)")
    axes.set_ylabel(f"PSNR at 224² in dB, {summary['images']['colour']} colour photographs")
    axes.grid(alpha=0.3)
    return figure


def differences_figure(differences: Sequence[Difference]) -> Figure:
    """Paired differences in the official PSNR, one line each, with 95 % intervals."""
    shown = [item for item in differences if item.metric == "psnr224"][::-1]
    figure = _figure(width=7, height=1.2 + 0.42 * len(shown))
    axes = figure.add_subplot()
    for place, item in enumerate(shown):
        _interval_point(axes, item.difference.as_dict(), place)
    axes.axvline(0, color=_GREY, linewidth=0.8)
    axes.set_yticks(range(len(shown)), [f"{item.first} − {item.second}" for item in shown])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_xlabel("difference in PSNR at 224² in dB, paired, 95 % interval")
    axes.grid(axis="x", alpha=0.3)
    return figure


def extremes(folder: RunFolder, table: Table, count: int = 3) -> bytes:
    """Best, median and worst photographs of one method, every method beside the truth.

    The method is the first that is more than a floor (`grey`, `mean-ab`).
    """
    names = list(table)
    leader = next((name for name in names if name not in {"grey", "mean-ab"}), names[0])
    ranked = np.argsort(-column(table[leader], "psnr224"), kind="stable")
    rows, labels = [], []
    for kind, places in _places(len(ranked), count):
        for index in ranked[places]:
            rows.append([read_truth(folder, table[names[0]][index]),
                         *(read_output(folder, table[name][index]) for name in names)])  # fmt: skip
            labels.append(
                _label(f"{leader} {kind}", [(name, table[name][index]) for name in names])
            )
    sheet = contact_sheet(rows, ["truth", *names], labels, Style(cell=160))
    return encode(sheet, ".webp")


def read_truth(folder: RunFolder, row: Row) -> Rgb8:
    """The photograph itself, from the run folder's copy. Raises ImageError, FileNotFoundError."""
    suffix = "." + str(row["image"]).rpartition(".")[2].lower()
    path = folder.path / "truth" / f"{row['key']}{suffix}"
    return decode(path.read_bytes(), str(path))


def read_output(folder: RunFolder, row: Row) -> Rgb8:
    """A method's picture from the run folder. Raises ImageError, FileNotFoundError."""
    path = folder.picture(str(row["method"]), str(row["key"]))
    return decode(path.read_bytes(), str(path))


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


def _label(kind: str, rows: list[tuple[str, Row]]) -> str:
    numbers = ", ".join(f"{name} {row['psnr224']:.1f}" for name, row in rows[:6])
    return f"{kind}: {rows[0][1]['key']} ({numbers} dB)"


def _mean(value: dict[str, Any]) -> float:
    return -np.inf if value["mean"] is None else float(value["mean"])


def _interval_point(axes: Any, value: dict[str, Any], place: int) -> None:
    if value["mean"] is None:
        return
    axes.errorbar(value["mean"], place, xerr=_bars(value), fmt="o", color=_BLUE, ecolor=_GREY)
    axes.annotate(
        f"{value['mean']:.2f}", (value["mean"], place), (0, 6), textcoords="offset points",
        ha="center", fontsize=8,
    )  # fmt: skip


def _bars(value: dict[str, Any]) -> list[list[float]] | None:
    if value["low"] is None:
        return None
    below, above = value["mean"] - value["low"], value["high"] - value["mean"]
    return [[max(0.0, below)], [max(0.0, above)]]


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def encode_png(figure: Figure) -> bytes:
    """A figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
