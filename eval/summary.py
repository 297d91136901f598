"""From per-image rows to the numbers of a report: `summary.json`."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.folder import RunFolder, write_text
from eval.intervals import estimate, paired_difference
from eval.protocol import BETTER, CAPTION, COLOURED, METRICS, PROTOCOL

Row = dict[str, Any]
Table = Mapping[str, Sequence[Row]]  # method -> rows of the same images in the same order

FIELDS = (
    "method", "image", "key", "width", "height", "seconds", "truth_chroma", "psnr224_grey",
    *METRICS, "lpips", "sha256", "fingerprint",
)  # fmt: skip


def column(rows: Sequence[Row], name: str) -> npt.NDArray[np.float64]:
    """One number of every row; None and missing become NaN."""
    values = [row.get(name) for row in rows]
    return np.array([math.nan if value is None else float(value) for value in values])


def metrics_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """The metrics that these rows hold: the usual ones, and `lpips` where it was asked for."""
    return (*METRICS, "lpips") if any("lpips" in row for row in rows) else METRICS


def method_summary(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """Every metric over all images, and psnr224 over colour photographs with its gain over grey."""
    summary: dict[str, Any] = {
        name: estimate(column(rows, name), seed).as_dict() for name in metrics_of(rows)
    }
    gain = column(rows, "psnr224") - column(rows, "psnr224_grey")
    colour = column(rows, "truth_chroma") >= COLOURED
    summary["gain_over_grey"] = estimate(gain, seed).as_dict()
    summary["colour"] = {
        "n": int(colour.sum()),
        "psnr224": estimate(column(rows, "psnr224")[colour], seed).as_dict(),
        "gain_over_grey": estimate(gain[colour], seed).as_dict(),
    }
    summary["seconds_per_image"] = float(np.mean(column(rows, "seconds")))
    return summary


def differences(table: Table, seed: int) -> dict[str, dict[str, Any]]:
    """Paired differences of every method to the first: `{method: {metric: estimate}}`.

    Positive means that the method has the larger number, whether or not larger is better.
    """
    names = list(table)
    return {
        name: {
            metric: paired_difference(
                column(table[name], metric), column(table[names[0]], metric), seed
            ).as_dict()
            for metric in metrics_of(table[name])
        }
        for name in names[1:]
    }


def summarise(
    table: Table,
    seed: int,
    about: dict[str, Any],
    whole: Mapping[str, Mapping[str, float | None]] | None = None,
) -> dict[str, Any]:
    """The whole `summary.json`; `about` brings versions, hashes, device and the like.

    `whole` holds numbers of a method that belong to no single image (FID).
    """
    first = next(iter(table), None)
    colour = 0 if first is None else int((column(table[first], "truth_chroma") >= COLOURED).sum())
    return {
        "format": 1,
        "protocol": {
            "version": PROTOCOL,
            "caption": CAPTION,
            "better": BETTER,
            "interval": "95 % percentile bootstrap over images, 2000 draws, paired",
        },
        **about,
        "seed": seed,
        "images": {**about.get("images", {}), "colour": colour},
        "methods": {
            name: {
                **about.get("methods", {}).get(name, {}),
                **method_summary(rows, seed),
                **(whole or {}).get(name, {}),
            }
            for name, rows in table.items()
        },
        "differences": {"reference": first, "methods": differences(table, seed)},
    }


def write_summary(folder: RunFolder, summary: dict[str, Any]) -> None:
    """`summary.json`, strictly valid JSON: numbers that do not exist are null."""
    text = json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(folder.path / "summary.json", text + "\n")


def write_per_image(folder: RunFolder, table: Table) -> None:
    """`per_image.csv`: one line per method and image; numbers that do not exist are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for rows in table.values():
        for row in rows:
            writer.writerow({name: _cell(row.get(name)) for name in FIELDS})
    write_text(folder.path / "per_image.csv", text.getvalue())


def read_per_image(folder: RunFolder) -> dict[str, list[Row]]:
    """Rows of `per_image.csv` by method, numbers as floats. Raises FileNotFoundError."""
    table: dict[str, list[Row]] = {}
    with (folder.path / "per_image.csv").open(encoding="utf-8", newline="") as file:
        for record in csv.DictReader(file):
            row: Row = dict(record)
            for name in FIELDS[3:-2]:
                row[name] = float(row[name]) if row.get(name) else math.nan
            table.setdefault(record["method"], []).append(row)
    return table


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value
