"""Files written in one step, and a folder for what can be made again: measured choices, graphs.

Nothing in the cache folder may fail a colorization: a home that cannot be written, a damaged file
or a second process writing at the same time only means that the work is done again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then move it there in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically (UTF-8)."""

    def write(file: Path) -> None:
        file.write_text(text, encoding="utf-8")

    write_atomically(path, write)


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


def keep(name: str, content: bytes) -> None:
    """Store `content` under `name` if the folder can be written."""

    def write(file: Path) -> None:
        file.write_bytes(content)

    with contextlib.suppress(OSError):
        write_atomically(cache_folder() / name, write)


def kept(name: str) -> bytes | None:
    """What was stored under `name`, or None."""
    try:
        return (cache_folder() / name).read_bytes()
    except OSError:
        return None


def kept_table(name: str) -> dict[str, Any]:
    """A stored JSON object; empty where there is none or it is damaged."""
    try:
        table = json.loads(kept(name) or b"{}")
    except ValueError:
        return {}
    return table if isinstance(table, dict) else {}


def keep_in_table(name: str, key: str, value: Any) -> None:
    """Set one entry of a stored JSON object; the last of two writers wins, neither breaks it."""
    table = kept_table(name) | {key: value}
    keep(name, json.dumps(table, indent=1, sort_keys=True).encode())
