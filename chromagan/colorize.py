"""Colour photographs from the command line.

python -m chromagan.colorize old.jpg -o new.png
python -m chromagan.colorize album/ 'scans/*.tif' -o coloured/
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence

from chromagan.inference.jobs import Job, JobError, plan_jobs, share

DONE, PARTIAL, USAGE, INTERRUPTED = 0, 1, 2, 130
MANY = 16
"""From this many photographs on, the fastest engine is worth its start-up."""


def build_parser() -> argparse.ArgumentParser:
    """The command's flags."""
    parser = argparse.ArgumentParser(
        prog="python -m chromagan.colorize",
        description="Colour black-and-white photographs; their sharpness and luminance are kept.",
        epilog="Exit code: 0 all done, 1 some files failed (the rest is done), 2 wrong usage.",
    )
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="image files, folders (recursive) or globs"
    )
    parser.add_argument(
        "-o", "--output", required=True, help="folder for the results, or a file for one input"
    )
    parser.add_argument(
        "--checkpoint",
        default="lite",
        metavar="NAME|FILE|HUB_ID",
        help="built-in name, release file or Hugging Face id (default: %(default)s)",
    )
    parser.add_argument(
        "--saturation", type=_factor, default=1.0, help="0 is grey, 1 as predicted, 2 twice"
    )
    parser.add_argument(
        "--temperature", type=_number, default=0.0, help="warmer (+) or cooler (-), CIE b units"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument(
        "--engine", default="auto", help="auto, fastest, torch, openvino or onnxruntime"
    )
    parser.add_argument("--precision", default="auto", help="auto, fp32, bf16, fp16 or int8")
    parser.add_argument("--batch", type=_count, default=8, help="photographs per network run")
    parser.add_argument(
        "--max-pixels",
        type=_pixels,
        default=None,
        metavar="N",
        help="refuse larger images; 200M is 200 megapixels (default: 64M)",
    )
    parser.add_argument(
        "--flip", action="store_true", help="average with the mirrored photograph (twice the time)"
    )
    parser.add_argument(
        "--upsampling", choices=["nearest", "bilinear", "guided"], help="how colours are enlarged"
    )
    parser.add_argument(
        "--fit",
        choices=["square", "aspect", "letterbox"],
        help="how the network sees photographs that are not square",
    )
    parser.add_argument(
        "--working-size", type=_count, metavar="PX", help="side the network works at"
    )
    parser.add_argument("--overwrite", action="store_true", help="redo results that exist")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no summary")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = build_parser()
    args = parser.parse_args(argv)
    rank, world_size = _place()
    try:
        jobs, missing = plan_jobs(args.inputs, args.output)
    except JobError as error:
        return _usage_error(str(error))
    if not jobs and not missing:
        return _usage_error(f"no image files in {', '.join(args.inputs)}")
    jobs = share(jobs, rank, world_size)
    failures = [f"{text}: there is no such file" for text in missing] if rank == 0 else []
    for line in failures:
        print(line, file=sys.stderr)
    todo = [job for job in jobs if args.overwrite or not job.target.exists()]
    try:
        failed = _colorize(todo, args) if todo else 0
    except KeyboardInterrupt:
        print("stopped; the same command goes on where this ended", file=sys.stderr)
        return INTERRUPTED
    except _UsageError as error:
        return _usage_error(str(error))
    if not args.quiet:
        prefix = f"[{rank}/{world_size}] " if world_size > 1 else ""
        skipped = len(jobs) - len(todo)
        print(prefix + summary(len(todo) - failed, skipped, failed + len(failures)))
    return PARTIAL if failed or failures else DONE


class _UsageError(Exception):
    """Options that cannot be honoured, found while setting up."""


def _engine(name: str, photos: int) -> str:
    """Starting a faster engine costs about a second: worth it for many photographs only."""
    return "fastest" if name == "auto" and photos >= MANY else name


def _colorize(jobs: Sequence[Job], args: argparse.Namespace) -> int:
    """Colour the jobs, reporting each failure; returns how many failed."""
    from tqdm import tqdm  # late imports: `--help` and usage errors need no torch

    from chromagan.images import DEFAULT_MAX_PIXELS
    from chromagan.inference.colorizer import CheckpointError, load_colorizer
    from chromagan.inference.pipeline import Settings, colorize_files
    from chromagan.inference.recolour import DEFAULT_UPSAMPLING

    try:
        colorizer = load_colorizer(
            args.checkpoint,
            device=_device(args.device),
            precision=args.precision,
            engine=_engine(args.engine, len(jobs)),
            fit=args.fit,
            working_size=args.working_size,
            upsampling=args.upsampling or DEFAULT_UPSAMPLING,
            flip=args.flip,
        )
    except (CheckpointError, ValueError) as error:
        raise _UsageError(str(error)) from error
    settings = Settings(
        batch=args.batch,
        max_pixels=args.max_pixels or DEFAULT_MAX_PIXELS,
        saturation=args.saturation,
        temperature=args.temperature,
    )
    failed = 0
    hidden = True if args.quiet else None  # None: only on a terminal
    with tqdm(total=len(jobs), unit="photo", disable=hidden) as progress:
        for outcome in colorize_files(jobs, colorizer, settings):
            progress.update()
            if outcome.error is not None:
                failed += 1
                # one write per line, so that nothing can come between
                progress.write(outcome.error + "\n", file=sys.stderr, end="")
    return failed


def _place() -> tuple[int, int]:
    """(rank, number of processes) as torchrun tells them."""
    return int(os.environ.get("RANK", "0")), max(1, int(os.environ.get("WORLD_SIZE", "1")))


def _device(name: str) -> str:
    """Under torchrun `auto` gives every process of a machine its own GPU."""
    local = os.environ.get("LOCAL_RANK")
    if name != "auto" or local is None:
        return name
    import torch

    count = torch.cuda.device_count()
    return f"cuda:{int(local) % count}" if count else name


def summary(done: int, skipped: int, failed: int) -> str:
    """One line on what a run did."""
    parts = [f"{done} coloured"]
    if skipped:
        parts.append(f"{skipped} already there (--overwrite redoes them)")
    if failed:
        parts.append(f"{failed} failed")
    return ", ".join(parts)


def _usage_error(text: str) -> int:
    print(f"chromagan.colorize: {text}", file=sys.stderr)
    return USAGE


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1: {text}")
    return value


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be a finite number: {text}")
    return value


def _factor(text: str) -> float:
    value = _number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must not be negative: {text}")
    return value


def _pixels(text: str) -> int:
    """`64000000`, `64M`, `6.4e7`."""
    scale = 1_000_000 if text[-1:] in {"m", "M"} else 1
    value = _number(text[:-1] if scale > 1 else text) * scale
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1: {text}")
    return int(value)


if __name__ == "__main__":
    raise SystemExit(main())
