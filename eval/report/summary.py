"""From per-image rows to the numbers of a report: `summary.json` and `per_image.csv`."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from chromagan.files import write_text
from eval.measures.protocol import (
    CAPTION,
    COLOURED,
    METRICS,
    ON_REQUEST,
    PROTOCOL,
    estimate,
    paired_difference,
)
from eval.report.tables import comma_separated
from eval.run.folder import ImageScores, RunFolder, Table

_WORDS = ("method", "image", "key", "sha256", "fingerprint")
FIELDS = (
    "method",
    "image",
    "key",
    "width",
    "height",
    "seconds",
    "truth_chroma",
    "psnr224_grey",
    *METRICS,
    *ON_REQUEST,
    "sha256",
    "fingerprint",
)


def column(rows: Sequence[ImageScores], name: str) -> npt.NDArray[np.float64]:
    """One number of every row; None and missing become NaN."""
    values = [row.get(name) for row in rows]
    return np.array([math.nan if value is None else float(value) for value in values])


def coloured(rows: Sequence[ImageScores]) -> npt.NDArray[np.bool_]:
    """Which rows are of colour photographs."""
    chosen: npt.NDArray[np.bool_] = column(rows, "truth_chroma") >= COLOURED
    return chosen


def gains(rows: Sequence[ImageScores]) -> npt.NDArray[np.float64]:
    """psnr224 over that of no colour at all, per image, in dB."""
    gain: npt.NDArray[np.float64] = column(rows, "psnr224") - column(rows, "psnr224_grey")
    return gain


def metrics_of(rows: Sequence[ImageScores]) -> list[str]:
    """The metrics that these rows hold: the usual ones, and those asked for."""
    return [*METRICS, *(name for name in ON_REQUEST if any(name in row for row in rows))]


def method_summary(rows: Sequence[ImageScores], seed: int) -> dict[str, Any]:
    """Every metric over all images, and psnr224 over colour photographs with its gain over grey."""
    gain, colour = gains(rows), coloured(rows)
    return {
        **{name: estimate(column(rows, name), seed).as_dict() for name in metrics_of(rows)},
        "gain_over_grey": estimate(gain, seed).as_dict(),
        "colour": {
            "n": int(colour.sum()),
            "psnr224": estimate(column(rows, "psnr224")[colour], seed).as_dict(),
            "gain_over_grey": estimate(gain[colour], seed).as_dict(),
        },
        "seconds_per_image": float(np.mean(column(rows, "seconds"))),
    }


def differences(table: Table, seed: int) -> dict[str, dict[str, Any]]:
    """Paired differences of every method to the first: `{method: {metric: estimate}}`.

    Positive means that the method has the larger number, whether or not larger is better.
    """
    first, *others = table
    return {
        name: {
            metric: paired_difference(
                column(table[name], metric), column(table[first], metric), seed
            ).as_dict()
            for metric in metrics_of(table[name])
        }
        for name in others
    }


def summarise(
    table: Table,
    seed: int,
    about: dict[str, Any],
    whole: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The whole `summary.json`; `about` brings versions, hashes, device and the like.

    `whole` holds what belongs to a method and to no single image (FID, kinds of scene).
    """
    first = next(iter(table))
    return {
        "format": 1,
        "protocol": {
            "version": PROTOCOL,
            "caption": CAPTION,
            "better": {name: metric.better for name, metric in METRICS.items()},
            "interval": "95 % percentile bootstrap over images, 2000 draws, paired",
        },
        **about,
        "seed": seed,
        "images": {**about.get("images", {}), "colour": int(coloured(table[first]).sum())},
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
    body = ([row.get(name) for name in FIELDS] for rows in table.values() for row in rows)
    write_text(folder.path / "per_image.csv", comma_separated(FIELDS, body))


def read_per_image(folder: RunFolder) -> dict[str, list[ImageScores]]:
    """Rows of `per_image.csv` by method, numbers as floats. Raises FileNotFoundError."""
    table: dict[str, list[ImageScores]] = {}
    with (folder.path / "per_image.csv").open(encoding="utf-8", newline="") as file:
        for record in csv.DictReader(file):
            row = {
                name: value if name in _WORDS else float(value or math.nan)
                for name, value in record.items()
            }
            table.setdefault(record["method"], []).append(row)
    return table
