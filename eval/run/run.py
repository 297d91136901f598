"""One evaluation run: which photographs and methods, what is done already, what came out."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tqdm import tqdm

import chromagan
from chromagan.images import ImageError
from eval.run.entries import Entry
from eval.run.evaluation import Timing, evaluate
from eval.run.folder import ImageScores, RunFolder
from eval.run.photos import PhotoFile, list_hash

Table = Mapping[str, Sequence[ImageScores]]
"""Method -> rows of the same images in the same order."""


@dataclass
class Run:
    """Everything one call evaluates, and what it found out on the way."""

    source: str
    photos: list[PhotoFile]
    entries: list[Entry]
    folder: RunFolder
    seed: int = 0
    workers: int = 2
    device: str = "cpu"
    skipped: dict[str, str] = field(default_factory=dict)
    excluded: dict[str, str] = field(default_factory=dict)
    timing: dict[str, Timing] = field(default_factory=dict)

    def execute(self) -> dict[str, list[ImageScores]]:
        """Evaluate what the folder does not hold yet; rows of the images that every method has."""
        self.folder.path.mkdir(parents=True, exist_ok=True)
        digests = self._digests()
        photos = [photo for photo in self.photos if photo.name in digests]
        done = self._rows()
        for entry in self.entries:
            todo = [p for p in photos if not self._finished(entry, p, done, digests)]
            self._evaluate(entry, todo, len(photos))
        done = self._rows()
        kept = [photo for photo in photos if photo.name not in self.excluded]
        return {e.name: [done[e.name, photo.key] for photo in kept] for e in self.entries}

    def _rows(self) -> dict[tuple[str, str], ImageScores]:
        return {(row["method"], row["key"]): row for row in self.folder.rows()}

    def _digests(self) -> dict[str, str]:
        digests = {}
        for photo in self.photos:
            try:
                digests[photo.name] = hashlib.sha256(photo.data()).hexdigest()
            except ImageError as error:
                self.excluded[photo.name] = error.reason
        return digests

    def _finished(
        self,
        entry: Entry,
        photo: PhotoFile,
        done: dict[tuple[str, str], ImageScores],
        digests: dict[str, str],
    ) -> bool:
        row = done.get((entry.name, photo.key))
        return (
            row is not None
            and row.get("sha256") == digests[photo.name]
            and row["fingerprint"] == entry.fingerprint(photo)
            and self.folder.picture(entry.name, photo.key).is_file()
            and self.folder.truth(photo).is_file()
        )

    def _evaluate(self, entry: Entry, todo: Sequence[PhotoFile], total: int) -> None:
        todo = [photo for photo in todo if photo.name not in self.excluded]
        with tqdm(
            total=total,
            initial=total - len(todo),
            desc=f"{entry.name:>10}",
            unit="image",
            dynamic_ncols=True,
            disable=None,
        ) as bar:
            if todo:
                failed, timing = evaluate(
                    entry, todo, self.folder, tick=bar.update, workers=self.workers
                )
                self.excluded.update(failed)
                if entry.network:
                    self.timing[entry.name] = timing

    def about(self, table: Table) -> dict[str, Any]:
        """What `summary.json` says besides numbers."""
        rows = next(iter(table.values()), [])
        left_out = [{"image": name, "reason": why} for name, why in sorted(self.excluded.items())]
        return {
            "versions": _versions(),
            "device": _device(self.device),
            "images": {
                "source": self.source,
                "count": len(rows),
                "list_hash": list_hash({row["image"]: row["sha256"] for row in rows}),
                "excluded": left_out,
            },
            "methods": {
                e.name: {
                    "description": e.description,
                    "weights": e.weights,
                    "weights_sha256": e.weights_sha256,
                    "luminance": e.luminance,
                }
                for e in self.entries
            },
            "skipped": self.skipped,
            "timing": {name: _seconds(timing) for name, timing in self.timing.items()},
        }


def _seconds(timing: Timing) -> dict[str, float]:
    return {
        "photos": timing.photos,
        "network_s": round(timing.network, 3),
        "wall_s": round(timing.wall, 3),
        "metrics_and_io_cpu_s": round(timing.side_cpu, 3),
        "added": round(timing.added, 4),
        "overhead": round(timing.overhead, 4),
    }


def _device(device: str) -> str:
    """The device, for the processor with the threads that torch uses."""
    import torch

    return f"cpu ({torch.get_num_threads()} threads)" if device == "cpu" else device


def _versions() -> dict[str, str]:
    found = {"chromagan": chromagan.__version__, "python": platform.python_version()}
    for package in ("torch", "numpy", "scipy", "pillow"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
