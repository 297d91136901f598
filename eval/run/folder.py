"""A run folder: pictures and a journal of measured rows; what is measured of finished pictures.

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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chromagan.color import Rgb8, rgb8_to_lab
from chromagan.files import write_bytes
from chromagan.images import write_image
from chromagan.images.pixels import squash
from eval.measures import perceptual
from eval.measures.quality import rebuild
from eval.run.entries import Entry
from eval.run.photos import PhotoFile, decode

JOURNAL = "journal.jsonl"
ImageScores = dict[str, Any]
"""One row: `method`, `image`, `key`, `sha256`, `fingerprint` and what was measured."""
Table = Mapping[str, Sequence[ImageScores]]
"""Method -> rows of the same images in the same order."""


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
        path = self.path / "truth" / f"{row['key']}{suffix}"
        return decode(path.read_bytes(), str(path))

    def read_picture(self, row: ImageScores) -> Rgb8:
        """The picture of a row. Raises ImageError, FileNotFoundError."""
        path = self.picture(str(row["method"]), str(row["key"]))
        return decode(path.read_bytes(), str(path))

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


class Extras:
    """Metrics asked of the finished pictures (`--extra`).

    Networks are loaded at once, so that missing weights are told before anything runs.
    """

    def __init__(self, names: Sequence[str], device: str, lpips_weights: Path | None = None):
        perceptual.check_extras(names)
        if lpips_weights and "lpips_vgg" not in names:
            raise perceptual.ExtraError("--lpips-weights is for --extra lpips_vgg")
        self._device = device
        self._fid = "fid" in names
        if self._fid:
            perceptual.inception_weights()
        self._distances = {}
        if "lpips" in names:
            self._distances["lpips"] = perceptual.lpips_alex(device)
        if "lpips_vgg" in names:
            self._distances["lpips_vgg"] = perceptual.lpips_vgg(device, lpips_weights)

    def measure(
        self, folder: RunFolder, entries: Sequence[Entry], table: Table
    ) -> dict[str, dict[str, float | None]]:
        """LPIPS into the rows; returns what belongs to no single image, `{method: {"fid": …}}`."""
        whole = {}
        for entry in entries:
            rows = table[entry.name]
            if self._distances:
                for row, (truth, output) in zip(rows, _pairs(folder, rows, entry), strict=True):
                    row |= {name: f(truth, output) for name, f in self._distances.items()}
            if self._fid:
                value = perceptual.fid(_pairs(folder, rows, entry), self._device)
                whole[entry.name] = {"fid": value}
        return whole


def _pairs(
    folder: RunFolder, rows: Sequence[ImageScores], entry: Entry
) -> Iterator[tuple[Rgb8, Rgb8]]:
    """Truth and judged picture of every row at 256²."""
    for row in rows:
        truth = squash(folder.read_truth(row), perceptual.SIDE)
        output = squash(folder.read_picture(row), perceptual.SIDE)
        if entry.luminance == "true":
            output = rebuild(rgb8_to_lab(truth), rgb8_to_lab(output)[1:])
        yield truth, output
