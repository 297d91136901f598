"""What each part of ChromaGAN buys: full, no-class and no-gan compared image by image.

    python eval/psnr.py --methods full,no-class,no-gan --out results/ablation
    python -m eval.ablation results/ablation

writes `ablation.html` (one file that stands alone) and `ablation.md` into the run folder. Any
methods of a run can be compared with `--methods A,B,…`.
"""

from __future__ import annotations

import argparse
import base64
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from chromagan.images import ImageError
from eval.comparison import Comparison, ComparisonError, Difference, compare
from eval.folder import RunFolder, write_bytes, write_text
from eval.intervals import estimate
from eval.plots import differences_figure, encode_png, read_output, read_truth
from eval.protocol import BETTER, COLOURED, METRICS, TITLES
from eval.published import published
from eval.sheet import Style, contact_sheet, encode
from eval.summary import Row, column
from eval.tables import describe

VARIANTS = ("full", "no-class", "no-gan")
TEMPLATE = Path(__file__).with_name("ablation.html.j2")


def context(ablation: Comparison) -> dict[str, Any]:
    """What both templates are filled with: text and numbers, already formatted."""
    seed = int(ablation.summary.get("seed", 0))
    known = published("psnr")
    first = ablation.rows[ablation.methods[0]]
    colour = column(first, "truth_chroma") >= COLOURED
    means = [
        [TITLES[metric], *(_mean(rows, metric, seed) for rows in ablation.rows.values())]
        for metric in METRICS
    ]
    only_colour = [_mean(rows, "psnr224", seed, colour) for rows in ablation.rows.values()]
    means.insert(1, [f"PSNR 224², {colour.sum()} colour photographs (dB)", *only_colour])
    about = ablation.summary.get("methods", {})
    return {
        "methods": ablation.methods,
        "missing": ablation.missing,
        "about": [(name, describe(about.get(name, {}))) for name in ablation.methods],
        "means": means,
        "published": [str(known.get(name, "–")) for name in ablation.methods],
        "differences": [_difference_cells(item) for item in ablation.differences],
        "winners": ablation.winners,
        "pictures": [_picture_label(ablation, index) for index in ablation.disagreements],
        "images": ablation.summary.get("images", {}),
        "count": len(first),
        "colour_count": int(colour.sum()),
        "caption": ablation.summary.get("protocol", {}).get("caption", ""),
        "published_note": _published_note(ablation.methods),
    }


def disagreement_sheet(folder: RunFolder, ablation: Comparison) -> bytes:
    """WebP: truth and every method on the images where the methods differ most."""
    pictures, labels = [], []
    for index in ablation.disagreements:
        rows = [ablation.rows[name][index] for name in ablation.methods]
        pictures.append([read_truth(folder, rows[0]), *(read_output(folder, row) for row in rows)])
        labels.append(_picture_label(ablation, index))
    sheet = contact_sheet(pictures, ["truth", *ablation.methods], labels, Style(cell=220))
    return encode(sheet, ".webp", quality=80)


