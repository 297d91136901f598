"""One evaluation run: what is done already, and the loop over the rest.

Reading, network and measuring overlap: the network runs in the calling thread, one thread decodes
ahead, a few measure, write pictures and append to the journal. At most a handful of photographs are
in memory, whatever the set's size.
"""

from __future__ import annotations

import hashlib
import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from tqdm import tqdm

import chromagan
from chromagan.color import Rgb8
from chromagan.images import ImageError
from eval.measures.protocol import measure
from eval.run.entries import Entry
from eval.run.folder import ImageScores, RunFolder, Table
from eval.run.photos import PhotoFile, decode, list_hash

T = TypeVar("T")
_AHEAD = 6


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
        import torch

        rows = next(iter(table.values()), [])
        threads = f" ({torch.get_num_threads()} threads)" if self.device == "cpu" else ""
        left_out = [{"image": name, "reason": why} for name, why in sorted(self.excluded.items())]
        return {
            "versions": _versions(),
            "device": f"{self.device}{threads}",
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
            "timing": {name: timing.as_dict() for name, timing in self.timing.items()},
        }


def _versions() -> dict[str, str]:
    found = {"chromagan": chromagan.__version__, "python": platform.python_version()}
    for package in ("torch", "numpy", "scipy", "pillow"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@dataclass
class Timing:
    """Where the time of a run went, in seconds; `side_cpu` counts processor time of the threads."""

    photos: int = 0
    network: float = 0.0
    wall: float = 0.0
    side_cpu: float = 0.0
    all_cpu: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def side(self) -> Iterator[None]:
        """Count what runs inside as metrics and I/O of this thread."""
        start = time.thread_time()
        try:
            yield
        finally:
            with self._lock:
                self.side_cpu += time.thread_time() - start

    @property
    def added(self) -> float:
        """What metrics and I/O added to the network's own time, overlap taken into account."""
        return self.wall / self.network - 1 if self.network > 0 else 0.0

    @property
    def overhead(self) -> float:
        """Processor time of metrics and I/O over that of everything else (the network)."""
        network = self.all_cpu - self.side_cpu
        return self.side_cpu / network if network > 0 else 0.0

    def as_dict(self) -> dict[str, float]:
        """For `summary.json`."""
        return {
            "photos": self.photos,
            "network_s": round(self.network, 3),
            "wall_s": round(self.wall, 3),
            "metrics_and_io_cpu_s": round(self.side_cpu, 3),
            "added": round(self.added, 4),
            "overhead": round(self.overhead, 4),
        }


def evaluate(
    entry: Entry,
    photos: Sequence[PhotoFile],
    folder: RunFolder,
    *,
    tick: Callable[[], object],
    workers: int = 2,
) -> tuple[dict[str, str], Timing]:
    """Colorize and measure `photos`; rows go to the folder's journal.

    Returns what failed (photo name -> reason) and the timing. `tick` is called once per photograph.
    """
    colorize = entry.load()
    failed: dict[str, str] = {}
    timing = Timing()
    began, began_cpu = time.perf_counter(), time.process_time()

    def read(photo: PhotoFile) -> tuple[Rgb8, str]:
        with timing.side():
            data = photo.data()
            truth = decode(data, photo.name)
            folder.keep_truth(photo, data)
            return truth, hashlib.sha256(data).hexdigest()

    def finish(photo: PhotoFile, truth: Rgb8, sha256: str, output: Rgb8, seconds: float) -> None:
        with timing.side():
            numbers = measure(truth, output, entry.luminance)
            folder.keep_picture(entry.name, photo.key, output)
            row = {
                "method": entry.name,
                "image": photo.name,
                "key": photo.key,
                "width": truth.shape[1],
                "height": truth.shape[0],
                "seconds": round(seconds, 5),
                **numbers,
                "sha256": sha256,
                "fingerprint": entry.fingerprint(photo),
            }
            folder.append(row)

    def collect(name: str, future: Future[None]) -> None:
        try:
            future.result()
        except (ValueError, OSError) as error:
            failed[name] = _reason(error)
        tick()

    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(workers) as measurer:
        pending: deque[tuple[str, Future[None]]] = deque()
        for photo, future in _ahead(reader, read, photos):
            try:
                truth, sha256 = future.result()
                started = time.perf_counter()
                output = colorize(photo, truth)
                seconds = time.perf_counter() - started
            except (ValueError, RuntimeError, OSError) as error:
                failed[photo.name] = _reason(error)
                tick()
                continue
            timing.photos += 1
            timing.network += seconds
            done = measurer.submit(finish, photo, truth, sha256, output, seconds)
            pending.append((photo.name, done))
            while len(pending) > _AHEAD:
                collect(*pending.popleft())
        while pending:
            collect(*pending.popleft())
    timing.wall = time.perf_counter() - began
    timing.all_cpu = time.process_time() - began_cpu
    return failed, timing


def _ahead(
    reader: ThreadPoolExecutor, read: Callable[[PhotoFile], T], photos: Sequence[PhotoFile]
) -> Iterator[tuple[PhotoFile, Future[T]]]:
    """Photographs in order with their futures, never more than a few decoded ahead."""
    queue: deque[tuple[PhotoFile, Future[T]]] = deque()
    for photo in photos:
        queue.append((photo, reader.submit(read, photo)))
        if len(queue) > _AHEAD:
            yield queue.popleft()
    while queue:
        yield queue.popleft()


def _reason(error: Exception) -> str:
    if isinstance(error, ImageError):
        return error.reason
    return " ".join(str(error).split())[:300] or type(error).__name__
