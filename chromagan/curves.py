"""`python -m chromagan.curves RUN… -o curves.png`: the record of runs as small plots."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PANELS: dict[str, str] = {
    "color": "L_e, eq. (2)",
    "classes": "L_s, eq. (3), nats",
    "gap": "critic's score gap",
    "penalty": "gradient penalty",
    "adversarial": "L_g of the generator",
    "adversarial_share": "L_g's share of the pull on ab",
    "val_psnr_gain": "validation: mean PSNR above grey, dB",
    "val_gain": "validation: pooled ab error below grey's, dB",
    "val_pooled_factor": "validation: best chroma factor (pooled)",
    "val_chroma": "validation: chroma, share of the truth's",
}
COLUMNS = 4


def read_log(run: Path) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Every logged term of a run as (steps, values). A line cut off by a kill is left out."""
    series: dict[str, list[tuple[float, float]]] = {}
    for line in (run / "log.jsonl").read_text().splitlines():
        try:
            row: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError:
            continue
        for name, value in row.items():
            if name != "step":
                series.setdefault(name, []).append((row["step"], value))
    return {
        name: (np.array([s for s, _ in rows]), np.array([v for _, v in rows]))
        for name, rows in series.items()
    }


def smooth(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Running median: single batches scatter more than the curve moves."""
    half = window // 2
    return np.array(
        [np.median(values[max(0, i - half) : i + half + 1]) for i in range(len(values))]
    )


def draw(runs: list[Path], out: Path) -> None:
    """One panel per term that at least one run logged."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    logs = {run.name: read_log(run) for run in runs}
    panels = [name for name in PANELS if any(name in log for log in logs.values())]
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(3.2 * columns, 2.4 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, number + 1)
        for run, (name, log) in enumerate(logs.items()):  # one colour per run in every panel
            if panel in log:
                steps, values = log[panel]
                window = min(51, len(values) // 8) | 1  # odd; 1 for the few validations
                marker = "." if len(values) < 20 else None
                axes.plot(
                    steps, smooth(values, window), lw=1, label=name, color=f"C{run}", marker=marker
                )
        axes.set_title(PANELS[panel], fontsize=8)
        axes.tick_params(labelsize=7)
        axes.set_xlabel("step", fontsize=7)
    if len(runs) > 1:
        figure.axes[0].legend(fontsize=7)
    figure.savefig(out, dpi=100)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m chromagan.curves", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders of chromagan.train")
    parser.add_argument("-o", "--out", type=Path, required=True, help="picture to write")
    args = parser.parse_args(argv)
    for run in args.runs:
        if not (run / "log.jsonl").is_file():
            print(f"error: {run}: no log.jsonl there; is it a run folder?", file=sys.stderr)
            return 2
    draw(args.runs, args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
