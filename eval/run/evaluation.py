"""One method over all photographs: reading, network and measuring overlap, finished rows last.

The network runs in the calling thread. One thread decodes ahead; a few measure, write pictures and
append to the journal. At most a handful of photographs are in memory, whatever the set's size.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from chromagan.color import Rgb8
from chromagan.images import ImageError
from eval.measures.protocol import measure
from eval.run.entries import Entry
from eval.run.folder import ImageScores, RunFolder
from eval.run.photos import PhotoFile, decode

_AHEAD = 6


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


@dataclass(frozen=True)
class Loaded:
    """A decoded photograph with the hash of its file."""

    photo: PhotoFile
    truth: Rgb8
    sha256: str


def load(photo: PhotoFile, folder: RunFolder) -> Loaded:
    """Read, decode, and keep the file in the run folder's `truth/`. Raises ImageError."""
    data = photo.data()
    truth = decode(data, photo.name)
    folder.keep_truth(photo, data)
    return Loaded(photo, truth, hashlib.sha256(data).hexdigest())


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

    def read(photo: PhotoFile) -> Loaded:
        with timing.side():
            return load(photo, folder)

    def finish(loaded: Loaded, output: Rgb8, seconds: float) -> None:
        with timing.side():
            folder.append(_row(entry, loaded, output, seconds, folder))

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
                loaded = future.result()
                started = time.perf_counter()
                output = colorize(photo, loaded.truth)
                seconds = time.perf_counter() - started
            except (ValueError, RuntimeError, OSError) as error:
                failed[photo.name] = _reason(error)
                tick()
                continue
            timing.photos += 1
            timing.network += seconds
            pending.append((photo.name, measurer.submit(finish, loaded, output, seconds)))
            while len(pending) > _AHEAD:
                collect(*pending.popleft())
        while pending:
            collect(*pending.popleft())
    timing.wall = time.perf_counter() - began
    timing.all_cpu = time.process_time() - began_cpu
    return failed, timing


def _ahead(
    reader: ThreadPoolExecutor, read: Callable[[PhotoFile], Loaded], photos: Sequence[PhotoFile]
) -> Iterator[tuple[PhotoFile, Future[Loaded]]]:
    """Photographs in order with their futures, never more than a few decoded ahead."""
    queue: deque[tuple[PhotoFile, Future[Loaded]]] = deque()
    for photo in photos:
        queue.append((photo, reader.submit(read, photo)))
        if len(queue) > _AHEAD:
            yield queue.popleft()
    while queue:
        yield queue.popleft()


def _row(
    entry: Entry, loaded: Loaded, output: Rgb8, seconds: float, folder: RunFolder
) -> ImageScores:
    photo, (height, width) = loaded.photo, loaded.truth.shape[:2]
    numbers = measure(loaded.truth, output, entry.luminance)
    folder.keep_picture(entry.name, photo.key, output)
    return {
        "method": entry.name,
        "image": photo.name,
        "key": photo.key,
        "width": width,
        "height": height,
        "seconds": round(seconds, 5),
        **numbers,
        "sha256": loaded.sha256,
        "fingerprint": entry.fingerprint(photo),
    }


def _reason(error: Exception) -> str:
    if isinstance(error, ImageError):
        return error.reason
    return " ".join(str(error).split())[:300] or type(error).__name__
