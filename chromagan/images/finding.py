"""Which files are meant: folders walked once, patterns that may hold brackets.

The command line, the trainer and the evaluation find their photographs here, by the same rules.
"""

from __future__ import annotations

import glob
import os
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from chromagan.images.kinds import IMAGE_SUFFIXES, SNIFF_BYTES, kind_of, other_kind


@dataclass(frozen=True)
class Survey:
    """What a folder holds: images, sorted, and every other file with the reason it is left out.

    Hidden files and folders (`.name`, so macOS's `._name` too) are in neither.
    """

    images: list[Path]
    left_out: list[tuple[Path, str]]


def find_images(folder: str | Path) -> list[Path]:
    """Every image below `folder`, sorted; see `survey`."""
    return survey(folder).images


def survey(folder: str | Path) -> Survey:
    """Walk a folder. A name with an image suffix is an image unopened; of others the content tells.

    Links are followed, but every place (by device and inode) is visited once, its own name first:
    loops end, and a file that is linked to as well is there once.
    """
    files, links, left_out = _walk(Path(folder))
    seen = {_identity(path) for path in files} if links else set()
    for path in links:
        identity = _identity(path)
        if identity is None:
            left_out.append((path, "a link that leads nowhere"))
        elif identity not in seen:
            seen.add(identity)
            files.append(path)
    images: list[Path] = []
    for path in files:
        reason = None if path.suffix.lower() in IMAGE_SUFFIXES else _why_not(path)
        if reason is None:
            images.append(path)
        else:
            left_out.append((path, reason))
    return Survey(sorted(images), sorted(left_out))


def _walk(folder: Path) -> tuple[list[Path], list[Path], list[tuple[Path, str]]]:
    """(files, links to files, folders that could not be read); folders' own places come first."""
    files: list[Path] = []
    links: list[Path] = []
    failed: list[tuple[Path, str]] = []
    places, linked = deque([folder]), deque[Path]()
    visited: set[tuple[int, int] | None] = set()
    while places or linked:
        place = places.popleft() if places else linked.popleft()
        identity = _identity(place)
        if identity in visited:
            continue
        visited.add(identity)
        try:
            with os.scandir(place) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.name.startswith("."):
                        continue
                    path = Path(entry.path)
                    if entry.is_dir():
                        (linked if entry.is_symlink() else places).append(path)
                    else:
                        (links if entry.is_symlink() else files).append(path)
        except OSError as error:
            failed.append((place, f"a folder that cannot be read ({error.strerror})"))
    return files, links, failed


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _why_not(path: Path) -> str | None:
    """Why a file without an image's name is no image; None where its content says that it is."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            return "no regular file"
        with path.open("rb") as file:
            head = file.read(SNIFF_BYTES)
    except OSError as error:
        return f"a file that cannot be opened ({error.strerror})"
    return None if kind_of(head) is not None else other_kind(head)


def expand(pattern: str) -> list[Path]:
    """What a name or pattern on the command line means, sorted.

    An existing name is itself, whatever characters it has. In a pattern, the part that exists is
    literal: `album [1940]/*.jpg` looks into that folder.
    """
    if os.path.lexists(pattern):
        return [Path(pattern)]
    parts = Path(pattern).parts
    known = len(parts)
    while known and not os.path.lexists(Path(*parts[:known])):
        known -= 1
    literal = [glob.escape(part) for part in parts[:known]]
    escaped = str(Path(*literal, *parts[known:])) if parts else pattern
    return sorted(Path(match) for match in glob.glob(escaped, recursive=True))


def summary_of(left_out: Iterable[tuple[Path, str]]) -> list[str]:
    """One line per reason: how many files, and the first of them."""
    groups: dict[str, list[Path]] = {}
    for path, reason in left_out:
        groups.setdefault(reason, []).append(path)
    lines = []
    for reason, paths in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        lines.append(f"{paths[0]}{more}: left out, {reason}")
    return lines
