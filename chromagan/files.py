"""Files written in one step, and a folder for what can be made again: measured choices, graphs.

Nothing in the cache folder may fail a colorization: a home that cannot be written, a damaged file
or a second process writing at the same time only means that the work is done again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import secrets
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

_PART_NAME_BYTES = 120
_PART_MARK = re.compile(r"\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.part(\.\w+)?$")


@contextlib.contextmanager
def complete_file(path: Path) -> Iterator[BinaryIO]:
    """A stream whose content appears under `path` when the block ends well, else nowhere."""
    with _part(path) as part, part.open("r+b") as stream:
        yield stream


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then move it there in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _part(path) as part:
        write(part)


@contextlib.contextmanager
def _part(path: Path) -> Iterator[Path]:
    part = part_of(path)
    try:
        part.touch(exist_ok=False)
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """A hidden name beside `path` for what is not complete yet: machine, process and a number.

    File systems count a name's bytes, not its characters: the longest legal name still has one.
    """
    name = os.fsencode(path.name)[:_PART_NAME_BYTES].decode("utf-8", "ignore")
    mark = f"{_machine():08x}-{os.getpid()}-{secrets.token_hex(4)}"
    return path.with_name(f".{name}.{mark}.part")


def remove_parts(folder: Path) -> int:
    """Delete what killed processes of this machine left unfinished in a folder; returns how many.

    Another machine's, or those of a process that still runs, stay.
    """
    removed = 0
    for part in folder.glob(".*.part*"):
        mark = _PART_MARK.search(part.name)
        if mark and int(mark[1], 16) == _machine() and not _runs(int(mark[2])):
            part.unlink(missing_ok=True)
            removed += 1
    return removed


def _machine() -> int:
    return zlib.crc32(platform.node().encode())


def _runs(process: int) -> bool:
    if os.name != "posix":  # there the same call would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    write_atomically(path, lambda file: file.write_bytes(content))


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically (UTF-8)."""
    write_bytes(path, text.encode())


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """`$CHROMAGAN_CACHE`, or `$XDG_CACHE_HOME/chromagan`, or `~/.cache/chromagan`."""
    chosen = os.environ.get("CHROMAGAN_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "chromagan"
    except RuntimeError:  # no home at all
        return Path(os.devnull) / "chromagan"


def kept_table(name: str) -> dict[str, Any]:
    """A JSON object in the cache folder; empty where there is none or it is damaged."""
    try:
        table = json.loads((cache_folder() / name).read_bytes())
    except (OSError, ValueError):
        return {}
    return table if isinstance(table, dict) else {}


def keep_in_table(name: str, key: str, value: Any) -> None:
    """Set an entry of such an object if the folder can be written.

    The last of two writers wins, neither breaks it.
    """
    text = json.dumps(kept_table(name) | {key: value}, indent=1, sort_keys=True)
    with contextlib.suppress(OSError):
        write_text(cache_folder() / name, text)
