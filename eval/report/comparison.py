"""Methods of one finished run compared image by image: differences, wins, disagreements."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.measures.intervals import Estimate, paired_difference
from eval.measures.protocol import METRICS
from eval.report.summary import column, read_per_image
from eval.run.folder import ImageScores, RunFolder

BANDS = ("least chroma", "middle", "most chroma")


class ComparisonError(ValueError):
    """The run folder cannot be compared; one sentence."""


@dataclass(frozen=True)
class Difference:
    """first - second in one metric, over the images that both have."""

    first: str
    second: str
    metric: str
    difference: Estimate
    wins: int
    ties: int

    @property
    def verdict(self) -> str:
        """Which is better, where the interval excludes zero and better has a meaning."""
        if not self.difference.low <= self.difference.high:  # NaN: no interval
            return "too few images"
        if self.difference.low <= 0 <= self.difference.high:
            return "no clear difference"
        sign = METRICS[self.metric].better
        if sign == 0:
            return f"{self.first if self.difference.mean > 0 else self.second} has more"
        return f"{self.first if self.difference.mean * sign > 0 else self.second} is better"


@dataclass(frozen=True)
class Comparison:
    """Everything the report says."""

    missing: tuple[str, ...]
    rows: dict[str, list[ImageScores]]
    differences: list[Difference]
    winners: dict[str, dict[str, int]]
    disagreements: list[int]
    summary: dict[str, Any]

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(self.rows)

    @property
    def seed(self) -> int:
        return int(self.summary.get("seed", 0))


def compare(folder: RunFolder, methods: tuple[str, ...], count: int = 6) -> Comparison:
    """Read a run folder and compare `methods`, `count` largest disagreements included.

    Raises ComparisonError where the folder is no finished run or holds fewer than two of them.
    """
    table, summary = read_run(folder, methods)
    rows = {name: table[name] for name in methods if name in table}
    if len(rows) < 2:
        raise ComparisonError(
            f"{folder.path} holds {', '.join(table) or 'nothing'}; a comparison needs two of "
            f"{', '.join(methods)}: name others with --methods, or run python eval/psnr.py "
            f"--methods {','.join(methods)} --out {folder.path}"
        )
    if len({tuple(row["key"] for row in r) for r in rows.values()}) > 1:
        raise ComparisonError(f"{folder.path}: the methods were measured on different images")
    seed = int(summary.get("seed", 0))
    found = [
        difference(metric, (a, rows[a]), (b, rows[b]), seed)
        for metric in METRICS
        for a, b in combinations(rows, 2)
    ]
    largest = np.argsort(-spread(rows), kind="stable")[:count]
    missing = tuple(name for name in methods if name not in table)
    return Comparison(missing, rows, found, winners_by_chroma(rows), largest.tolist(), summary)


def read_run(
    folder: RunFolder, methods: tuple[str, ...]
) -> tuple[dict[str, list[ImageScores]], dict[str, Any]]:
    """Rows by method and the summary of a finished run. Raises ComparisonError."""
    try:
        table = read_per_image(folder)
        summary = json.loads((folder.path / "summary.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ComparisonError(
            f"{folder.path} holds no finished run; make one with "
            f"python eval/psnr.py --methods {','.join(methods)} --out {folder.path}"
        ) from None
    except (ValueError, KeyError) as error:
        raise ComparisonError(f"{folder.path}: the results are damaged ({error})") from None
    return table, summary


def difference(
    metric: str,
    first: tuple[str, list[ImageScores]],
    second: tuple[str, list[ImageScores]],
    seed: int,
) -> Difference:
    """Paired difference of two methods in one metric, and how often the first is better."""
    a, b = column(first[1], metric), column(second[1], metric)
    step = (a - b) * (METRICS[metric].better or 1)
    estimate = paired_difference(a, b, seed)
    wins, ties = int(np.sum(step > 0)), int(np.sum(step == 0))
    return Difference(first[0], second[0], metric, estimate, wins, ties)


def winners_by_chroma(rows: dict[str, list[ImageScores]]) -> dict[str, dict[str, int]]:
    """How many images each method wins by psnr224, in thirds of the truth's chroma and in all.

    An image with several equally good methods is a tie and counts for none of them.
    """
    scores = np.stack([column(r, "psnr224") for r in rows.values()])
    tied = (scores == scores.max(axis=0)).sum(axis=0) > 1
    best = np.where(tied, len(rows), scores.argmax(axis=0))
    order = np.argsort(column(next(iter(rows.values())), "truth_chroma"), kind="stable")
    thirds = dict(zip(BANDS, np.array_split(order, len(BANDS)), strict=True)) | {"all": order}
    return {
        band: {name: int(np.sum(best[index] == place)) for place, name in enumerate([*rows, "tie"])}
        for band, index in thirds.items()
    }


def spread(rows: dict[str, list[ImageScores]]) -> npt.NDArray[np.float64]:
    """Per image: best minus worst psnr224 of the methods, the size of their disagreement."""
    scores = np.stack([column(r, "psnr224") for r in rows.values()])
    result: npt.NDArray[np.float64] = np.ptp(scores, axis=0)
    return result
