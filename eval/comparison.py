"""Methods of one finished run compared image by image: differences, wins, disagreements."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.folder import RunFolder
from eval.intervals import Estimate, paired_difference
from eval.protocol import BETTER, METRICS
from eval.summary import Row, column, read_per_image

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
        sign = BETTER[self.metric]
        if sign == 0:
            return f"{self.first if self.difference.mean > 0 else self.second} has more"
        return f"{self.first if self.difference.mean * sign > 0 else self.second} is better"


@dataclass(frozen=True)
class Comparison:
    """Everything the report says."""

    methods: tuple[str, ...]
    missing: tuple[str, ...]
    rows: dict[str, list[Row]]
    differences: list[Difference]
    winners: dict[str, dict[str, int]]
    disagreements: list[int]
    summary: dict[str, Any]


def compare(folder: RunFolder, methods: tuple[str, ...], count: int = 6) -> Comparison:
    """Read a run folder and compare `methods`, `count` largest disagreements included.

    Raises ComparisonError where the folder is no finished run or holds fewer than two of them.
    """
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
    present = tuple(name for name in methods if name in table)
    if len(present) < 2:
        raise ComparisonError(
            f"{folder.path} holds {', '.join(table) or 'nothing'}; a comparison needs two of "
            f"{', '.join(methods)}: name others with --methods, or run python eval/psnr.py "
            f"--methods {','.join(methods)} --out {folder.path}"
        )
    rows = {name: table[name] for name in present}
    if len({tuple(row["key"] for row in r) for r in rows.values()}) > 1:
        raise ComparisonError(f"{folder.path}: the methods were measured on different images")
    seed = int(summary.get("seed", 0))
    found = [
        difference(metric, (a, rows[a]), (b, rows[b]), seed)
        for metric in METRICS
        for a, b in combinations(present, 2)
    ]
    return Comparison(
        present,
        tuple(name for name in methods if name not in table),
        rows,
        found,
        winners_by_chroma(rows),
        [int(index) for index in np.argsort(-spread(rows), kind="stable")[:count]],
        summary,
    )


def difference(
    metric: str, first: tuple[str, list[Row]], second: tuple[str, list[Row]], seed: int
) -> Difference:
    """Paired difference of two methods in one metric, and how often the first is better."""
    a, b = column(first[1], metric), column(second[1], metric)
    step = (a - b) * (BETTER[metric] or 1)
    return Difference(
        first[0],
        second[0],
        metric,
        paired_difference(a, b, seed),
        int(np.sum(step > 0)),
        int(np.sum(step == 0)),
    )


def winners_by_chroma(rows: dict[str, list[Row]]) -> dict[str, dict[str, int]]:
    """How many images each method wins by psnr224, in thirds of the truth's chroma and in all.

    An image with several equally good methods is a tie and counts for none of them.
    """
    scores = np.stack([column(r, "psnr224") for r in rows.values()])
    names = [*rows, "tie"]
    best = np.where(
        (scores == scores.max(axis=0)).sum(axis=0) > 1, len(rows), scores.argmax(axis=0)
    )
    order = np.argsort(column(next(iter(rows.values())), "truth_chroma"), kind="stable")
    thirds = dict(zip(BANDS, np.array_split(order, len(BANDS)), strict=True))
    thirds["all"] = order
    return {
        band: {name: int(np.sum(best[index] == place)) for place, name in enumerate(names)}
        for band, index in thirds.items()
    }


def spread(rows: dict[str, list[Row]]) -> npt.NDArray[np.float64]:
    """Per image: best minus worst psnr224 of the methods, the size of their disagreement."""
    scores = np.stack([column(r, "psnr224") for r in rows.values()])
    result: npt.NDArray[np.float64] = scores.max(axis=0) - scores.min(axis=0)
    return result
