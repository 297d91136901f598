"""`python -m eval.systems`: the paper's systems under one protocol, trained and made small weights.

Eight systems see the same photographs, crops, steps and schedule at a quarter of their width, each
with its own loss and from random weights. The same command goes on where it stopped; with more
`--steps` it goes on from there, because the rate is constant. `OUT/weights` then holds what
belongs into `eval/baselines/weights`. Other flags are those of `chromagan.train`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from chromagan.checkpoint.release_file import describe_release
from chromagan.checkpoint.source import read_release
from chromagan.release import export

PROTOCOL = (
    *("--width", "0.25", "--trunk-weights", "none", "--teacher", "efficientnet-lite2"),
    *("--crop", "128", "--zoom", "0.5", "--stretch", "0.15", "--jitter", "0", "--batch", "8"),
    *("--optimizer", "adamw", "--lr", "1e-3", "--betas", "0.9", "0.99", "--weight-decay", "0.01"),
    *("--critic-lr", "2e-4", "--clip-gradient", "1", "--warmup", "100", "--schedule", "constant"),
    *("--ema", "0.999", "--bf16", "--channels-last", "--seed", "0"),
)
"""Flags of `chromagan.train` that every system gets."""

COMPARED = ("iizuka", "larsson", "zhang16", "isola", "zhang17")
VARIANTS = {
    "small-no-gan": ("no-gan", "ChromaNet"),
    "small-no-class": ("no-class", "ChromaGAN w/o class"),
    "small-full": ("full", "ChromaGAN"),
}
"""ChromaGAN's by name, and what the paper calls them."""


def flags(name: str) -> list[str]:
    """What makes the run of a system."""
    if name not in VARIANTS:
        return [*PROTOCOL, "--method", name]
    rates = ("--trunk-lr", "1e-3", "--class-lr", "1e-3")
    return [*PROTOCOL, *rates, "--arch", "vgg16", "--variant", VARIANTS[name][0]]


def train(name: str, runs: Path, steps: int, more: list[str]) -> None:
    """Bring one system to a step. Raises CalledProcessError where the trainer does not."""
    length = ["--max-steps", str(steps), "--out", str(runs / name)]
    command = [sys.executable, "-m", "chromagan.train", *flags(name), *length, *more]
    subprocess.run(command, check=True)  # noqa: S603 - this project's own command


def collect(name: str, runs: Path) -> Path:
    """The weights of a finished run as one file in `RUNS/weights`."""
    target = runs / "weights" / f"{name}.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    if name not in VARIANTS:
        target.write_bytes((runs / name / target.name).read_bytes())
        return target
    title = f"{VARIANTS[name][1]} at a quarter of its width"
    path = export(runs / name, runs / name / "release", class_head=False, title=title)
    record = {k: v for k, v in read_release(path).record.items() if k not in ("commit", "hours")}
    describe_release(path, record=json.dumps(record))
    return path.replace(target)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m eval.systems", description=__doc__)
    parser.add_argument("--data", nargs="+", required=True, help="as of chromagan.train")
    parser.add_argument("--steps", type=int, nargs="+", required=True, help="one after the other")
    parser.add_argument("--systems", nargs="+", choices=(*COMPARED, *VARIANTS), help="default: all")
    parser.add_argument("--out", type=Path, default=Path("runs/systems"))
    args, more = parser.parse_known_args(argv)
    try:
        for steps in args.steps:
            for name in args.systems or (*COMPARED, *VARIANTS):
                train(name, args.out, steps, ["--data", *args.data, *more])
                print(collect(name, args.out))
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
