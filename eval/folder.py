"""A run folder: pictures, a journal of measured rows, and atomic writing of everything.

    results/NAME/
      journal.jsonl            one line per finished (method, image), appended as the run proceeds
      <method>/<key>.png       the colorized pictures, full size
      truth/<key><suffix>      the photographs themselves, byte for byte
      per_image.csv summary.json table.{md,tex,csv} *.png   written at the end, each in one step

A picture is on disk before its journal line; a line counts only when it is complete. So whatever
moment a run dies at, a second run finds whole results or none.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from chromagan.images.png import write_png

JOURNAL = "journal.jsonl"


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file in one step: a temporary file beside it, then `os.replace`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """`write_bytes` for UTF-8 text."""
    write_bytes(path, text.encode())


def write_picture(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """Lossless PNG in one step."""
    buffer = io.BytesIO()
    write_png(buffer, image)
    write_bytes(path, buffer.getvalue())


class RunFolder:
    """Reading and appending the results of one run; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def create(self) -> None:
        """Make the folder. Raises OSError where that is impossible."""
        self.path.mkdir(parents=True, exist_ok=True)

    def picture(self, method: str, key: str) -> Path:
        """Where the picture of `key` by `method` is or will be."""
        return self.path / method / f"{key}.png"

    def rows(self) -> list[dict[str, Any]]:
        """The journal's complete lines, oldest first; a torn last line is left out."""
        try:
            text = (self.path / JOURNAL).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        rows = []
        for line in text.split("\n"):
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and {"method", "key", "fingerprint"} <= row.keys():
                rows.append(row)
        return rows

    def append(self, row: dict[str, Any]) -> None:
        """Add one finished row; on disk before this returns."""
        line = json.dumps(row, ensure_ascii=False, allow_nan=True)
        with self._lock, (self.path / JOURNAL).open("a", encoding="utf-8") as file:
            # a leading newline ends whatever a killed run left half-written
            file.write(f"\n{line}" if file.tell() else line)
            file.flush()
