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
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chromagan.config import first_line
from chromagan.files import sha256_of
from chromagan.images import DEFAULT_MAX_PIXELS, ImageError, Metadata, Note, read_photo
from chromagan.images.metadata.provenance import MARK
from chromagan.images.pixels import to_bytes
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
    """A file on its way through; `deep` are its 16 bits where they are kept."""

    job: Job
    pixels: int
    started: float = 0.0
    sha256: str = ""
    image: NDArray[np.uint8] | None = None
    deep: NDArray[np.uint16] | None = None
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[Note, ...] = ()
    guides: Guides = field(default_factory=Guides)
    guides_record: dict[str, Any] = field(default_factory=dict)
    ab: NDArray[np.float32] | None = None


@dataclass
class _State:
    """What is where at the moment."""

    decoding: deque[tuple[_Item, Future[None]]] = field(default_factory=deque)
    decoded: list[_Item] = field(default_factory=list)
    writing: dict[Future[tuple[Note, ...]], _Item] = field(default_factory=dict)

    @property
    def pixels(self) -> int:
        parts = [item.pixels for item, _ in self.decoding]
        parts += [item.pixels for item in self.decoded]
        return sum(parts) + sum(item.pixels for item in self.writing.values())


def colorize_files(
    jobs: Sequence[Job], colorizer: ChromaGANColorizer, settings: Settings | None = None
) -> Iterator[Outcome]:
    """Colour every job; outcomes come as they happen, one per job, none of them an exception."""
    settings = settings or Settings()
    workers = max(2, min(os.cpu_count() or 2, 8))
    with ThreadPoolExecutor(workers) as readers, ThreadPoolExecutor(workers) as writers:
        state = _State()
        waiting = deque(jobs)
        try:
            while waiting or state.decoding or state.decoded or state.writing:
                yield from _admit(waiting, state, readers, settings, 2 * workers)
                yield from _collect(state, settings)
                full = len(state.decoded) >= settings.batch
                if state.decoded and (full or not state.decoding):
                    yield from _predict(state, colorizer, settings, writers)
                yield from _finish(state, block=not (state.decoding or state.decoded))
        finally:
            for _, decoder in state.decoding:  # an interrupt must not wait for what is queued
                decoder.cancel()
            for writer in state.writing:
                writer.cancel()


def _admit(
    waiting: deque[Job], state: _State, readers: ThreadPoolExecutor, settings: Settings, ahead: int
) -> Iterator[Outcome]:
    """Send files to the decoders while there are places and pixels left."""
    while waiting and len(state.decoding) < max(ahead, settings.batch):
        job = waiting[0]
        try:
            seen = glance(job.source, max_pixels=settings.max_pixels)
        except ImageError as error:
            waiting.popleft()
            yield Outcome(job, str(error))
            continue
        if seen.xmp is not None and MARK in seen.xmp:
            waiting.popleft()
            yield Outcome(job, skipped=f"{job.source}: left out, a result of this program")
            continue
        pixels = seen.size[0] * seen.size[1] * (_DEEP_COST if seen.deep else 1)
        in_flight = state.pixels
        if in_flight and in_flight + pixels > settings.pixel_budget:
            return
        waiting.popleft()
        item = _Item(job, pixels)
        state.decoding.append((item, readers.submit(_read, item, settings)))


def _read(item: _Item, settings: Settings) -> None:
    """Decode one file into its item."""
    item.started = time.perf_counter()
    try:
        item.guides, item.guides_record = settings.guides.of(item.job.source)
    except (GuideError, OSError) as error:
        raise ImageError(str(item.job.source), f"its guides cannot be used ({error})") from None
    keeps = item.job.target.suffix.lower() in DEEP_SUFFIXES and settings.bits != "8"
    photo = read_photo(
        item.job.source,
        max_pixels=settings.max_pixels,
        accept_damaged=settings.accept_damaged,
        deep=keeps,
        with_metadata=True,
    )
    pixels: NDArray[Any] = photo.pixels
    if keeps and settings.bits == "16" and pixels.dtype == np.uint8:
        pixels = pixels.astype(np.uint16) * np.uint16(257)
    if pixels.dtype == np.uint16:
        item.deep, item.image = pixels, to_bytes(pixels)
    else:
        item.image = pixels
    item.metadata, item.notes = photo.metadata, photo.notes
    if photo.deep and pixels.dtype == np.uint8 and settings.bits == "same":
        item.notes += (Note("eight_bits"),)
    try:
        item.sha256 = sha256_of(item.job.source)
    except OSError as error:
        raise ImageError(str(item.job.source), f"it cannot be read again ({error})") from None


