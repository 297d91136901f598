"""A run folder: pictures and a journal of measured rows.

    results/NAME/
      journal.jsonl            one line per finished (method, image), appended as the run proceeds
      <method>/<key>.png       the colorized pictures, full size
      truth/<key><suffix>      the photographs themselves, byte for byte
      per_image.csv summary.json table.{md,tex,csv} *.png   written at the end, each in one step

A picture is on disk before its journal line; a line counts only when it is complete. So whatever
moment a run dies at, a second run finds whole results or none.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from chromagan.color import Rgb8
from chromagan.files import write_bytes
from chromagan.images import write_image
from eval.run.photos import PhotoFile, decode

JOURNAL = "journal.jsonl"
ImageScores = dict[str, Any]
"""One row: `method`, `image`, `key`, `sha256`, `fingerprint` and what was measured."""


class RunFolder:
    """Reading and appending the results of one run; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def picture(self, method: str, key: str) -> Path:
        """Where the picture of `key` by `method` is or will be."""
        return self.path / method / f"{key}.png"

    def truth(self, photo: PhotoFile) -> Path:
        """Where the copy of a photograph is or will be."""
        return self.path / "truth" / f"{photo.key}{photo.suffix}"

    def keep_truth(self, photo: PhotoFile, data: bytes) -> None:
        """Store a photograph's own bytes, unless they are there."""
        path = self.truth(photo)
        if not path.is_file() or path.read_bytes() != data:
            write_bytes(path, data)

    def keep_picture(self, method: str, key: str, picture: Rgb8) -> None:
        path = self.picture(method, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, picture)

    def read_truth(self, row: ImageScores) -> Rgb8:
        """The photograph of a row, from the copy. Raises ImageError, FileNotFoundError."""
        suffix = "." + str(row["image"]).rpartition(".")[2].lower()
        return _read(self.path / "truth" / f"{row['key']}{suffix}")

    def read_picture(self, row: ImageScores) -> Rgb8:
        """The picture of a row. Raises ImageError, FileNotFoundError."""
        return _read(self.picture(str(row["method"]), str(row["key"])))

    def rows(self) -> list[ImageScores]:
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

    def append(self, row: ImageScores) -> None:
        """Add one finished row; on disk before this returns."""
        line = json.dumps(row, ensure_ascii=False, allow_nan=True)
        with self._lock, (self.path / JOURNAL).open("a", encoding="utf-8") as file:
            # a leading newline ends whatever a killed run left half-written
            file.write(f"\n{line}" if file.tell() else line)
            file.flush()


def _read(path: Path) -> Rgb8:
    return decode(path.read_bytes(), str(path))