def render_html(values: dict[str, Any], figure: bytes, sheet: bytes) -> str:
    """The stand-alone page: styles and pictures inside, no scripts, nothing fetched."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        **values,
        figure="data:image/png;base64," + base64.b64encode(figure).decode(),
        sheet="data:image/webp;base64," + base64.b64encode(sheet).decode(),
    )


def render_markdown(values: dict[str, Any]) -> str:
    """The same report for a repository; its pictures are files beside it."""
    published_row = ["Published PSNR (dB), on other images", *values["published"]]
    keys = ("metric", "pair", "difference", "interval", "wins", "verdict")
    titles = ["Metric", "Difference", "Mean", "95 % interval", "First better in", "Verdict"]
    names = [*values["methods"], "tie"]
    parts = [
        "# Ablation",
        _opening(values),
        "\n".join(f"- **{name}**: {text}" for name, text in values["about"]),
        "## Means ± standard error\n\n"
        + _markdown_table(["Measured", *values["methods"]], values["means"]),
        "Published:\n\n" + _markdown_table(["Published", *values["methods"]], [published_row]),
        values["published_note"],
        "## Paired differences\n\n"
        + _markdown_table(titles, [[d[k] for k in keys] for d in values["differences"]]),
        "![Paired differences with 95 % intervals](ablation.png)",
        "## Where each wins (images, by PSNR 224²)\n\n"
        + _markdown_table(
            ["Photographs", *names],
            [[band, *(str(row[n]) for n in names)] for band, row in values["winners"].items()],
        ),
        "## Largest disagreements\n\n![Truth and every method](ablation.webp)",
        values["caption"],
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def write_report(folder: RunFolder, ablation: Comparison) -> list[Path]:
    """Write `ablation.{html,md,png,webp}`. Raises ImageError where pictures are damaged."""
    values = context(ablation)
    figure = encode_png(differences_figure(ablation.differences))
    sheet = disagreement_sheet(folder, ablation)
    write_bytes(folder.path / "ablation.png", figure)
    write_bytes(folder.path / "ablation.webp", sheet)
    write_text(folder.path / "ablation.md", render_markdown(values))
    write_text(folder.path / "ablation.html", render_html(values, figure, sheet))
    return [folder.path / "ablation.html", folder.path / "ablation.md"]


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
        written = write_report(folder, ablation)
    except (ComparisonError, ImageError) as error:
        parser.error(str(error))
    except FileNotFoundError as error:
        parser.error(f"{error.filename} is missing; run python eval/psnr.py again to restore it")
    for item in ablation.differences:
        if item.metric == "psnr224":
            cells = _difference_cells(item)
            print(f"{cells['pair']}: {cells['difference']} dB ({cells['interval']}), "
                  f"{cells['verdict']}")  # fmt: skip
    print("\n".join(str(path) for path in written))
    return 0


def _opening(values: dict[str, Any]) -> str:
    images = values["images"]
    text = (
        f"{values['count']} images from {images.get('source', '?')}, list hash "
        f"{images.get('list_hash', '?')}, {values['colour_count']} of them colour photographs. "
        "Differences are paired image by image; an interval that excludes zero would do so by "
        "chance in one comparison of twenty."
    )
    if values["missing"]:
        text += f" Not in this run: {', '.join(values['missing'])}."
    return text


def _published_note(methods: tuple[str, ...]) -> str:
    notes = {
        f"{n.source} ({n.protocol}; {n.reliability})"
        for name, n in published("psnr").items()
        if name in methods
    }
    return f"Published figures: {'; '.join(sorted(notes))}." if notes else ""


def _difference_cells(item: Difference) -> dict[str, str]:
    digits = _digits(item.metric)
    value = item.difference
    wins = f"{item.wins} of {value.n}" + (f", {item.ties} equal" if item.ties else "")
    return {
        "metric": TITLES[item.metric],
        "pair": f"{item.first} − {item.second}",
        "difference": f"{value.mean:+.{digits}f}",
        "interval": f"{value.low:+.{digits}f} … {value.high:+.{digits}f}",
        "wins": wins if BETTER[item.metric] else "–",
        "verdict": item.verdict,
    }


def _picture_label(ablation: Comparison, index: int) -> str:
    values = ", ".join(
        f"{name} {ablation.rows[name][index]['psnr224']:.1f}" for name in ablation.methods
    )
    return f"{ablation.rows[ablation.methods[0]][index]['key']} ({values} dB)"


def _mean(
    rows: list[Row], metric: str, seed: int, chosen: npt.NDArray[np.bool_] | None = None
) -> str:
    values = column(rows, metric)
    value = estimate(values if chosen is None else values[chosen], seed)
    return f"{value.mean:.{_digits(metric)}f} ± {value.se:.{_digits(metric)}f}"


def _digits(metric: str) -> int:
    return 3 if metric in {"ssim224", "auc", "auc_rebalanced"} else 2


def _markdown_table(header: list[str], body: list[list[str]]) -> str:
    rule = ["---", *["---:"] * (len(header) - 1)]
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in (header, rule, *body)]
    return "\n".join("| " + " | ".join(row) + " |" for row in escaped)


if __name__ == "__main__":
    raise SystemExit(main())
