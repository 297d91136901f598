"""The report of a run: its tables, notes and files, made from a summary."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chromagan.files import write_text
from eval.baselines import FLOORS
from eval.measures.protocol import METRICS, ON_REQUEST
from eval.report.failures import calibration_table, faces_table
from eval.report.tables import (
    ABSENT,
    TextTable,
    comma_separated,
    latex,
    markdown,
    md,
    number,
    with_error,
)
from eval.run.folder import RunFolder

LEGEND = (
    "± standard error; gain: over no colour at all; colour only: photographs with colour (columns "
    "to the right of it too);\nCF ratio: colourfulness relative to the truth; published: on other "
    "images, see the notes"
)


def write_tables(folder: RunFolder, summary: dict[str, Any]) -> None:
    """`table.md`, `table.tex` and `table.csv`, each in one step."""
    tables = all_tables(summary)
    text, lines = caption(summary), notes(summary)
    parts = [f"## {t.title}\n\n{markdown(t)}" + (f"\n\n{t.note}" if t.note else "") for t in tables]
    listed = "\n".join(f"- {md(line)}" for line in lines)
    write_text(folder.path / "table.md", "\n\n".join([text, *parts, listed]) + "\n")
    comment = "\n".join(f"% {line}" for line in lines)
    in_tex = [latex(table, text) for table in tables]
    write_text(folder.path / "table.tex", "\n\n".join([*in_tex, comment]) + "\n")
    write_text(folder.path / "table.csv", numbers(summary))


def all_tables(summary: dict[str, Any]) -> list[TextTable]:
    """Every table of the report, the paper's first."""
    tables = [psnr_table(summary), metrics_table(summary)]
    networks = {
        n: m for n, m in summary["methods"].items() if "calibration" in m and n not in FLOORS
    }
    if networks:
        tables += [calibration_table(networks), faces_table(networks)]
    return tables


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
    short = ["method", "PSNR (dB)", "95 % interval", "gain", "colour only", "median"]
    short += ["gain", "median", "CF ratio", "published"]
    known = published("psnr")
    body = []
    for name, method in summary["methods"].items():
        official, gain, colour = method["psnr224"], method["gain_over_grey"], method["colour"]
        body.append(
            [
                name,
                with_error(official),
                _interval(official),
                number(gain["mean"], signed=True),
                with_error(colour["psnr224"]),
                number(colour["psnr224"]["median"]),
                number(colour["gain_over_grey"]["mean"], signed=True),
                number(colour["gain_over_grey"]["median"], signed=True),
                number(method["colourfulness_ratio"]["mean"]),
                str(known.get(name.partition("@")[0], ABSENT)),
            ]
        )
    for name in summary.get("skipped", {}):
        if name in known:
            body.append([name, *[ABSENT] * 8, str(known[name])])
    return TextTable("PSNR", header, body, short)


def metrics_table(summary: dict[str, Any], *, errors: bool = True) -> TextTable:
    """Every metric as mean over all images, with `errors` ± its standard error."""
    methods = summary["methods"]
    every = METRICS | ON_REQUEST
    shown = [name for name in every if any(name in method for method in methods.values())]
    header = ["Method", *(every[name].title for name in shown)]
    short = ["method", *(every[name].short for name in shown)]
    body = []
    for name, method in methods.items():
        cells = [with_error(method[m], every[m].digits, errors=errors) for m in shown]
        body.append([name, *cells])
    if any("fid" in method for method in methods.values()):
        header.append("FID")
        short.append("FID")
        for row, method in zip(body, methods.values(), strict=True):
            row.append(number(method.get("fid")))
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
    skipped = summary.get("skipped", {})
    shown = {name.partition("@")[0] for name in summary["methods"]} | set(skipped)
    return [
        *(f"{name}: {describe(about)}" for name, about in summary["methods"].items()),
        *(f"{name} not run: {why}" for name, why in skipped.items()),
        *(
            f"left out for every method: {entry['image']} ({entry['reason']})"
            for entry in summary["images"].get("excluded", [])
        ),
        *(
            f"published {name} {figure}: {figure.source}; {figure.protocol}; {figure.reliability}"
            for name, figure in published("psnr").items()
            if name in shown
        ),
    ]


def describe(about: dict[str, Any]) -> str:
    """What a method is and whose weights it ran with, in one line."""
    digest = about.get("weights_sha256", "")
    known = "sha256" in about.get("weights", "")
    shown = f" (sha256 {digest[:12]}…)" if digest and not known else ""
    return f"{about.get('description', '?')}; {about.get('weights', '?')}{shown}"


def numbers(summary: dict[str, Any]) -> str:
    """`table.csv`: one line per method and metric, numbers only, published in its own column."""
    known = published("psnr")
    lines: list[list[object]] = []
    for name, method in summary["methods"].items():
        figure = known.get(name.partition("@")[0])
        every = [(m, method[m]) for m in (*METRICS, *ON_REQUEST, "gain_over_grey") if m in method]
        colour = [(m, method["colour"][m]) for m in ("psnr224", "gain_over_grey")]
        for images, group in (("all", every), ("colour", colour)):
            for metric, value in group:
                first = metric == "psnr224" and images == "all"
                cells = [value[k] for k in ("mean", "se", "low", "high", "n", "median")]
                lines.append(
                    [name, images, metric, *cells, figure.value if figure and first else ""]
                )
    header = ["method", "images", "metric", "mean", "se", "low", "high", "n", "median", "published"]
    return comma_separated(header, lines)


def _interval(value: dict[str, Any]) -> str:
    return ABSENT if value["low"] is None else f"{value['low']:.2f} … {value['high']:.2f}"


FILE = Path(__file__).with_name("published.csv")


@dataclass(frozen=True)
class Published:
    """One number as its source gives it; `se` is empty where the source gives none."""

    method: str
    metric: str
    value: str
    se: str
    source: str
    protocol: str
    reliability: str

    def __str__(self) -> str:
        return f"{self.value} ± {self.se}" if self.se else self.value


def published(metric: str = "psnr") -> dict[str, Published]:
    """Method -> its published number of this metric."""
    with FILE.open(encoding="utf-8", newline="") as lines:
        found = [Published(**row) for row in csv.DictReader(lines)]
    return {number.method: number for number in found if number.metric == metric}
