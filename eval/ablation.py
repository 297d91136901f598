"""What each part of ChromaGAN buys: full, no-class and no-gan compared image by image.

    python eval/psnr.py --methods full,no-class,no-gan --out results/ablation
    python -m eval.ablation results/ablation

writes `ablation.html` (one file that stands alone) and `ablation.md` into the run folder. Any
methods of a run can be compared with `--methods A,B,…`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from chromagan.images import ImageError
from eval.measures.protocol import METRICS, Estimate, estimate, paired_difference
from eval.report.figures import comparison_sheet, encode_png, intervals_figure, psnr_label
from eval.report.psnr_report import describe, published
from eval.report.summary import coloured, column, read_per_image
from eval.report.tables import Picture, Section, TextTable, show, with_error, write_page
from eval.run.folder import ImageScores, RunFolder

VARIANTS = ("full", "no-class", "no-gan")
BANDS = ("least chroma", "middle", "most chroma")

Rows = dict[str, list[ImageScores]]
"""Method -> rows of the same images in the same order."""


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
    def pair(self) -> str:
        return f"{self.first} − {self.second}"

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

    def cells(self) -> list[str]:
        """One row of the table."""
        metric, value = METRICS[self.metric], self.difference
        wins = f"{self.wins} of {value.n}" + (f", {self.ties} equal" if self.ties else "")
        return [
            metric.title,
            self.pair,
            f"{value.mean:+.{metric.digits}f}",
            f"{value.low:+.{metric.digits}f} … {value.high:+.{metric.digits}f}",
            wins if metric.better else "–",
            self.verdict,
        ]


@dataclass(frozen=True)
class Comparison:
    """Everything the report says."""

    missing: tuple[str, ...]
    rows: Rows
    differences: list[Difference]
    disagreements: list[int]
    """Row numbers of the photographs with the widest range of PSNR."""
    summary: dict[str, Any]

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(self.rows)


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
    return Comparison(missing, rows, found, largest.tolist(), summary)


def difference(
    metric: str,
    first: tuple[str, list[ImageScores]],
    second: tuple[str, list[ImageScores]],
    seed: int,
) -> Difference:
    """Paired difference of two methods in one metric, and how often the first is better."""
    a, b = column(first[1], metric), column(second[1], metric)
    step = (a - b) * (METRICS[metric].better or 1)
    wins, ties = int(np.sum(step > 0)), int(np.sum(step == 0))
    return Difference(first[0], second[0], metric, paired_difference(a, b, seed), wins, ties)


def winners_by_chroma(rows: Rows) -> dict[str, dict[str, int]]:
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


def spread(rows: Rows) -> npt.NDArray[np.float64]:
    """Per image: best minus worst psnr224 of the methods, the size of their disagreement."""
    scores = np.stack([column(r, "psnr224") for r in rows.values()])
    result: npt.NDArray[np.float64] = np.ptp(scores, axis=0)
    return result


def sections(folder: RunFolder, ablation: Comparison) -> list[Section]:
    """The report. Raises ImageError and FileNotFoundError where pictures are damaged or gone."""
    summary, methods = ablation.summary, ablation.methods
    names = [*methods, "tie"]
    wins = winners_by_chroma(ablation.rows).items()
    header = ["Metric", "Difference", "Mean", "95 % interval", "First better in", "Verdict"]
    return [
        Section(
            texts=[
                _opening(ablation),
                *(f"{n}: {describe(summary.get('methods', {}).get(n, {}))}" for n in methods),
            ]
        ),
        Section("Means ± standard error", table=_means(ablation)),
        _published(methods),
        Section(
            "Paired differences",
            picture=_intervals(ablation),
            table=TextTable("Differences", header, [item.cells() for item in ablation.differences]),
        ),
        Section(
            "Where each wins",
            ["Images won by PSNR at 224², in thirds of the photographs' own chroma."],
            TextTable(
                "Wins",
                ["Photographs", *names],
                [[band, *(str(row[name]) for name in names)] for band, row in wins],
            ),
        ),
        Section(
            "Largest disagreements",
            ["The photographs with the widest range of PSNR between the methods."],
            picture=_disagreements(folder, ablation),
        ),
        Section(texts=[summary.get("protocol", {}).get("caption", "")]),
    ]


def _opening(ablation: Comparison) -> str:
    images = ablation.summary.get("images", {})
    first = next(iter(ablation.rows.values()))
    text = (
        f"{len(first)} images from {images.get('source', '?')}, list hash "
        f"{images.get('list_hash', '?')}, {coloured(first).sum()} of them colour photographs. "
        "Differences are paired image by image; an interval that excludes zero would do so by "
        "chance in one comparison of twenty."
    )
    missing = f" Not in this run: {', '.join(ablation.missing)}." if ablation.missing else ""
    return text + missing


def _means(ablation: Comparison) -> TextTable:
    seed = int(ablation.summary.get("seed", 0))

    def mean(values: npt.NDArray[np.float64], digits: int = 2) -> str:
        return with_error(estimate(values, seed).as_dict(), digits)

    body = [
        [metric.title, *(mean(column(r, name), metric.digits) for r in ablation.rows.values())]
        for name, metric in METRICS.items()
    ]
    chosen = coloured(next(iter(ablation.rows.values())))
    title = f"PSNR 224², {chosen.sum()} colour photographs (dB)"
    only = [mean(column(rows, "psnr224")[chosen]) for rows in ablation.rows.values()]
    body.insert(1, [title, *only])
    return TextTable("Means", ["Measured", *ablation.methods], body)


def _published(methods: tuple[str, ...]) -> Section:
    known = published("psnr")
    sources = sorted(
        {f"{n.source} ({n.protocol}; {n.reliability})" for m, n in known.items() if m in methods}
    )
    row = ["PSNR (dB)", *(str(known.get(name, "–")) for name in methods)]
    return Section(
        "Published figures, on other images",
        [f"Published figures: {'; '.join(sources)}."] if sources else [],
        TextTable("Published", ["Published", *methods], [row]),
    )


def _intervals(ablation: Comparison) -> Picture:
    shown = {
        d.pair: d.difference.as_dict()
        for d in reversed(ablation.differences)
        if d.metric == "psnr224"
    }
    figure = intervals_figure(shown, "difference in PSNR at 224² in dB, paired, 95 % interval")
    return Picture("ablation.png", encode_png(figure), "Paired differences with 95 % intervals")


def _disagreements(folder: RunFolder, ablation: Comparison) -> Picture:
    indices = ablation.disagreements
    data = comparison_sheet(folder, ablation.rows, indices, [""] * len(indices), cell=220)
    labels = [psnr_label([rows[index] for rows in ablation.rows.values()]) for index in indices]
    return Picture("ablation.webp", data, f"Truth and every method: {'; '.join(labels)}")


def main(argv: list[str] | None = None) -> int:
    """Compare the methods of a finished run; 0 = report written, 2 = the run cannot be compared."""
    parser = argparse.ArgumentParser(prog="python -m eval.ablation", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="run folder of python eval/psnr.py")
    parser.add_argument("--methods", default=",".join(VARIANTS), metavar="A,B,…")
    parser.add_argument("--pictures", type=int, default=6, help="disagreements shown (default 6)")
    args = parser.parse_args(argv)
    folder = RunFolder(args.folder)
    if args.pictures < 1:
        parser.error("--pictures must be at least 1")
    try:
        ablation = compare(folder, tuple(dict.fromkeys(args.methods.split(","))), args.pictures)
        title = f"Ablation: {', '.join(ablation.methods)}"
        written = write_page(folder.path, "ablation", title, sections(folder, ablation))
    except (ComparisonError, ImageError) as error:
        parser.error(str(error))
    except FileNotFoundError as error:
        parser.error(f"{error.filename} is missing; run python eval/psnr.py again to restore it")
    for item in ablation.differences:
        if item.metric == "psnr224":
            _, pair, mean, interval, _, verdict = item.cells()
            show(f"{pair}: {mean} dB ({interval}), {verdict}")
    show(*map(str, written))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
