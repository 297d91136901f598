"""How fast, beside what one would use instead, on this machine.

    python -m eval.speed                     # or: python eval/speed.py
    python -m eval.speed --quick --json speed.json --plot speed.png --table speed.md

Everything runs in one process and in turn (A B C A B C …), so that a busy moment hits all alike.
`official` is the published topology run the published way: fp32, class head, linear layers one by
one, plain memory layout, 224² squares. `network` times the network alone; `file` goes from a JPEG
on disk to a PNG on disk. Times do not depend on the weights' values, so networks without a
checkpoint are built with seeded random weights, and the report says which.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

if not __package__:  # `python eval/speed.py`: find the packages, not the modules beside this file
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from eval.speed_contestants import Contestant, all_contestants
from eval.speed_files import FolderRun, PhotoRun, make_photo
from eval.speed_floor import energy_joules, peak_mb_of
from eval.speed_report import floors, markdown, plot

SIZES = (0.3, 2.0, 12.0, 24.0)
BATCHES = (1, 16)


@dataclass(frozen=True)
class Row:
    """One measurement. Times are seconds per call, that is for `batch` photographs together."""

    name: str
    engine: str
    precision: str
    scope: str
    megapixels: float
    batch: int
    median_s: float
    low_s: float
    high_s: float
    """Quartiles of the runs."""
    peak_mb: float | None
    """Largest resident memory of a process that does only this; None where not measured."""
    runs: int
    energy_j: float | None
    weights: str


@dataclass
class _Trial:
    """One thing to time, and its times so far."""

    contestant: Contestant
    scope: str
    megapixels: float
    batch: int
    call: Callable[[], float]
    times: list[float]
    joules: float | None = None

    def run(self) -> None:
        before = energy_joules()
        self.times.append(self.call())
        after = energy_joules()
        if before is not None and after is not None and after >= before:
            self.joules = (self.joules or 0.0) + after - before


@dataclass(frozen=True)
class Plan:
    """What is measured and for how long."""

    sizes: tuple[float, ...] = SIZES
    batches: tuple[int, ...] = BATCHES
    seconds: float = 60.0
    """For each group of things that take turns; at least three rounds are always made."""
    rounds: int = 15
    folder: bool = True
    files_of: tuple[str, ...] | None = None
    """Names that are also timed file to file; None: all."""
    memory_of: tuple[str, ...] | None = None
    """Contestants whose memory is measured; None: all."""


QUICK = Plan(
    sizes=(2.0,),
    batches=(1,),
    seconds=25.0,
    rounds=7,
    folder=False,
    files_of=("official", "lite"),
    memory_of=("official/torch-fp32", "lite/torch-fp32"),
)


def measure(contestants: Sequence[Contestant], plan: Plan) -> list[Row]:
    """Every row of the table. Prints what it is doing to stderr."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="chromagan-speed-") as name:
        folder = Path(name)
        for batch in plan.batches:
            print(f"network only, batch {batch} …", file=sys.stderr, flush=True)
            trials = [t for c in contestants if (t := _network_trial(c, batch)) is not None]
            rows += _take_turns(trials, plan)
        for size in plan.sizes:
            print(f"file to file, {size:g} megapixels …", file=sys.stderr, flush=True)
            photo = make_photo(folder, size)
            rows += _take_turns(_file_trials(contestants, photo, size, plan), plan)
    return rows


def _network_trial(contestant: Contestant, batch: int) -> _Trial | None:
    call = contestant.network(batch)
    if call is None:
        return None
    return _Trial(contestant, "network", contestant.megapixels, batch, call, [])


def _file_trials(
    contestants: Sequence[Contestant], photo: Path, size: float, plan: Plan
) -> list[_Trial]:
    trials = []
    for contestant in contestants:
        if plan.files_of is not None and contestant.name not in plan.files_of:
            continue
        call = PhotoRun(contestant.colorizer, photo)
        trials.append(_Trial(contestant, "file", size, 1, call, []))
        if plan.folder and contestant.pipeline:
            many = max(b for b in plan.batches)
            run = FolderRun(contestant.pipeline, photo, many)
            trials.append(_Trial(contestant, "file", size, many, run, []))
    return trials


def _take_turns(trials: Sequence[_Trial], plan: Plan) -> list[Row]:
    started = perf_counter()
    for trial in trials:
        trial.call()  # warm-up
    for number in range(plan.rounds):
        if number >= 3 and perf_counter() - started > plan.seconds:
            break
        for trial in trials:
            trial.run()
    return [_row(trial) for trial in trials]


