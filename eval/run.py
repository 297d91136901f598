"""One evaluation run: which photographs and methods, what is done already, what came out."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tqdm import tqdm

import chromagan
from chromagan.images import ImageError
from eval.contestants import Contestant
from eval.evaluation import Row, Timing, evaluate
from eval.folder import RunFolder
from eval.perceptual import add_lpips, fid
from eval.photos import Photo, list_hash


@dataclass
class Run:
    """Everything one call evaluates, and what it found out on the way."""

    source: str
    photos: list[Photo]
    contestants: list[Contestant]
    folder: RunFolder
    seed: int = 0
    workers: int = 2
    device: str = "cpu"
    skipped: dict[str, str] = field(default_factory=dict)
    extras: list[str] = field(default_factory=list)
    excluded: dict[str, str] = field(default_factory=dict)
    timing: dict[str, Timing] = field(default_factory=dict)

    def execute(self) -> dict[str, list[Row]]:
        """Evaluate what the folder does not hold yet; rows of the images that every method has."""
        digests = self._digests()
        photos = [photo for photo in self.photos if photo.name in digests]
        done = {(row["method"], row["key"]): row for row in self.folder.rows()}
        for contestant in self.contestants:
            todo = [p for p in photos if not self._finished(contestant, p, done, digests)]
            self._evaluate(contestant, todo, len(photos))
        done = {(row["method"], row["key"]): row for row in self.folder.rows()}
        kept = [photo for photo in photos if photo.name not in self.excluded]
        return {c.name: [done[c.name, photo.key] for photo in kept] for c in self.contestants}

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
        contestant: Contestant,
        photo: Photo,
        done: dict[tuple[str, str], Row],
        digests: dict[str, str],
    ) -> bool:
        row = done.get((contestant.name, photo.key))
        return (
            row is not None
            and row.get("sha256") == digests[photo.name]
            and row["fingerprint"] == contestant.fingerprint(photo)
            and self.folder.picture(contestant.name, photo.key).is_file()
        )

    def _evaluate(self, contestant: Contestant, todo: Sequence[Photo], total: int) -> None:
        todo = [photo for photo in todo if photo.name not in self.excluded]
        with tqdm(
            total=total,
            initial=total - len(todo),
            desc=f"{contestant.name:>10}",
            unit="image",
            dynamic_ncols=True,
            disable=None,
        ) as bar:
            if todo:
                failed, timing = evaluate(
                    contestant, todo, self.folder, tick=bar.update, workers=self.workers
                )
                self.excluded.update(failed)
                if contestant.network:
                    self.timing[contestant.name] = timing

    def measure_extras(self, table: dict[str, list[Row]]) -> dict[str, dict[str, float | None]]:
        """The optional metrics: `lpips` into the rows, `fid` as `{method: {"fid": value}}`."""
        whole: dict[str, dict[str, float | None]] = {}
        for contestant in self.contestants:
            rows = table[contestant.name]
            if "lpips" in self.extras:
                add_lpips(self.folder, rows, contestant.luminance, self.device)
            if "fid" in self.extras:
                value = fid(self.folder, rows, contestant.luminance, self.device)
                whole[contestant.name] = {"fid": value}
        return whole

    def about(self, table: dict[str, list[Row]]) -> dict[str, Any]:
        """What `summary.json` says besides numbers."""
        rows = next(iter(table.values()), [])
        return {
            "versions": _versions(),
            "device": _device(self.device),
            "images": {
                "source": self.source,
                "count": len(rows),
                "list_hash": list_hash({row["image"]: row["sha256"] for row in rows}),
                "excluded": [
                    {"image": name, "reason": reason}
                    for name, reason in sorted(self.excluded.items())
                ],
            },
            "methods": {
                c.name: {
                    "description": c.description,
                    "weights": c.weights,
                    "weights_sha256": c.weights_sha256,
                    "luminance": c.luminance,
                }
                for c in self.contestants
            },
            "skipped": self.skipped,
            "timing": {
                name: {
                    "photos": t.photos,
                    "network_s": round(t.network, 3),
                    "wall_s": round(t.wall, 3),
                    "metrics_and_io_cpu_s": round(t.side_cpu, 3),
                    "added": round(t.added, 4),
                    "overhead": round(t.overhead, 4),
                }
                for name, t in self.timing.items()
            },
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
