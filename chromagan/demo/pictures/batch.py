"""Many photos: results as they come, one ZIP at the end; a bad file is named and left out."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from chromagan.demo.pictures.marks import Form, save_preview
from chromagan.demo.pictures.names import safe_stem, unused
from chromagan.demo.pictures.photo import Look, Studio, Upload, notes_of, resized, with_look
from chromagan.demo.texts import Say
from chromagan.demo.visitors.folders import discard, new_path
from chromagan.files import complete_file
from chromagan.images import ImageError, image_size
from chromagan.images.metadata.provenance import DESCRIPTION

_THUMB_SIDE = 640


@dataclass
class Stop:
    """A visitor's wish to end a running batch after the current photo."""

    requested: bool = False


@dataclass(frozen=True)
class Progress:
    """Where a batch stands.

    results: (preview file, name) in input order. remarks: (name, what its owner should know).
    failures: (file name, reason). left: estimated seconds to go, None before the first photo is
    done. zip: path, once everything is finished.
    """

    total: int
    results: tuple[tuple[str, str], ...] = ()
    remarks: tuple[tuple[str, str], ...] = ()
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
    """The ZIP being written; pictures are compressed already, so they are stored."""

    zip: zipfile.ZipFile
    _taken: set[str] = field(default_factory=set)
    _lines: list[str] = field(default_factory=list)

    def add(self, file: str, original: str, notes: Sequence[str] = ()) -> str:
        """Take a result in under a name made from `original`, the photograph's own; returns it.

        notes: what its owner should know, for README.txt.
        """
        name = f"{unused(safe_stem(original), self._taken)}-colorized{Path(file).suffix}"
        self.zip.write(file, name)
        remarks = f"  ({' '.join(notes)})" if notes else ""
        self._lines.append(f"{name}  <-  {original}{remarks}")
        return name

    def describe(self, failures: Sequence[tuple[str, str]]) -> None:
        """Add README.txt: which photograph became which file, and what failed."""
        lines = [DESCRIPTION, "", *self._lines]
        lines += ["", *(f"{name}: {reason}" for name, reason in failures)]
        text = "\n".join(lines).strip() + "\n"
        self.zip.writestr("README.txt", text, compress_type=zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Order:
    """What all photos of a batch become. network: a name that is offered."""

    network: str
    look: Look = field(default_factory=Look)
    form: Form = field(default_factory=Form)


def colorize_all(
    uploads: Sequence[Upload], studio: Studio, say: Say, order: Order, stop: Stop
) -> Iterator[Progress]:
    """Work through the files, yielding after each; the last `Progress` carries the ZIP."""
    started = time.perf_counter()
    state = Progress(total=len(uploads))
    path = new_path("colorized.zip")
    pixels = 0
    with complete_file(path) as stream, zipfile.ZipFile(stream, "w") as file:
        archive = Archive(file)
        for index, upload in enumerate(uploads):
            if stop.requested:
                state = replace(state, stopped=True)
                break
            yield replace(state, current=upload.name)
            try:
                pixels += _admit(upload, index, pixels, studio, say)
                thumb, name, notes = _one(upload, studio, order, archive, say)
                state = replace(
                    state,
                    results=(*state.results, (thumb, name)),
                    remarks=(*state.remarks, *((name, note) for note in notes)),
                )
            except ImageError as error:
                state = replace(state, failures=(*state.failures, (upload.name, error.reason)))
            spent = time.perf_counter() - started
            remaining = spent / state.handled * (len(uploads) - state.handled)
            state = replace(state, seconds=spent, left=remaining)
        archive.describe(state.failures)
    if not state.results:
        discard(path)
    path_of_zip = str(path) if state.results else None
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
    upload: Upload, studio: Studio, order: Order, archive: Archive, say: Say
) -> tuple[str, str, list[str]]:
    """(preview file, the result's name, what its owner should know)."""
    photo = studio.open(upload.path, deep=order.form.kind == "tiff")
    eight_bits = photo.eight_bits
    ab = studio.networks.predict_ab(eight_bits, order.network)
    thumb = with_look(resized(eight_bits, _THUMB_SIDE), ab, order.look)
    stem = safe_stem(upload.name)
    saved = studio.save(photo, ab, order.look, order.form, order.network, stem)
    notes = [say.note(note) for note in (*notes_of(photo), *saved.notes)]
    try:
        name = archive.add(saved.path, upload.name, notes)
    finally:
        discard(saved.path)
    return save_preview(thumb, Path(name).stem), name, notes
