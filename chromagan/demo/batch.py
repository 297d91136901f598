"""Many photos: results as they come, one ZIP at the end; a bad file is named and left out."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from chromagan.demo import outputs
from chromagan.demo.limits import Limits
from chromagan.demo.networks import Networks
from chromagan.demo.photos import resized, safe_stem
from chromagan.demo.pictures import Look
from chromagan.demo.texts import Messages
from chromagan.images import ImageError, image_size, read_image
from chromagan.inference.recolour import recolour

_THUMB_SIDE = 640


@dataclass
class Stop:
    """A visitor's wish to end a running batch after the current photo."""

    requested: bool = False


@dataclass(frozen=True)
class Progress:
    """Where a batch stands.

    results: (preview file, caption) in input order. failures: (file name, reason). left: estimated
    seconds to go, None before the first photo is done. zip: path, once everything is finished.
    """

    total: int
    results: tuple[tuple[str, str], ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    current: str = ""
    seconds: float = 0.0
    left: float | None = None
    stopped: bool = False
    zip: str | None = None

    @property
    def handled(self) -> int:
        return len(self.results) + len(self.failures)


@dataclass
class _Archive:
    """The ZIP being written; PNGs are compressed already, so they are stored."""

    path: Path
    names: set[str] = field(default_factory=set)

    def add(self, file: str, stem: str) -> str:
        name = f"{stem}-colorized.png"
        number = 2
        while name in self.names:
            name = f"{stem}-{number}-colorized.png"
            number += 1
        self.names.add(name)
        with zipfile.ZipFile(self._part, "a", zipfile.ZIP_STORED) as archive:
            archive.write(file, name)
        return name

    def close(self, failures: tuple[tuple[str, str], ...]) -> str:
        lines = [outputs.DESCRIPTION, ""]
        lines += [f"{name}: {reason}" for name, reason in failures]
        with zipfile.ZipFile(self._part, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("README.txt", "\n".join(lines).strip() + "\n")
        os.replace(self._part, self.path)
        return str(self.path)

    @property
    def _part(self) -> Path:
        return self.path.with_name(self.path.name + ".part")


def colorize_all(
    paths: list[str],
    networks: Networks,
    limits: Limits,
    messages: Messages,
    *,
    network: str | None = None,
    look: Look | None = None,
    stop: Stop | None = None,
) -> Iterator[Progress]:
    """Work through the files, yielding after each; the last `Progress` carries the ZIP."""
    look = look or Look()
    started = time.perf_counter()
    state = Progress(total=len(paths))
    archive = _Archive(outputs.new_path("colorized.zip"))
    pixels = 0
    for index, path in enumerate(paths):
        if stop is not None and stop.requested:
            state = replace(state, stopped=True)
            break
        yield replace(state, current=Path(path).name)
        try:
            pixels += _admit(path, index, pixels, limits, messages)
            result = _one(path, networks, limits, network, look, archive)
            state = replace(state, results=(*state.results, result))
        except ImageError as error:
            failure = (Path(path).name, error.reason)
            state = replace(state, failures=(*state.failures, failure))
        spent = time.perf_counter() - started
        remaining = spent / state.handled * (len(paths) - state.handled)
        state = replace(state, seconds=spent, left=remaining)
    path_of_zip = archive.close(state.failures) if state.results else None
    yield replace(state, seconds=time.perf_counter() - started, left=0.0, zip=path_of_zip)


def _admit(path: str, index: int, pixels: int, limits: Limits, messages: Messages) -> int:
    """The file's pixels from its header; `ImageError` where it breaks a limit of the batch."""
    if index >= limits.batch_files:
        raise ImageError(path, messages.batch_too_many.format(limit=limits.batch_files))
    width, height = image_size(path, max_pixels=limits.max_pixels)
    if pixels + width * height > limits.batch_megapixels * 1_000_000:
        raise ImageError(path, messages.batch_too_large.format(limit=limits.batch_megapixels))
    return width * height


def _one(
    path: str,
    networks: Networks,
    limits: Limits,
    network: str | None,
    look: Look,
    archive: _Archive,
) -> tuple[str, str]:
    image = read_image(path, max_pixels=limits.max_pixels)
    colours = networks.predict(image, network)
    result = recolour(image, colours.ab, saturation=look.saturation, temperature=look.temperature)
    if look.stamp:
        result = outputs.stamped(result)
    stem = safe_stem(Path(path).name)
    full = outputs.save_result(result, stem, network=colours.network)
    try:
        name = archive.add(full, stem)
    finally:
        outputs.discard(full)
    return outputs.save_preview(resized(result, _THUMB_SIDE), Path(name).stem), name