def _row(trial: _Trial) -> Row:
    times = sorted(trial.times)
    count = len(times)
    peak = None
    c = trial.contestant
    joules = None if trial.joules is None else trial.joules / count
    return Row(
        c.name, c.engine, c.precision, trial.scope, trial.megapixels, trial.batch,
        _quantile(times, 0.5), _quantile(times, 0.25), _quantile(times, 0.75),
        peak, count, joules, c.weights,
    )  # fmt: skip


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Linear interpolation between order statistics."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def add_memory(
    rows: Sequence[Row], contestants: Sequence[Contestant], only: Sequence[str] | None = None
) -> list[Row]:
    """Fill in `peak_mb`, each contestant (of `only`, if given) in a process of its own."""
    peaks: dict[tuple[str, str, float, int], float] = {}
    for contestant in contestants:
        if only is not None and str(contestant) not in only:
            continue
        wanted = sorted({(r.scope, r.megapixels, r.batch) for r in rows if _is(r, contestant)})
        print(f"memory of {contestant} …", file=sys.stderr, flush=True)
        for scope, megapixels, batch, peak in _measured_apart(contestant, wanted):
            peaks[str(contestant), scope, megapixels, batch] = peak
    return [
        Row(**{**asdict(r), "peak_mb": peaks.get((_key(r), r.scope, r.megapixels, r.batch))})
        for r in rows
    ]


def _key(row: Row) -> str:
    return f"{row.name}/{row.engine}-{row.precision}"


def _is(row: Row, contestant: Contestant) -> bool:
    return _key(row) == str(contestant)


def _measured_apart(
    contestant: Contestant, wanted: Sequence[tuple[str, float, int]]
) -> list[tuple[str, float, int, float]]:
    command = [sys.executable, "-m", "eval.speed", "--memory-of", str(contestant)]
    command += ["--device", contestant.device, "--wanted", json.dumps(wanted)]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        print(f"  not measured: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return []
    return [(str(s), float(m), int(b), float(p)) for s, m, b, p in json.loads(done.stdout)]


def memory_child(contestant: Contestant, wanted: Sequence[tuple[str, float, int]]) -> int:
    """The other process: run each thing twice, smallest first, and print the peaks as JSON."""
    answers = []
    with tempfile.TemporaryDirectory(prefix="chromagan-speed-") as name:
        for scope, megapixels, batch in sorted(wanted, key=lambda w: (w[0] != "network", w[1:])):
            call: Callable[[], object] | None
            if scope == "network":
                call = contestant.network(batch)
            else:
                photo = make_photo(Path(name), megapixels)
                call = PhotoRun(contestant.colorizer, photo)
                if batch > 1 and contestant.pipeline:
                    call = FolderRun(contestant.pipeline, photo, batch)
            peak = peak_mb_of(call) if call is not None else None
            if peak is not None:
                answers.append((scope, megapixels, batch, peak))
    print(json.dumps(answers))
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eval.speed", description="Time colorization methods side by side."
    )
    parser.add_argument("--quick", action="store_true", help="two minutes: batch 1, 2 megapixels")
    parser.add_argument("--device", default="cpu", help="cpu, cuda …")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="e.g. official lite zhang16")
    parser.add_argument("--sizes", nargs="+", type=float, help="megapixels of the test photographs")
    parser.add_argument("--seconds", type=float, help="time for each group that takes turns")
    parser.add_argument("--no-memory", action="store_true", help="skip the peak memory")
    parser.add_argument("--json", type=Path, metavar="FILE", help="one row per measurement")
    parser.add_argument("--table", type=Path, metavar="FILE", help="Markdown table")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="bar chart (.png, .svg)")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--wanted", default="[]", help=argparse.SUPPRESS)
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
        contestants = all_contestants(args.device, only=args.only, exactly=args.memory_of)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if args.memory_of:
        return memory_child(contestants[0], json.loads(args.wanted))
    plan = plan_of(args)
    rows = measure(contestants, plan)
    rows = add_memory(rows, contestants, plan.memory_of)
    arithmetic = floors(contestants, args.device)
    text = markdown(rows, arithmetic)
    print(text)
    if args.json:
        write_text(args.json, json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    if args.table:
        write_text(args.table, text + "\n")
    if args.plot:
        plot(rows, args.plot)
    return 0


def write_text(path: Path, text: str) -> None:
    """Atomic, as everything that may be read while it is written."""
    from chromagan.files import write_text as write

    write(path, text)


if __name__ == "__main__":
    raise SystemExit(main())
