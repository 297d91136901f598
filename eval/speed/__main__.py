"""The speed table, as Markdown and as a bar chart: `python -m eval.speed` or `python eval/speed`.

python -m eval.speed --quick --json speed.json --plot speed.png --table speed.md
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

if not __package__:  # `python eval/speed`: find the packages, not the modules beside this file
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import torch

from chromagan.files import write_text
from chromagan.inference.engines.choice import cpu_name
from chromagan.inference.engines.registry import usable_cpus
from chromagan.model.device import count_flops, matmul_rate
from eval.report.figures import new_figure
from eval.speed.candidates import Candidate, all_candidates
from eval.speed.measurement import QUICK, Case, Plan, SpeedRecord, add_memory, measure, memory_child

_COLOURS = ("#1b9e77", "#7570b3", "#d95f02", "#8c8c8c", "#2b6cb0", "#a6761d", "#e7298a", "#66a61e")
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Floor:
    """Arithmetic that a candidate cannot avoid, at the machine's own rate."""

    gflop: float
    rates: dict[str, float]
    """Measured matrix products, GFLOP/s by precision."""

    def seconds(self, precision: str) -> float | None:
        rate = self.rates.get(precision)
        return None if rate is None else self.gflop / rate


def floors(candidates: Sequence[Candidate], device: str) -> dict[str, Floor]:
    """By candidate name, for those whose arithmetic can be counted."""
    precisions = sorted({c.precision for c in candidates} & _DTYPES.keys())
    rates = {p: matmul_rate(torch.device(device), _DTYPES[p]) / 1e9 for p in precisions}
    found: dict[str, Floor] = {}
    for candidate in candidates:
        if candidate.graph is not None and candidate.name not in found:
            network, shape = candidate.graph
            codes = torch.zeros(shape, device=next(network.parameters()).device)
            with torch.no_grad():
                flops = count_flops(partial(network, codes))
            found[candidate.name] = Floor(flops / 1e9, rates)
    return found


def markdown(rows: Sequence[SpeedRecord], arithmetic: dict[str, Floor]) -> str:
    """Tables by scope and size; "times faster" is relative to `official` of the same table."""
    machine = (
        f"{cpu_name()}, {usable_cpus()} threads, Python {platform.python_version()}, "
        f"torch {torch.__version__}. Medians with quartiles; everything ran in turn."
    )
    parts = [machine, ""]
    for case in _groups(rows):
        group = [r for r in rows if _group(r) == case]
        parts += [f"**{_title(*case)}**", "", *_table(group, arithmetic), ""]
    parts += _floor_lines(arithmetic)
    used = dict.fromkeys((row.name, row.weights) for row in rows)
    listed = "; ".join(f"{name}: {weights}" for name, weights in used)
    parts.append(f"Weights (times do not depend on their values): {listed}.")
    return "\n".join(parts)


def _group(row: SpeedRecord) -> Case:
    # networks differ in what they look at; they still answer for the same photograph
    return row.scope, 0.0 if row.scope == "network" else row.megapixels, row.batch


def _groups(rows: Sequence[SpeedRecord]) -> list[Case]:
    seen = dict.fromkeys(_group(row) for row in rows)
    return sorted(seen, key=lambda g: (g[0] != "network", g[1], g[2]))


def _title(scope: str, megapixels: float, batch: int) -> str:
    if scope == "network":
        return f"Network only, batch {batch}"
    many = f"folder of {batch}" if batch > 1 else "one by one"
    return f"File to file, {megapixels:g} megapixels, {many}"


