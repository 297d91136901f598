"""Colour a folder with Ray Data; one machine or a cluster that shares the folders.

python docs/ray_colorize.py album coloured --workers 4
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chromagan.inference.jobs import Job, plan_jobs


class Colorize:
    """One worker: its network is loaded once and kept for all batches."""

    def __init__(self, checkpoint: str) -> None:
        from chromagan.inference.colorizer import load_colorizer

        self.colorizer = load_colorizer(checkpoint)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Rows of `input` and `output` -> the same with `error`, empty where all went well."""
        from chromagan.inference.pipeline import colorize_files

        jobs = [
            Job(Path(str(source)), Path(str(target)))
            for source, target in zip(batch["input"], batch["output"], strict=True)
        ]
        outcomes = list(colorize_files(jobs, self.colorizer))
        return {
            "input": [str(outcome.job.source) for outcome in outcomes],
            "output": [str(outcome.job.target) for outcome in outcomes],
            "error": [outcome.error or "" for outcome in outcomes],
        }


def main(argv: Sequence[str] | None = None) -> int:
    """Colour what has no result yet; 1 where some photographs failed."""
    import ray

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--checkpoint", default="lite")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--gpus", type=float, default=0, help="per worker; 0.25 shares one by four")
    args = parser.parse_args(argv)
    # workers have folders of their own: only absolute paths mean the same to all of them
    source, target = str(args.input.resolve()), str(args.output.resolve())
    jobs = [job for job in plan_jobs([source], target).jobs if not job.target.exists()]
    if not jobs:
        print("nothing to do")
        return 0
    table = ray.data.from_items(
        [{"input": str(job.source), "output": str(job.target)} for job in jobs]
    ).map_batches(
        Colorize,
        fn_constructor_args=(args.checkpoint,),
        batch_size=16,
        num_gpus=args.gpus,
        concurrency=args.workers,
    )
    failed = 0
    for row in table.iter_rows():
        if row["error"]:
            failed += 1
            print(row["error"], file=sys.stderr)
    print(f"{len(jobs) - failed} coloured, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
