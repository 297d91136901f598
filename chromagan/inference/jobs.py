"""Which files to colour and where each result goes, decided before anything is decoded."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chromagan.images import IMAGE_SUFFIXES, WRITABLE_SUFFIXES, find_images


class JobError(ValueError):
    """A command that cannot work as given; the message says what to change."""


@dataclass(frozen=True)
class Job:
    """One photograph and the place of its result."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Found:
    """An input file with its path relative to the input that it came from."""

    source: Path
    relative: Path


def plan_jobs(inputs: Sequence[str], output: str) -> tuple[list[Job], list[str]]:
    """(jobs, inputs that match nothing) for files, folders and globs.

    `output` is a file for a single input file, else a folder: results keep the structure below
    each input folder and are called `<stem>.png`, with as much more of the name as it takes to
    keep two inputs from sharing a result. Raises `JobError` when `output` cannot be right.
    """
    target = Path(output)
    found, missing = _find(inputs, target)
    if _is_file_target(target):
        if len(inputs) > 1 or len(found) > 1 or Path(inputs[0]).is_dir():
            raise JobError(f"-o {output}: several inputs need a folder, not one image file")
        if target.suffix.lower() not in WRITABLE_SUFFIXES:
            kinds = " ".join(WRITABLE_SUFFIXES)
            raise JobError(f"-o {output}: results are written as one of {kinds}")
        jobs = [Job(item.source, target) for item in found]
    elif target.exists() and not target.is_dir():
        raise JobError(f"-o {output}: this is a file, not a folder")
    else:
        jobs = _name_results(found, target)
    _protect_inputs(jobs)
    return jobs, missing


def _is_file_target(target: Path) -> bool:
    return target.suffix.lower() in IMAGE_SUFFIXES and not target.is_dir()


def _find(inputs: Sequence[str], target: Path) -> tuple[list[Found], list[str]]:
    """Every input file once, in the order given; folders and globs sorted."""
    found: dict[Path, Found] = {}
    missing: list[str] = []
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            items = _in_folder(path, target)
        elif os.path.lexists(path):
            items = [Found(path, Path(path.name))]
        else:
            matches = sorted(glob.glob(text, recursive=True)) if glob.has_magic(text) else []
            items = [
                Found(Path(match), Path(Path(match).name))
                for match in matches
                if not Path(match).is_dir()
            ]
            if not items:
                missing.append(text)
        for item in items:
            found.setdefault(Path(os.path.abspath(item.source)), item)
    return list(found.values()), missing


def _in_folder(folder: Path, target: Path) -> list[Found]:
    """The images below a folder, without the results of an earlier run inside it."""
    results, root = target.resolve(), folder.resolve()
    inside = results != root and results.is_relative_to(root)
    return [
        Found(path, path.relative_to(folder))
        for path in find_images(folder)
        if not (inside and path.resolve().is_relative_to(results))
    ]


def _name_results(found: Iterable[Found], folder: Path) -> list[Job]:
    """`<stem>.png`; where two would meet, `<name>.<suffix>.png`; then numbered."""
    found = list(found)
    short = [item.relative.with_suffix(".png") for item in found]
    shared = Counter(_key(path) for path in short)
    taken = {_key(path) for path in short if shared[_key(path)] == 1}
    jobs: list[Job] = []
    for item, path in zip(found, short, strict=True):
        if shared[_key(path)] > 1:
            whole = item.relative.name
            path = item.relative.with_name(f"{whole}.png")
            number = 2
            while _key(path) in taken:
                path = item.relative.with_name(f"{whole}-{number}.png")
                number += 1
            taken.add(_key(path))
        jobs.append(Job(item.source, folder / path))
    return jobs


def _key(path: Path) -> str:
    """Names that some file systems hold for the same are the same here."""
    return str(path).casefold()


def _protect_inputs(jobs: Sequence[Job]) -> None:
    sources = {os.path.realpath(job.source) for job in jobs}
    for job in jobs:
        if os.path.realpath(job.target) in sources:
            raise JobError(f"-o: {job.target} is itself an input and would be overwritten")


def share(jobs: Sequence[Job], rank: int, world_size: int) -> list[Job]:
    """The jobs of one process among several: every job belongs to exactly one."""
    return list(jobs[rank::world_size])
