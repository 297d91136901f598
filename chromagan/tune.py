"""Find the fastest engine for a checkpoint on this machine that keeps its colours.

    python -m chromagan.tune [CHECKPOINT] [--photos FOLDER|TAR …]

Every engine and precision that runs here is timed in turn and held against fp32 PyTorch on
photographs. The fastest within the limits (`engines.parity`) is remembered for this machine and
these weights: that is what the engines `auto` and `fastest` are from then on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from chromagan.checkpoint.release_file import CheckpointError, load_release
from chromagan.checkpoint.source import find_checkpoint
from chromagan.files import write_text
from chromagan.images import read_image
from chromagan.inference.engines.choice import (
    Choice,
    cpu_name,
    remember,
    runner,
    take_turns,
    weights_key,
)
from chromagan.inference.engines.parity import MAX_DELTA_E, MAX_GAIN_CHANGE, Parity, measure_parity
from chromagan.inference.engines.registry import (
    EngineError,
    EngineSpec,
    build_engine,
    candidates,
    usable_cpus,
)
from chromagan.inference.engines.torch_engine import Engine
from chromagan.model import Generator
from chromagan.samples import sample_paths
from chromagan.training.data.photos import DataError, decode, find_photos

REFERENCE = EngineSpec("torch", "fp32")


@dataclass(frozen=True)
class Row:
    """One engine: its time and its distance to fp32."""

    engine: str
    precision: str
    median_ms: float
    low_ms: float
    high_ms: float
    photos: int
    delta_e: float
    psnr_gain_change: float
    allowed: bool


def tune(
    generator: Generator,
    images: Sequence[NDArray[np.uint8]],
    *,
    specs: Sequence[EngineSpec] | None = None,
    seconds: float = 20.0,
    calibration: list[Path] | None = None,
) -> list[Row]:
    """Measure `specs` (default: all that run here) and remember the fastest allowed one."""
    specs = list(specs or candidates())
    if REFERENCE not in specs:
        specs.insert(0, REFERENCE)
    engines = {
        spec: build_engine(generator, spec.name, spec.precision, calibration=calibration)
        for spec in specs
    }
    calls = {str(spec): runner(generator, engine) for spec, engine in engines.items()}
    times = take_turns(calls, seconds=seconds, rounds=50)
    rows = [
        _row(spec, times[str(spec)], _parity(generator, engines, spec, images)) for spec in specs
    ]
    best = min((row for row in rows if row.allowed), key=lambda row: row.median_ms)
    measured = {f"{row.engine}-{row.precision}": row.median_ms for row in rows}
    remember(weights_key(generator), Choice(best.engine, best.precision, measured, tuned=True))
    return rows


def _parity(
    generator: Generator,
    engines: dict[EngineSpec, Engine],
    spec: EngineSpec,
    images: Sequence[NDArray[np.uint8]],
) -> Parity:
    if spec == REFERENCE:
        return Parity(len(images), 0.0, 0.0)
    return measure_parity(generator, engines[spec], engines[REFERENCE], images)


def _row(spec: EngineSpec, times: list[float], parity: Parity) -> Row:
    ms = sorted(1000 * t for t in times)
    return Row(
        spec.name,
        spec.precision,
        median(ms),
        ms[len(ms) // 4],
        ms[3 * len(ms) // 4],
        parity.photos,
        parity.delta_e,
        parity.gain_change,
        parity.allows(spec.precision),
    )


def read_photos(sources: Sequence[str]) -> list[NDArray[np.uint8]]:
    """Photographs of folders or tar shards; the bundled colour samples without any source."""
    if not sources:
        return [read_image(path) for path in sample_paths("color")]
    return [decode(photo, shortest=512) for photo in find_photos(sources)]


def table(rows: Sequence[Row]) -> str:
    """Plain text, fastest last decided by the reader; ratios first, since machines differ."""
    base = next(r.median_ms for r in rows if (r.engine, r.precision) == ("torch", "fp32"))
    lines = [
        f"{'engine':<12} {'precision':<9} {'times faster':>12} {'ms':>8} {'quartiles':>15} "
        f"{'ΔE2000':>7} {'ΔPSNR gain':>10}  offered"
    ]
    for r in rows:
        spread = f"{r.low_ms:.1f}–{r.high_ms:.1f}"
        lines.append(
            f"{r.engine:<12} {r.precision:<9} {base / r.median_ms:>12.2f} {r.median_ms:>8.1f} "
            f"{spread:>15} {r.delta_e:>7.3f} {r.psnr_gain_change:>+10.3f}  "
            f"{'yes' if r.allowed else 'no'}"
        )
    return "\n".join(lines)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chromagan.tune",
        description="Find the fastest engine on this machine that keeps a checkpoint's colours.",
    )
    parser.add_argument("checkpoint", nargs="?", default="lite", help="name, file or Hub id")
    parser.add_argument("--photos", nargs="+", default=[], help="folders or .tar shards")
    parser.add_argument("--engines", nargs="+", metavar="ENGINE", help="e.g. openvino-int8")
    parser.add_argument("--seconds", type=float, default=20.0, help="time for the timing")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Command line; 0 when a choice was made, 2 for options that cannot be honoured."""
    args = build_parser().parse_args(argv)
    torch.set_num_threads(usable_cpus())
    try:
        generator, _ = load_release(find_checkpoint(args.checkpoint))
        specs = [EngineSpec.parse(text) for text in args.engines or []]
        images = read_photos(args.photos)
        rows = tune(generator, images, specs=specs or None, seconds=args.seconds)
    except (CheckpointError, EngineError, DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{cpu_name()}, {usable_cpus()} threads; {len(images)} photographs; batch 1")
    print(table(rows))
    print(
        f"offered: mean ΔE2000 to fp32 at most {MAX_DELTA_E['bf16']} (bf16) or "
        f"{MAX_DELTA_E['int8']} (int8), PSNR gain within {MAX_GAIN_CHANGE} dB"
    )
    best = min((row for row in rows if row.allowed), key=lambda row: row.median_ms)
    print(f"auto now means {best.engine}-{best.precision} for this checkpoint on this machine")
    if args.json:
        write_text(args.json, json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
