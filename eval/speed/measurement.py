"""Things that take turns on the clock, and their peak memory, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
from PIL import Image

from chromagan.checkpoint.source import DEFAULT_CHECKPOINT
from chromagan.images import read_image, write_image
from chromagan.inference.colorizer import ChromaGANColorizer
from chromagan.inference.jobs import Job
from chromagan.inference.pipeline import Settings, colorize_files
from chromagan.model.device import peak_gib, seconds_of
from chromagan.samples import sample_paths
from eval.speed.candidates import CPU, Candidate, Pixels

Case = tuple[str, float, int]
"""Scope, megapixels, batch."""


@dataclass(frozen=True)
class SpeedRecord:
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
    runs: int
    weights: str
    peak_mb: float | None = None
    """Largest resident memory of a process that does only this; None where not measured."""

    @property
    def candidate(self) -> str:
        return f"{self.name}/{self.engine}-{self.precision}"

    @property
    def case(self) -> Case:
        return self.scope, self.megapixels, self.batch


@dataclass(frozen=True)
class Plan:
    """What is measured and for how long."""

    sizes: tuple[float, ...] = (0.3, 2.0, 12.0, 24.0)
    batches: tuple[int, ...] = (1, 16)
    seconds: float = 60.0
    """For each group of things that take turns; at least three rounds are always made."""
    rounds: int = 15
    folder: bool = True
    files_of: tuple[str, ...] | None = None
    """Names that are also timed file to file; None: all."""
    memory_of: tuple[str, ...] | None = None
    """Candidates whose memory is measured; None: all."""


QUICK = Plan(
    sizes=(2.0,),
    batches=(1,),
    seconds=25.0,
    rounds=7,
    folder=False,
    files_of=("official", DEFAULT_CHECKPOINT),
    memory_of=("official/torch-fp32", f"{DEFAULT_CHECKPOINT}/torch-fp32"),
)


@dataclass
class _Trial:
    """One thing to time, and its times so far."""

    candidate: Candidate
    case: Case
    call: Callable[[], float]
    times: list[float] = field(default_factory=list)

    def record(self) -> SpeedRecord:
        c = self.candidate
        low, median, high = (float(q) for q in np.quantile(self.times, (0.25, 0.5, 0.75)))
        return SpeedRecord(
            c.name, c.engine, c.precision, *self.case, median, low, high, len(self.times), c.weights
        )


def measure(candidates: Sequence[Candidate], plan: Plan) -> list[SpeedRecord]:
    """Every row of the table. Prints what it is doing to stderr."""
    records: list[SpeedRecord] = []
    with tempfile.TemporaryDirectory(prefix="chromagan-speed-") as name:
        for batch in plan.batches:
            print(f"network only, batch {batch} …", file=sys.stderr, flush=True)
            cases = [(c, ("network", c.megapixels, batch)) for c in candidates]
            records += _take_turns(cases, plan, Path(name))
        for size in plan.sizes:
            print(f"file to file, {size:g} megapixels …", file=sys.stderr, flush=True)
            files = [c for c in candidates if plan.files_of is None or c.name in plan.files_of]
            many = max(plan.batches)
            cases = [(c, ("file", size, 1)) for c in files]
            cases += [(c, ("file", size, many)) for c in files if plan.folder and many > 1]
            records += _take_turns(cases, plan, Path(name))
    return records


def call_of(candidate: Candidate, case: Case, folder: Path) -> Callable[[], float] | None:
    """A call that runs `case` once and gives its seconds; None where the candidate cannot."""
    scope, megapixels, batch = case
    if scope == "network":
        return candidate.network(batch)
    photo = make_photo(folder, megapixels)
    if batch == 1:
        return partial(seconds_of, lambda: colorize_photo(candidate.colorizer, photo), CPU)
    if candidate.pipeline is None:
        return None
    return partial(seconds_of, partial(colorize_folder, candidate.pipeline, photo, batch), CPU)


def make_photo(folder: Path, megapixels: float) -> Path:
    """A 3:2 JPEG of that size, made from the first bundled photograph."""
    path = folder / f"{megapixels:g}mp.jpg"
    if not path.exists():
        height = round((megapixels * 1e6 / 1.5) ** 0.5)
        size = (round(height * 1.5), height)
        with Image.open(sample_paths("color")[0]) as image:
            image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
    return path


def colorize_photo(colorize: Callable[[Pixels], Pixels], photo: Path) -> None:
    """Read, colour, write one photograph."""
    write_image(photo.with_suffix(".png"), colorize(read_image(photo)))


def colorize_folder(colorizer: ChromaGANColorizer, photo: Path, count: int) -> None:
    """The folder mode of `chromagan.colorize` on copies of one photograph."""
    jobs = [Job(photo, photo.with_name(f"{photo.stem}-{number}.png")) for number in range(count)]
    for outcome in colorize_files(jobs, colorizer, Settings()):
        if outcome.error is not None:
            raise RuntimeError(outcome.error)


def _take_turns(
    cases: Sequence[tuple[Candidate, Case]], plan: Plan, folder: Path
) -> list[SpeedRecord]:
    calls = [(candidate, case, call_of(candidate, case, folder)) for candidate, case in cases]
    trials = [_Trial(candidate, case, call) for candidate, case, call in calls if call is not None]
    started = perf_counter()
    for trial in trials:
        trial.call()  # warm-up
    for number in range(plan.rounds):
        if number >= 3 and perf_counter() - started > plan.seconds:
            break
        for trial in trials:
            trial.times.append(trial.call())
    return [trial.record() for trial in trials]


def add_memory(
    records: Sequence[SpeedRecord],
    candidates: Sequence[Candidate],
    only: Sequence[str] | None = None,
) -> list[SpeedRecord]:
    """Fill in `peak_mb`, each candidate (of `only`, if given) in a process of its own."""
    peaks: dict[tuple[str, Case], float] = {}
    for candidate in candidates:
        if only is not None and str(candidate) not in only:
            continue
        wanted = sorted({r.case for r in records if r.candidate == str(candidate)})
        print(f"memory of {candidate} …", file=sys.stderr, flush=True)
        for case, peak in _measured_apart(candidate, wanted):
            peaks[str(candidate), case] = peak
    return [replace(r, peak_mb=peaks.get((r.candidate, r.case))) for r in records]


def _measured_apart(candidate: Candidate, wanted: Sequence[Case]) -> list[tuple[Case, float]]:
    command = [sys.executable, "-m", "eval.speed", "--memory-of", str(candidate)]
    command += ["--device", candidate.device, "--wanted", json.dumps(wanted)]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        print(f"  not measured: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return []
    return [((str(s), float(m), int(b)), float(p)) for (s, m, b), p in json.loads(done.stdout)]


def memory_child(candidate: Candidate, wanted: Sequence[Sequence[object]]) -> int:
    """The other process: run each case, smallest first, and print the peaks as JSON."""
    answers = []
    with tempfile.TemporaryDirectory(prefix="chromagan-speed-") as name:
        cases: list[Case] = [(str(s), float(str(m)), int(str(b))) for s, m, b in wanted]
        for case in sorted(cases, key=lambda c: (c[0] != "network", c[1:])):
            call = call_of(candidate, case, Path(name))
            peak = peak_mb_of(call) if call is not None else None
            if peak is not None:
                answers.append((case, peak))
    print(json.dumps(answers))
    return 0


def peak_mb_of(call: Callable[[], object]) -> float | None:
    """Peak resident memory of this process in MB while `call` runs, where the system tells."""
    try:
        # Linux: "5" starts the high-water mark again
        Path("/proc/self/clear_refs").write_text("5")
        call()
        status = Path("/proc/self/status").read_text()
    except OSError:
        call()
        try:
            return peak_gib(CPU) * 2**30 / 1e6
        except ModuleNotFoundError:  # Windows
            return None
    line = next(x for x in status.splitlines() if x.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6
