"""Find the fastest engine for a checkpoint on this machine that keeps its colours.

    python -m chromagan.tune [CHECKPOINT] [--photos FOLDER|TAR …]

Every engine and precision that runs here is timed in turn and held against fp32 PyTorch on
photographs. The fastest within the limits is remembered for this machine and
these weights: that is what the engines `auto` and `fastest` are from then on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from chromagan.checkpoint.source import (
    DEFAULT_CHECKPOINT,
    CheckpointError,
    Release,
    find_checkpoint,
    read_release,
)
from chromagan.color import Rgb8, decode_ab, delta_e_2000, psnr8, rgb8_to_lab
from chromagan.files import write_text
from chromagan.images import read_image
from chromagan.images.pixels import shrink
from chromagan.inference.engines import choice
from chromagan.inference.engines.engine import Engine, EngineError
from chromagan.inference.engines.registry import EngineSpec, build_engine, candidates, usable_cpus
from chromagan.inference.prediction import Frame, lay_out
from chromagan.inference.recolour import recolour
from chromagan.samples import sample_paths
from chromagan.training.photos import DataError, decode, find_photos

MAX_DELTA_E = {"fp32": 0.01, "bf16": 0.5, "fp16": 0.5}
"""Largest mean ΔE2000 to fp32 at which a precision is used without being asked for:
half of a just noticeable difference for the short ones."""
MAX_GAIN_CHANGE = 0.05
"""Largest change of the mean PSNR gain over the grey image, in dB, for the same."""


class Parity(NamedTuple):
    """An engine against an fp32 one on some photographs, at the network's working size."""

    photos: int
    delta_e: float
    """Mean over photographs of the mean ΔE2000 between the two colour images."""
    gain_change: float
    """Mean PSNR over the true colours minus that of fp32, dB (8-bit RGB)."""

    def allows(self, precision: str) -> bool:
        """Whether an engine of this precision may be chosen automatically."""
        return self.delta_e <= MAX_DELTA_E[precision] and abs(self.gain_change) <= MAX_GAIN_CHANGE


def measure_parity(engine: Engine, reference: Engine, images: Iterable[Rgb8], size: int) -> Parity:
    """Colour `images` (uint8 RGB, any size, true colours) at `size`² with both and compare."""
    frame, rows = Frame(size, size, size, size), []
    for image in images:
        code, truth = lay_out(image, frame)[None], shrink(image, (size, size))
        fields = (decode_ab(np.moveaxis(e.run(code).ab[0], 0, -1)) for e in (engine, reference))
        first, second = (recolour(truth, ab, upsampling="bilinear") for ab in fields)
        difference = delta_e_2000(rgb8_to_lab(first), rgb8_to_lab(second)).mean()
        rows.append((difference, psnr8(first, truth) - psnr8(second, truth)))
    if not rows:
        raise ValueError("parity needs at least one photograph")
    delta_e, gain_change = np.mean(rows, axis=0)
    return Parity(len(rows), float(delta_e), float(gain_change))


class Row(NamedTuple):
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
    release: Release,
    images: Sequence[Rgb8],
    *,
    specs: Sequence[EngineSpec] | None = None,
    seconds: float = 20.0,
) -> list[Row]:
    """Measure `specs` (default: all that run here) and remember the fastest allowed one."""
    specs = list(specs or candidates(release))
    reference = reference_of(specs)
    engines = {spec: build_engine(release, spec.name, spec.precision) for spec in specs}
    calls = {str(spec): choice.runner(release, engine) for spec, engine in engines.items()}
    times = choice.take_turns(calls, seconds=seconds, rounds=50)
    exact, size = engines[reference], release.config.image_size
    rows = []
    for spec, engine in engines.items():
        ms = sorted(1000 * t for t in times[str(spec)])
        low, high = ms[len(ms) // 4], ms[3 * len(ms) // 4]
        parity = measure_parity(engine, exact, images, size)
        allowed = parity.allows(spec.precision)
        rows.append(Row(spec.name, spec.precision, median(ms), low, high, *parity, allowed))
    best = fastest(rows)
    measured = {f"{row.engine}-{row.precision}": row.median_ms for row in rows}
    choice.remember(
        choice.weights_key(release),
        choice.Choice(best.engine, best.precision, measured, tuned=True),
    )
    return rows


def fastest(rows: Sequence[Row]) -> Row:
    return min((row for row in rows if row.allowed), key=lambda row: row.median_ms)


def reference_of(specs: Sequence[EngineSpec]) -> EngineSpec:
    """The fp32 engine that the others are held against: PyTorch's, else the first there is."""
    exact = [spec for spec in specs if spec.precision == "fp32"]
    if not exact:
        raise EngineError("name one fp32 engine, too: the others are compared with it")
    return next((spec for spec in exact if spec.name == "torch"), exact[0])


def read_photos(sources: Sequence[str]) -> list[Rgb8]:
    """Photographs of folders or tar shards; the bundled colour samples without any source."""
    if not sources:
        return [read_image(path) for path in sample_paths("color")]
    return [decode(photo, shortest=512) for photo in find_photos(sources).photos]


def table(rows: Sequence[Row]) -> str:
    """Plain text, fastest last decided by the reader; ratios first, since machines differ."""
    reference = reference_of([EngineSpec(r.engine, r.precision) for r in rows])
    base = next(r.median_ms for r in rows if EngineSpec(r.engine, r.precision) == reference)
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


def main(argv: list[str] | None = None) -> int:
    """Command line; 0 when a choice was made, 2 for options that cannot be honoured."""
    parser = argparse.ArgumentParser(
        prog="python -m chromagan.tune",
        description="Find the fastest engine on this machine that keeps a checkpoint's colours.",
    )
    parser.add_argument(
        "checkpoint", nargs="?", default=DEFAULT_CHECKPOINT, help="name, file or Hub id"
    )
    parser.add_argument("--photos", nargs="+", default=[], help="folders or .tar shards")
    parser.add_argument("--engines", nargs="+", metavar="ENGINE", help="e.g. openvino-bf16")
    parser.add_argument("--seconds", type=float, default=20.0, help="time for the timing")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    args = parser.parse_args(argv)
    try:
        release = read_release(find_checkpoint(args.checkpoint))
        specs = [EngineSpec.parse(text) for text in args.engines or []]
        images = read_photos(args.photos)
        rows = tune(release, images, specs=specs or None, seconds=args.seconds)
    except (CheckpointError, EngineError, DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{choice.cpu_name()}, {usable_cpus()} threads; {len(images)} photographs; batch 1")
    print(table(rows))
    print(
        f"offered: mean ΔE2000 to fp32 at most {MAX_DELTA_E['bf16']} (bf16), "
        f"PSNR gain within {MAX_GAIN_CHANGE} dB"
    )
    best = fastest(rows)
    print(f"auto now means {best.engine}-{best.precision} for this checkpoint on this machine")
    if args.json:
        write_text(args.json, json.dumps([row._asdict() for row in rows], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
