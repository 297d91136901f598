"""Many photos: results as they come, one ZIP at the end; a bad file is named and left out."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from chromagan.demo.pictures.marks import save_preview, save_result
from chromagan.demo.pictures.names import safe_stem, unused
from chromagan.demo.pictures.photo import Look, Studio, Upload, resized, with_look
from chromagan.demo.texts import Say
from chromagan.demo.visitors.folders import discard, new_path
from chromagan.images import ImageError, image_size, read_photo
from chromagan.images.provenance import DESCRIPTION

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
class Archive:
    """The ZIP being written; PNGs are compressed already, so they are stored."""

    path: Path
    _taken: set[str] = field(default_factory=set)
    _lines: list[str] = field(default_factory=list)

    def add(self, file: str, original: str, notes: Sequence[str] = ()) -> str:
        """Take a result in under a name made from `original`, the photograph's own; returns it.

        notes: what its owner should know, for README.txt.
        """
        name = f"{unused(safe_stem(original), self._taken)}-colorized.png"
        with zipfile.ZipFile(self._part, "a", zipfile.ZIP_STORED) as archive:
            archive.write(file, name)
        remarks = f"  ({'; '.join(notes)})" if notes else ""
        self._lines.append(f"{name}  <-  {original}{remarks}")
        return name

    def close(self, failures: Sequence[tuple[str, str]]) -> str:
        """Add README.txt (which photograph became which file, and what failed); the ZIP's path."""
        lines = [DESCRIPTION, "", *self._lines]
        lines += ["", *(f"{name}: {reason}" for name, reason in failures)]
        with zipfile.ZipFile(self._part, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("README.txt", "\n".join(lines).strip() + "\n")
        os.replace(self._part, self.path)
        return str(self.path)

    @property
    def _part(self) -> Path:
        return self.path.with_name(self.path.name + ".part")


def colorize_all(
    uploads: Sequence[Upload],
    studio: Studio,
    say: Say,
    *,
    network: str | None = None,
    look: Look | None = None,
    stop: Stop | None = None,
) -> Iterator[Progress]:
    """Work through the files, yielding after each; the last `Progress` carries the ZIP."""
    look = look or Look()
    started = time.perf_counter()
    state = Progress(total=len(uploads))
    archive = Archive(new_path("colorized.zip"))
    pixels = 0
    for index, upload in enumerate(uploads):
        if stop is not None and stop.requested:
            state = replace(state, stopped=True)
            break
        yield replace(state, current=upload.name)
        try:
            pixels += _admit(upload, index, pixels, studio, say)
            result = _one(upload, studio, network, look, archive, say)
            state = replace(state, results=(*state.results, result))
        except ImageError as error:
            state = replace(state, failures=(*state.failures, (upload.name, error.reason)))
        spent = time.perf_counter() - started
        remaining = spent / state.handled * (len(uploads) - state.handled)
        state = replace(state, seconds=spent, left=remaining)
    path_of_zip = archive.close(state.failures) if state.results else None
    yield replace(state, seconds=time.perf_counter() - started, left=0.0, zip=path_of_zip)


def _admit(upload: Upload, index: int, pixels: int, studio: Studio, say: Say) -> int:
    """The file's pixels from its header; `ImageError` where it breaks a limit of the batch."""
    limits = studio.limits
    if index >= limits.batch_files:
        raise ImageError(upload.path, say("batch_too_many", limit=limits.batch_files))
    width, height = image_size(upload.path, max_pixels=limits.max_pixels)
    if pixels + width * height > limits.batch_megapixels * 1_000_000:
        raise ImageError(upload.path, say("batch_too_large", limit=limits.batch_megapixels))
    return width * height


def _one(
    upload: Upload,
    studio: Studio,
    network: str | None,
    look: Look,
    archive: Archive,
    say: Say,
) -> tuple[str, str]:
    photo = read_photo(upload.path, max_pixels=studio.limits.max_pixels, accept_damaged=True)
    image, notes = photo.pixels, [say.note(note) for note in photo.notes]
    result = with_look(image, studio.networks.predict_ab(image, network), look)
    made = studio.provenance(network or studio.networks.default, look)
    full = save_result(result, safe_stem(upload.name), made)
    try:
        name = archive.add(full, upload.name, notes)
    finally:
        discard(full)
    caption = " – ".join([name, *notes])
    return save_preview(resized(result, _THUMB_SIDE), Path(name).stem), caption
