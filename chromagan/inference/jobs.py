"""Which files to colour and where each result goes, decided before anything is decoded.

Of a folder that is watched, each photograph once it is complete.
"""

from __future__ import annotations

import os
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from threading import Event

from chromagan.images import (
    IMAGE_SUFFIXES,
    WRITABLE_SUFFIXES,
    expand,
    find_images,
    result_of,
    survey,
)

FORMATS = {
    "png": ".png",
    "tiff": ".tif",
    "jpeg": ".jpg",
    "webp": ".webp",
    "avif": ".avif",
    "same": None,
}
"""What `--format` may be; `same` takes the input's where results can be written so, else PNG."""
_MAX_NAME_BYTES = 255
SETTLED_SECONDS = 2.0
"""A file counts as complete when its size and time have not changed for so long."""
_LOOK_MILLISECONDS = 500


class JobError(ValueError):
    """A command that cannot work as given; the message says what to change."""


@dataclass(frozen=True)
class Job:
    """One photograph and the place of its result."""

    source: Path
    target: Path

    @property
    def layer(self) -> Path:
        """Where the colour alone goes, if it is asked for."""
        kind = self.target.suffix if self.target.suffix.lower() in {".tif", ".tiff"} else ".png"
        return self.target.with_name(f"{self.target.stem}.layer{kind}")


@dataclass(frozen=True)
class Found:
    """An input file with its path relative to the input that it came from."""

    source: Path
    relative: Path


@dataclass
class Plan:
    """What a command means.

    `missing`: inputs that match nothing. `left_out`: files of the folders that are no photographs,
    with the reason. `results`: files that this program has made itself.
    """

    jobs: list[Job] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)
    results: list[Path] = field(default_factory=list)


def plan_jobs(inputs: Sequence[str], output: str, *, kind: str = "png") -> Plan:
    """Files, folders and patterns -> jobs.

    `output` is a file for a single input file, else a folder: results keep the structure below
    each input folder and are called `<stem>` with the suffix of `kind` (of `FORMATS`), with as
    much more of the name as it takes to keep two inputs from sharing a result, or a result from
    taking an input's place. Raises `JobError` when `output` cannot be right.
    """
    target, plan = Path(output), Plan()
    found = _find(inputs, target, plan)
    if target.suffix.lower() in IMAGE_SUFFIXES and not target.is_dir():
        if len(inputs) > 1 or len(found) > 1 or Path(inputs[0]).is_dir():
            raise JobError(f"-o {output}: several inputs need a folder, not one image file")
        if target.suffix.lower() not in WRITABLE_SUFFIXES:
            kinds = " ".join(WRITABLE_SUFFIXES)
            raise JobError(f"-o {output}: results are written as one of {kinds}")
        plan.jobs = [Job(item.source, target) for item in found]
    elif target.exists() and not target.is_dir():
        raise JobError(f"-o {output}: this is a file, not a folder")
    else:
        plan.jobs = _name_results(found, target, kind)
    _protect_inputs(plan.jobs)
    return plan


def _find(inputs: Sequence[str], target: Path, plan: Plan) -> list[Found]:
    """Every input file once, in the order given; folders and patterns sorted."""
    found: dict[str, Found] = {}
    for text in inputs:
        if Path(text).is_dir():
            items = _in_folder(Path(text), target, plan)
        else:
            files = [path for path in expand(text) if not path.is_dir()]
            items = [Found(path, Path(path.name)) for path in files]
            if not items:
                plan.missing.append(text)
        for item in _no_results(items, target, plan):
            found.setdefault(os.path.realpath(item.source), item)
    return list(found.values())


def _in_folder(folder: Path, target: Path, plan: Plan) -> list[Found]:
    """The images below a folder, without the output folder where that lies inside."""
    results, root = target.resolve(), folder.resolve()
    inside = results != root and results.is_relative_to(root)
    seen = survey(folder)

    def kept(path: Path) -> bool:
        return not (inside and path.resolve().is_relative_to(results))

    plan.left_out += [
        (path, reason)
        for path, reason in seen.left_out
        if kept(path) and not path.with_suffix("").is_file()  # a sidecar: `photo.jpg.xmp`
    ]
    return [Found(path, path.relative_to(folder)) for path in seen.images if kept(path)]


def _no_results(items: Iterable[Found], target: Path, plan: Plan) -> list[Found]:
    """Without what this program has written itself, as far as it lies where results go.

    Results elsewhere are met, and left, when they are opened.
    """
    folder = target.resolve()
    kept = []
    for item in items:
        nearby = item.source.suffix.lower() in WRITABLE_SUFFIXES
        nearby = nearby and item.source.resolve().is_relative_to(folder)
        if nearby and result_of(item.source) is not None:
            plan.results.append(item.source)
        else:
            kept.append(item)
    return kept


