"""The result tables of a summary: cells, captions and notes as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eval.protocol import METRICS, TITLES
from eval.published import published

Cells = list[list[str]]
ABSENT = "–"
LEGEND = (
    "± standard error; gain: over no colour at all; colour only: photographs with colour (columns "
    "to the right of it too);\nCF ratio: colourfulness relative to the truth; published: on other "
    "images, see the notes"
)
_SHORT = {
    "psnr_full": "full size",
    "ab_psnr": "ab-PSNR",
    "ssim224": "SSIM",
    "delta_e2000": "ΔE2000",
    "colourfulness": "CF",
    "colourfulness_ratio": "CF ratio",
    "auc": "AuC",
    "auc_rebalanced": "AuC reb.",
    "lpips": "LPIPS",
}


@dataclass(frozen=True)
class TextTable:
    """Header and body, all text; the first column names the method. `short` suits a terminal."""

    title: str
    header: list[str]
    body: Cells
    short: list[str]


def psnr_table(summary: dict[str, Any]) -> TextTable:
    """The paper's kind of table: official PSNR, the same over colour photographs, and published."""
    images = summary["images"]
    header = [
        "Method",
        f"PSNR, all {images['count']} (dB)",
        "95 % interval",
        "Gain over grey",
        f"PSNR, colour {images['colour']}: mean",
        "median",
        "Gain: mean",
        "median",
        "Colourfulness / truth",
        "Published PSNR (other images)",
    ]
    short = ["method", "PSNR (dB)", "95 % interval", "gain", "colour only", "median", "gain",
             "median", "CF ratio", "published"]  # fmt: skip
    known = published("psnr")
    body = []
    for name, method in summary["methods"].items():
        official, gain, colour = method["psnr224"], method["gain_over_grey"], method["colour"]
        body.append([
            name,
            _with_error(official),
            _interval(official),
            _number(gain["mean"], signed=True),
            _with_error(colour["psnr224"]),
            _number(colour["psnr224"]["median"]),
            _number(colour["gain_over_grey"]["mean"], signed=True),
            _number(colour["gain_over_grey"]["median"], signed=True),
            _number(method["colourfulness_ratio"]["mean"]),
            str(known.get(name.partition("@")[0], ABSENT)),
        ])  # fmt: skip
    for name in summary.get("skipped", {}):
        if name in known:
            body.append([name, *[ABSENT] * 8, str(known[name])])
    return TextTable("PSNR", header, body, short)


def metrics_table(summary: dict[str, Any], *, errors: bool = True) -> TextTable:
    """Every metric as mean over all images, with `errors` ± its standard error."""
    methods = summary["methods"]
    shown = [m for m in (*METRICS, "lpips") if any(m in method for method in methods.values())]
    header = ["Method", *(TITLES[name] for name in shown)]
    short = ["method", *(_SHORT.get(name, name) for name in shown)]
    number = _with_error if errors else _mean_only
    body = [
        [name, *(number(method[metric], _digits(metric)) for metric in shown)]
        for name, method in methods.items()
    ]
    if any("fid" in method for method in methods.values()):
        header.append("FID")
        short.append("FID")
        for cells, method in zip(body, methods.values(), strict=True):
            cells.append(_number(method.get("fid")))
    return TextTable("All metrics", header, body, short)


def caption(summary: dict[str, Any]) -> str:
    """Protocol, image count and hash of the image list, in one paragraph."""
    images = summary["images"]
    return (
        f"{images['count']} images from {images['source']}, list hash {images['list_hash']}, "
        f"{images['colour']} of them colour photographs. ± is the standard error of the mean; "
        f"intervals are {summary['protocol']['interval']}. {summary['protocol']['caption']}"
    )


def notes(summary: dict[str, Any]) -> list[str]:
    """Whose weights were measured, what did not run or was left out, and the figures' sources."""
    lines = [f"{name}: {describe(about)}" for name, about in summary["methods"].items()]
    lines += [f"{name} not run: {why}" for name, why in summary.get("skipped", {}).items()]
    lines += [
        f"left out for every method: {entry['image']} ({entry['reason']})"
        for entry in summary["images"].get("excluded", [])
    ]
    shown = {name.partition("@")[0] for name in summary["methods"]} | set(
        summary.get("skipped", {})
    )
    lines += [
        f"published {name} {number}: {number.source}; {number.protocol}; {number.reliability}"
        for name, number in published("psnr").items()
        if name in shown
    ]
    return lines


def describe(about: dict[str, Any]) -> str:
    """What a method is and whose weights it ran with, in one line."""
    digest = about.get("weights_sha256", "")
    known = "sha256" in about.get("weights", "")
    shown = f" (sha256 {digest[:12]}…)" if digest and not known else ""
    return f"{about.get('description', '?')}; {about.get('weights', '?')}{shown}"


def plain(table: TextTable) -> str:
    """Aligned columns under the short header, for a terminal."""
    rows = [table.short, *table.body]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.header))]
    return "\n".join(_aligned(row, widths) for row in rows)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = (cell.ljust(w) if i == 0 else cell.rjust(w)
                    for i, (cell, w) in enumerate(zip(row, widths, strict=True)))  # fmt: skip
    return "  ".join([first, *rest]).rstrip()


def _digits(metric: str) -> int:
    return 3 if metric in {"ssim224", "auc", "auc_rebalanced", "lpips"} else 2


def _number(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    if value is None:
        return ABSENT
    # + 0.0 turns a rounded negative zero into zero
    return f"{round(value, digits) + 0.0:{'+' if signed else ''}.{digits}f}"


def _with_error(value: dict[str, Any], digits: int = 2) -> str:
    mean = _number(value["mean"], digits)
    return mean if value["se"] is None else f"{mean} ± {_number(value['se'], digits)}"


def _mean_only(value: dict[str, Any], digits: int = 2) -> str:
    return _number(value["mean"], digits)


def _interval(value: dict[str, Any]) -> str:
    return ABSENT if value["low"] is None else f"{value['low']:.2f} … {value['high']:.2f}"