def _table(group: Sequence[SpeedRecord], arithmetic: dict[str, Floor]) -> list[str]:
    base = next((r.median_s / r.batch for r in group if r.name == "official"), None)
    lines = [
        "| method | engine | precision | times faster | ms per photo | quartiles | × floor | MB |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for r in sorted(group, key=lambda r: r.median_s):
        each = [1000 * s / r.batch for s in (r.median_s, r.low_s, r.high_s)]
        ratio = "–" if base is None else f"{1000 * base / each[0]:.2f}"
        peak = "–" if r.peak_mb is None else f"{r.peak_mb:.0f}"
        floor = arithmetic.get(r.name)
        least = floor.seconds(r.precision) if floor and r.scope == "network" else None
        over = "–" if least is None else f"{r.median_s / r.batch / least:.2f}"
        lines.append(
            f"| {r.name} | {r.engine} | {r.precision} | {ratio} | {each[0]:.1f} "
            f"| {each[1]:.1f}–{each[2]:.1f} | {over} | {peak} |"
        )
    return lines


def _floor_lines(arithmetic: dict[str, Floor]) -> list[str]:
    if not arithmetic:
        return []
    rates = next(iter(arithmetic.values())).rates
    measured = ", ".join(f"{rate:.0f} GFLOP/s in {p}" for p, rate in rates.items())
    lines = [f"Floor = arithmetic / measured matrix products ({measured}):"]
    for name, floor in arithmetic.items():
        times = ", ".join(f"{1000 * floor.gflop / rate:.1f} ms {p}" for p, rate in rates.items())
        lines.append(f"- {name}: {floor.gflop:.2f} GFLOP, {times}")
    return [*lines, ""]


def plot(rows: Sequence[SpeedRecord], path: Path) -> None:
    """Bars of milliseconds per photograph on a logarithmic axis, one panel per group."""
    groups, names = _groups(rows), sorted({r.name for r in rows})
    heights = [sum(_group(r) == g for r in rows) for g in groups]
    figure = new_figure(8, 1 + 0.28 * sum(heights) + 0.7 * len(groups))
    axes = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, group in zip(axes, groups, strict=True):
        members = sorted((r for r in rows if _group(r) == group), key=lambda r: -r.median_s)
        labels = [f"{r.name} · {r.engine} {r.precision}" for r in members]
        each = [1000 * r.median_s / r.batch for r in members]
        low = [max(m - 1000 * r.low_s / r.batch, 0) for m, r in zip(each, members, strict=True)]
        high = [max(1000 * r.high_s / r.batch - m, 0) for m, r in zip(each, members, strict=True)]
        colours = [_COLOURS[names.index(r.name) % len(_COLOURS)] for r in members]
        axis.barh(labels, each, xerr=[low, high], color=colours, error_kw={"lw": 1})
        axis.set_xscale("log")
        axis.set_title(_title(*group), loc="left", fontsize=10)
        axis.tick_params(labelsize=8)
    axes[-1].set_xlabel("ms per photograph (logarithmic)")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eval.speed", description="Time colorization methods side by side."
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="two minutes: batch 1, 2 megapixels")
    add("--device", default="cpu", help="cpu, cuda …")
    add("--only", nargs="+", metavar="NAME", help="e.g. official lite zhang16")
    add("--sizes", nargs="+", type=float, help="megapixels of the test photographs")
    add("--seconds", type=float, help="time for each group that takes turns")
    add("--no-memory", action="store_true", help="skip the peak memory")
    add("--json", type=Path, metavar="FILE", help="one row per measurement")
    add("--table", type=Path, metavar="FILE", help="Markdown table")
    add("--plot", type=Path, metavar="FILE", help="bar chart (.png, .svg)")
    add("--memory-of", help=argparse.SUPPRESS)
    add("--wanted", default="[]", help=argparse.SUPPRESS)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Command line; 0 when everything was measured, 2 for options that cannot be honoured."""
    args = build_parser().parse_args(argv)
    try:
        candidates = all_candidates(args.device, only=args.only, exactly=args.memory_of)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if args.memory_of:
        return memory_child(candidates[0], json.loads(args.wanted))
    plan = QUICK if args.quick else Plan()
    if args.sizes:
        plan = replace(plan, sizes=tuple(args.sizes))
    if args.seconds:
        plan = replace(plan, seconds=args.seconds)
    if args.no_memory:
        plan = replace(plan, memory_of=())
    records = add_memory(measure(candidates, plan), candidates, plan.memory_of)
    text = markdown(records, floors(candidates, args.device))
    print(text)
    if args.json:
        rows = [asdict(record) for record in records]
        write_text(args.json, json.dumps(rows, indent=1) + "\n")
    if args.table:
        write_text(args.table, text + "\n")
    if args.plot:
        plot(records, args.plot)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