def _name_results(found: Sequence[Found], folder: Path, kind: str) -> list[Job]:
    """`<stem>.png`; where that is another's or an input, `<name>.png`; then numbered."""
    suffixes = [_suffix(item.source, kind) for item in found]
    inputs = {_key(Path(os.path.abspath(item.source))) for item in found}
    short = [
        item.relative.with_name(_fitting(item.relative.stem, suffix))
        for item, suffix in zip(found, suffixes, strict=True)
    ]
    wanted = Counter(_key(path) for path in short)
    taken: set[str] = set()

    def free(path: Path) -> bool:
        return _key(path) not in taken and _key(Path(os.path.abspath(folder / path))) not in inputs

    names: dict[int, Path] = {}
    for number, (item, path) in enumerate(zip(found, short, strict=True)):
        own = wanted[_key(path)] == 1 or result_of(folder / path) == item.source.name
        if own and free(path):
            names[number] = path
            taken.add(_key(path))
    for number, (item, suffix) in enumerate(zip(found, suffixes, strict=True)):
        if number not in names:
            names[number] = _longer_name(item.relative, suffix, free)
            taken.add(_key(names[number]))
    return [Job(item.source, folder / names[number]) for number, item in enumerate(found)]


def _longer_name(relative: Path, suffix: str, free: Callable[[Path], bool]) -> Path:
    path = relative.with_name(_fitting(relative.name, suffix))
    number = 2
    while not free(path):
        path = relative.with_name(_fitting(relative.name, f"-{number}{suffix}"))
        number += 1
    return path


def _suffix(source: Path, kind: str) -> str:
    """The suffix of a result; `same` keeps the input's own spelling."""
    fixed = FORMATS[kind]
    if fixed is not None:
        return fixed
    return source.suffix if source.suffix.lower() in WRITABLE_SUFFIXES else ".png"


def _fitting(stem: str, suffix: str) -> str:
    """The stem as far as a file name of 255 bytes has room for it, with the suffix."""
    while len(os.fsencode(stem + suffix)) > _MAX_NAME_BYTES:
        stem = stem[:-1]
    return stem + suffix


def _key(path: Path) -> str:
    """Names that some file systems hold for the same are the same here."""
    return str(path).casefold()


def _protect_inputs(jobs: Sequence[Job]) -> None:
    sources = {os.path.realpath(job.source) for job in jobs}
    targets = {_key(job.target) for job in jobs}
    for job in jobs:
        if os.path.realpath(job.target) in sources:
            raise JobError(f"-o: {job.target} is itself an input and would be overwritten")
        if _key(job.layer) in targets:
            raise JobError(f"{job.source}: another result is called like its layer, {job.layer}")


def share(jobs: Sequence[Job], rank: int, world_size: int) -> list[Job]:
    """The jobs of one process among several that were started together: each belongs to one."""
    return list(jobs[rank::world_size])


def shard(jobs: Sequence[Job], output: str, number: int, count: int) -> list[Job]:
    """The jobs of shard `number` (1..count), told by each result's name.

    Machines that start at different times see different folders; a name's shard never changes.
    """
    return [
        job
        for job in jobs
        if zlib.crc32(os.path.relpath(job.target, output).encode(errors="surrogateescape")) % count
        == number - 1
    ]


@dataclass
class Arrivals:
    """The files of a folder by their states: which are new, and still for long enough."""

    folder: Path
    settled: float = SETTLED_SECONDS
    _seen: dict[Path, tuple[tuple[int, int], float]] = field(default_factory=dict)
    _handled: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def ready(self, now: float) -> list[Path]:
        """Look at the folder; the complete files that were not handed out in this state before."""
        complete = []
        for path in find_images(self.folder):
            state = _state(path)
            if state is None or self._handled.get(path) == state:
                continue
            before, since = self._seen.get(path, (None, now))
            if before != state:
                self._seen[path] = (state, now)
            elif now - since >= self.settled and state[0] > 0:
                complete.append(path)
                self._handled[path] = state
                del self._seen[path]
        return complete


def _state(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def arriving(
    folder: Path, stop: Event | None = None, settled: float = SETTLED_SECONDS
) -> Iterator[list[Path]]:
    """Batches of complete files, those that are there first; ends when `stop` is set."""
    from watchfiles import watch

    arrivals = Arrivals(folder, settled)
    changes = watch(
        folder,
        stop_event=stop or Event(),
        rust_timeout=_LOOK_MILLISECONDS,
        yield_on_timeout=True,
        raise_interrupt=True,
    )
    for _ in chain([None], changes):
        if files := arrivals.ready(time.monotonic()):
            yield files
