"""Many files through one colorizer: decoding, network and encoding overlap, memory is bounded.

One thread admits files, collects batches and runs the network; pools decode ahead of it and join,
encode and write behind it. The pixels between admission and writing never exceed a budget, except
that one image, however large, is always let through.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chromagan.config import first_line
from chromagan.files import sha256_of
from chromagan.images import DEFAULT_MAX_PIXELS, ImageError, Note, Photo, read_photo
from chromagan.images.metadata.provenance import MARK
from chromagan.images.reading import glance
from chromagan.images.writing import DEEP_SUFFIXES
from chromagan.inference.colorizer import ChromaGANColorizer
from chromagan.inference.guides import GuideError, Guides
from chromagan.inference.guides.guidance import apply_guides
from chromagan.inference.guides.points import GuideSource
from chromagan.inference.jobs import Job
from chromagan.inference.prediction import Prediction
from chromagan.inference.products import Products, finish

PIXEL_BUDGET = 48_000_000
"""Pixels in flight at once; each costs about seven bytes while decoded or encoded."""
_SALVAGE_HINT = "; --accept-damaged colours what is left of it"
_DEEP_COST = 2  # so many times the bytes of an 8-bit pixel


@dataclass(frozen=True)
class Outcome:
    """What became of one job.

    `error`: why there is no result. `skipped`: why none was wanted. Both None: the result is on
    disk. `notes`: what its owner should know. `seconds`: from reading to writing.
    """

    job: Job
    error: str | None = None
    skipped: str | None = None
    notes: tuple[Note, ...] = ()
    seconds: float | None = None
    original_sha256: str = ""
    bits: int = 8


@dataclass(frozen=True)
class Settings:
    """How the pipeline runs and how colours are joined; `products` says what is written.

    `bits`: `same` keeps 16 bits where input and format have them, `8` and `16` are themselves.
    """

    batch: int = 8
    max_pixels: int = DEFAULT_MAX_PIXELS
    saturation: float = 1.0
    temperature: float = 0.0
    pixel_budget: int = PIXEL_BUDGET
    accept_damaged: bool = False
    bits: str = "same"
    products: Products = field(default_factory=Products)
    guides: GuideSource = field(default_factory=GuideSource)


@dataclass
class _Item:
    """A decoded file on its way through: `photo` at the depth of its result, `image` at 8 bits."""

    job: Job
    pixels: int
    started: float
    sha256: str
    photo: Photo
    image: NDArray[np.uint8]
    guides: Guides
    guides_record: dict[str, Any]
    ab: NDArray[np.float32] | None = None


def colorize_files(
    jobs: Sequence[Job], colorizer: ChromaGANColorizer, settings: Settings | None = None
) -> Iterator[Outcome]:
    """Colour every job; outcomes come as they happen, one per job, none of them an exception."""
    workers = max(2, min(os.cpu_count() or 2, 8))
    with ThreadPoolExecutor(workers) as readers, ThreadPoolExecutor(workers) as writers:
        line = _Line(jobs, colorizer, settings or Settings(), readers, writers)
        try:
            yield from line.run(ahead=2 * workers)
        finally:
            line.cancel()


class _Line:
    """What is where at the moment: files wait, are decoded, coloured and written."""

    def __init__(
        self,
        jobs: Sequence[Job],
        colorizer: ChromaGANColorizer,
        settings: Settings,
        readers: ThreadPoolExecutor,
        writers: ThreadPoolExecutor,
    ) -> None:
        self._colorizer, self._settings = colorizer, settings
        self._readers, self._writers = readers, writers
        self._waiting = deque(jobs)
        self._decoding: deque[tuple[Job, int, Future[_Item]]] = deque()
        self._decoded: list[_Item] = []
        self._writing: dict[Future[tuple[Note, ...]], _Item] = {}

    def run(self, ahead: int) -> Iterator[Outcome]:
        """Go on until everything is written; at most `ahead` files are decoded beyond a batch."""
        while self._waiting or self._decoding or self._decoded or self._writing:
            yield from self._admit(max(ahead, self._settings.batch))
            yield from self._collect()
            full = len(self._decoded) >= self._settings.batch
            if self._decoded and (full or not self._decoding):
                yield from self._predict()
            yield from self._finish(block=not (self._decoding or self._decoded))

    def cancel(self) -> None:
        """Forget what is queued: an interrupt must not wait for it."""
        for _, _, decoder in self._decoding:
            decoder.cancel()
        for writer in self._writing:
            writer.cancel()

    def _admit(self, places: int) -> Iterator[Outcome]:
        """Send files to the decoders while there are places and pixels left."""
        while self._waiting and len(self._decoding) < places:
            job = self._waiting[0]
            try:
                seen = glance(job.source, max_pixels=self._settings.max_pixels)
            except ImageError as error:
                self._waiting.popleft()
                yield Outcome(job, str(error))
                continue
            if seen.xmp is not None and MARK in seen.xmp:
                self._waiting.popleft()
                yield Outcome(job, skipped=f"{job.source}: left out, a result of this program")
                continue
            pixels = seen.size[0] * seen.size[1] * (_DEEP_COST if seen.deep else 1)
            in_flight = self._pixels_in_flight()
            if in_flight and in_flight + pixels > self._settings.pixel_budget:
                return
            self._waiting.popleft()
            future = self._readers.submit(_read, job, pixels, self._settings)
            self._decoding.append((job, pixels, future))

    def _pixels_in_flight(self) -> int:
        decoding = sum(pixels for _, pixels, _ in self._decoding)
        return decoding + sum(i.pixels for i in (*self._decoded, *self._writing.values()))

    def _collect(self) -> Iterator[Outcome]:
        """Wait for the oldest decoder, take what else is ready."""
        while self._decoding and len(self._decoded) < self._settings.batch:
            job, _, future = self._decoding.popleft()
            try:
                self._decoded.append(future.result())
            except ImageError as error:
                yield Outcome(job, f"{error}{_SALVAGE_HINT if error.salvageable else ''}")
            if self._decoding and not self._decoding[0][2].done():
                return

    def _predict(self) -> Iterator[Outcome]:
        batch, self._decoded = self._decoded, []
        try:
            answers = self._colorizer.predict_batch([item.image for item in batch])
            for item, prediction in zip(batch, answers, strict=True):
                yield from _guide(item, prediction)
        except (MemoryError, RuntimeError) as error:  # torch reports a full accelerator as such
            yield from self._predict_singly(batch, error)
        for item in batch:
            if item.ab is not None:
                self._writing[self._writers.submit(self._write, item, item.ab)] = item

    def _predict_singly(self, batch: list[_Item], error: BaseException) -> Iterator[Outcome]:
        """After a failed batch: one by one, so that only what really fails is lost."""
        for item in batch:
            try:
                if len(batch) == 1:
                    raise error
                yield from _guide(item, self._colorizer.predict(item.image))
            except (MemoryError, RuntimeError) as again:
                memory = isinstance(again, MemoryError)
                reason = "not enough memory" if memory else first_line(again)
                yield Outcome(item.job, f"{item.job.source}: the network failed ({reason})")

    def _write(self, item: _Item, ab: NDArray[np.float32]) -> tuple[Note, ...]:
        return finish(
            item.job,
            item.photo,
            item.image,
            ab,
            item.sha256,
            self._colorizer,
            self._settings.products,
            saturation=self._settings.saturation,
            temperature=self._settings.temperature,
            guides_record=item.guides_record,
        )

    def _finish(self, *, block: bool) -> Iterator[Outcome]:
        """Report what has been written; with `block`, wait until something has."""
        if not self._writing:
            return
        wait(self._writing, timeout=None if block else 0, return_when=FIRST_COMPLETED)
        for future in [future for future in self._writing if future.done()]:
            item = self._writing.pop(future)
            job = item.job
            try:
                yield Outcome(
                    job,
                    notes=future.result(),
                    seconds=time.perf_counter() - item.started,
                    original_sha256=item.sha256,
                    bits=8 * item.photo.pixels.itemsize,
                )
            except ImageError as error:
                yield Outcome(job, str(error))
            except MemoryError:
                yield Outcome(job, f"{job.source}: joining colours needs more memory than there is")
            except OSError as error:
                reason = f"the result cannot be written ({error.strerror})"
                yield Outcome(job, f"{job.target}: {reason}")


def _read(job: Job, pixels: int, settings: Settings) -> _Item:
    """Decode one file."""
    started, source = time.perf_counter(), job.source
    try:
        guides, record = settings.guides.of(source)
    except (GuideError, OSError) as error:
        raise ImageError(str(source), f"its guides cannot be used ({error})") from None
    keeps = job.target.suffix.lower() in DEEP_SUFFIXES and settings.bits != "8"
    photo = read_photo(
        source,
        max_pixels=settings.max_pixels,
        accept_damaged=settings.accept_damaged,
        deep=keeps,
        with_metadata=True,
    )
    if keeps and settings.bits == "16" and photo.pixels.dtype == np.uint8:
        photo = replace(photo, pixels=photo.pixels.astype(np.uint16) * np.uint16(257))
    if photo.deep and photo.pixels.dtype == np.uint8 and settings.bits == "same":
        photo = replace(photo, notes=(*photo.notes, Note("eight_bits")))
    try:
        sha256 = sha256_of(source)
    except OSError as error:
        raise ImageError(str(source), f"it cannot be read again ({error})") from None
    return _Item(job, pixels, started, sha256, photo, photo.eight_bits, guides, record)


def _guide(item: _Item, prediction: Prediction) -> Iterator[Outcome]:
    try:
        item.ab = apply_guides(prediction, item.guides)
    except GuideError as error:
        yield Outcome(item.job, f"{item.job.source}: {error}")
