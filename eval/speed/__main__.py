"""`python -m eval.speed`, also `python eval/speed`.

python -m eval.speed --quick --json speed.json --plot speed.png --table speed.md
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

if not __package__:  # `python eval/speed`: find the packages, not the modules beside this file
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from chromagan.files import write_text
from eval.speed.candidates import all_candidates
from eval.speed.measurement import QUICK, Plan, add_memory, measure, memory_child
from eval.speed.report import floors, markdown, plot


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


def plan_of(args: argparse.Namespace) -> Plan:
    base = QUICK if args.quick else Plan()
    return Plan(
        sizes=tuple(args.sizes) if args.sizes else base.sizes,
        batches=base.batches,
        seconds=args.seconds or base.seconds,
        rounds=base.rounds,
        folder=base.folder,
        files_of=base.files_of,
        memory_of=() if args.no_memory else base.memory_of,
    )


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
    plan = plan_of(args)
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
