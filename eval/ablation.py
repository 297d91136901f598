"""What each part of ChromaGAN buys: full, no-class and no-gan compared image by image.

    python eval/psnr.py --methods full,no-class,no-gan --out results/ablation
    python -m eval.ablation results/ablation

writes `ablation.html` (one file that stands alone) and `ablation.md` into the run folder. Any
methods of a run can be compared with `--methods A,B,…`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from chromagan.images import ImageError
from eval.measures.intervals import estimate
from eval.measures.protocol import METRICS
from eval.report.comparison import Comparison, ComparisonError, Difference, compare
from eval.report.page import Picture, Section, write_page
from eval.report.plots import comparison_sheet, encode_png, intervals_figure, psnr_label
from eval.report.psnr_report import describe, published, with_error
from eval.report.summary import coloured, column
from eval.report.tables import TextTable, show
from eval.run.folder import RunFolder

VARIANTS = ("full", "no-class", "no-gan")


def sections(folder: RunFolder, ablation: Comparison) -> list[Section]:
    """The report. Raises ImageError and FileNotFoundError where pictures are damaged or gone."""
    return [
        Section(texts=[_opening(ablation), *_about(ablation)]),
        Section("Means ± standard error", table=_means(ablation)),
        _published(ablation.methods),
        Section("Paired differences", picture=_intervals(ablation), table=_differences(ablation)),
        Section(
            "Where each wins",
            ["Images won by PSNR at 224², in thirds of the photographs' own chroma."],
            table=_winners(ablation),
        ),
        Section(
            "Largest disagreements",
            ["The photographs with the widest range of PSNR between the methods."],
            picture=_disagreements(folder, ablation),
        ),
        Section(texts=[ablation.summary.get("protocol", {}).get("caption", "")]),
    ]


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
            _, pair, mean, interval, _, verdict = _cells(item)
            show(f"{pair}: {mean} dB ({interval}), {verdict}")
    show(*map(str, written))
    return 0


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


def _about(ablation: Comparison) -> list[str]:
    about = ablation.summary.get("methods", {})
    return [f"{name}: {describe(about.get(name, {}))}" for name in ablation.methods]


def _means(ablation: Comparison) -> TextTable:
    def mean(values: object, digits: int = 2) -> str:
        return with_error(estimate(values, ablation.seed).as_dict(), digits)  # type: ignore[arg-type]

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


def _differences(ablation: Comparison) -> TextTable:
    header = ["Metric", "Difference", "Mean", "95 % interval", "First better in", "Verdict"]
    return TextTable("Differences", header, [_cells(item) for item in ablation.differences])


def _cells(item: Difference) -> list[str]:
    metric, value = METRICS[item.metric], item.difference
    wins = f"{item.wins} of {value.n}" + (f", {item.ties} equal" if item.ties else "")
    return [
        metric.title,
        f"{item.first} − {item.second}",
        f"{value.mean:+.{metric.digits}f}",
        f"{value.low:+.{metric.digits}f} … {value.high:+.{metric.digits}f}",
        wins if metric.better else "–",
        item.verdict,
    ]


def _intervals(ablation: Comparison) -> Picture:
    shown = {
        f"{d.first} − {d.second}": d.difference.as_dict()
        for d in reversed(ablation.differences)
        if d.metric == "psnr224"
    }
    figure = intervals_figure(shown, "difference in PSNR at 224² in dB, paired, 95 % interval")
    return Picture("ablation.png", encode_png(figure), "Paired differences with 95 % intervals")


def _winners(ablation: Comparison) -> TextTable:
    names = [*ablation.methods, "tie"]
    body = [[band, *(str(row[n]) for n in names)] for band, row in ablation.winners.items()]
    return TextTable("Wins", ["Photographs", *names], body)


def _disagreements(folder: RunFolder, ablation: Comparison) -> Picture:
    indices = ablation.disagreements
    data = comparison_sheet(folder, ablation.rows, indices, [""] * len(indices), cell=220)
    labels = [psnr_label([rows[index] for rows in ablation.rows.values()]) for index in indices]
    return Picture("ablation.webp", data, f"Truth and every method: {'; '.join(labels)}")


if __name__ == "__main__":
    raise SystemExit(main())