def _collect(state: _State, settings: Settings) -> Iterator[Outcome]:
    """Wait for the oldest decoder, take what else is ready."""
    while state.decoding and len(state.decoded) < settings.batch:
        item, future = state.decoding.popleft()
        try:
            future.result()
            state.decoded.append(item)
        except ImageError as error:
            hint = _SALVAGE_HINT if error.salvageable else ""
            yield Outcome(item.job, str(error) + hint)
        if state.decoding and not state.decoding[0][1].done():
            return


def _predict(
    state: _State, colorizer: ChromaGANColorizer, settings: Settings, writers: ThreadPoolExecutor
) -> Iterator[Outcome]:
    batch, state.decoded = state.decoded, []
    for item in batch:
        assert item.image is not None
    try:
        answers = colorizer.predict_batch([i.image for i in batch if i.image is not None])
        for item, prediction in zip(batch, answers, strict=True):
            yield from _guide(item, prediction)
    except (MemoryError, RuntimeError) as error:  # torch reports a full accelerator as the latter
        yield from _predict_singly(batch, colorizer, error)
    for item in batch:
        if item.ab is not None:
            state.writing[writers.submit(_write, item, colorizer, settings)] = item


def _guide(item: _Item, prediction: Prediction) -> Iterator[Outcome]:
    try:
        item.ab = apply_guides(prediction, item.guides)
    except GuideError as error:
        yield Outcome(item.job, f"{item.job.source}: {error}")


def _predict_singly(
    batch: list[_Item], colorizer: ChromaGANColorizer, error: BaseException
) -> Iterator[Outcome]:
    """After a failed batch: one by one, so that only what really fails is lost."""
    for item in batch:
        try:
            if len(batch) == 1 or item.image is None:
                raise error
            yield from _guide(item, colorizer.predict(item.image))
        except (MemoryError, RuntimeError) as again:
            memory = isinstance(again, MemoryError)
            reason = "not enough memory" if memory else first_line(again)
            yield Outcome(item.job, f"{item.job.source}: the network failed ({reason})")


def _write(item: _Item, colorizer: ChromaGANColorizer, settings: Settings) -> tuple[Note, ...]:
    assert item.image is not None and item.ab is not None
    return finish(
        item.job,
        item.image if item.deep is None else item.deep,
        item.image,
        item.ab,
        item.metadata,
        item.sha256,
        colorizer,
        settings.products,
        saturation=settings.saturation,
        temperature=settings.temperature,
        guides_record=item.guides_record,
        notes=item.notes,
    )


def _finish(state: _State, *, block: bool) -> Iterator[Outcome]:
    """Report what has been written; with `block`, wait until something has."""
    if not state.writing:
        return
    wait(state.writing, timeout=None if block else 0, return_when=FIRST_COMPLETED)
    for future in [future for future in state.writing if future.done()]:
        item = state.writing.pop(future)
        job = item.job
        try:
            yield Outcome(
                job,
                notes=future.result(),
                seconds=time.perf_counter() - item.started,
                original_sha256=item.sha256,
                bits=8 if item.deep is None else 16,
            )
        except ImageError as error:
            yield Outcome(job, str(error))
        except MemoryError:
            yield Outcome(job, f"{job.source}: joining colours needs more memory than there is")
        except OSError as error:
            yield Outcome(job, f"{job.target}: the result cannot be written ({error.strerror})")
