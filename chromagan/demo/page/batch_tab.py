"""Several photos: results as they come, one ZIP at the end; a bad file is named and left out."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import gradio as gr

from chromagan.demo.folders import as_visitor, discard, new_path, safe_stem, unused
from chromagan.demo.page import views
from chromagan.demo.page.parts import (
    QUIET,
    UNDOCUMENTED,
    Controls,
    FormParts,
    Site,
    Update,
    Values,
    file_kinds,
    files_input,
    gallery,
    lane,
)
from chromagan.demo.page.visit import Visit
from chromagan.demo.results import Form, Look, Pixels, resized, save_preview, with_look
from chromagan.demo.studio import Studio, Upload, notes_of
from chromagan.demo.texts import Say
from chromagan.files import complete_file
from chromagan.images import ImageError, image_size
from chromagan.images.metadata.provenance import DESCRIPTION

_THUMB_SIDE = 640


class BatchTab:
    """Built where it stands on the page."""

    def __init__(self, site: Site, controls: Controls) -> None:
        t = site.texts
        self._site, self._controls = site, controls
        self._stop = gr.State(Stop())
        gr.Markdown(t("batch_info"))
        with gr.Row():
            with gr.Column(scale=4, min_width=300):
                self._files = files_input(label=t("batch_files"), height=220, elem_id="batch-files")
                kinds, info = file_kinds("TIFF"), t("format_info")
                self._form = FormParts(site, "batch-", choices=kinds, info=info)
                with gr.Row():
                    start = gr.Button(t("batch_button"), variant="primary", elem_id="batch-start")
                    cancel = gr.Button(t("batch_cancel"), elem_id="batch-stop", min_width=80)
            with gr.Column(scale=6, min_width=300):
                self._status = gr.HTML(elem_id="batch-status", elem_classes="status")
                self._zip = gr.DownloadButton(
                    t("batch_zip"), visible=False, variant="primary", elem_id="batch-zip"
                )
                self._gallery = gallery("batch-gallery", columns=3, buttons=["fullscreen"])
        start.click(
            self.start,
            {self._files, *controls.all, *self._form.all, self._stop},
            [self._gallery, self._status, self._zip],
            **QUIET,
            **lane("batch", site.workers.long),
        )
        cancel.click(_stop, self._stop, self._stop, queue=False, **QUIET, **UNDOCUMENTED)

    def start(self, values: Values, request: gr.Request) -> Iterator[Update]:
        """One update a photo."""
        visit, controls, stop = Visit(request), self._controls, values[self._stop]
        if not values[self._files]:
            raise visit.error("no_files")
        with visit.spoken():
            stop.requested = False
            order = Order(
                self._site.known(values[controls.network], visit),
                controls.look_of(values),
                self._form.form_of(values),
            )
            steps = colorize_all(values[self._files], self._site.studio, visit.say, order, stop)
            shown = -1
            for progress in as_visitor(visit.session, steps):
                fresh = len(progress.results) != shown
                shown = len(progress.results)
                yield {
                    self._gallery: list(progress.results) if fresh else gr.skip(),
                    self._status: views.batch(progress, visit.say),
                    self._zip: gr.update(value=progress.zip, visible=progress.zip is not None),
                }


@dataclass
class Stop:
    """A visitor's wish to end a running batch after the current photo."""

    requested: bool = False


def _stop(stop: Stop) -> Stop:
    stop.requested = True
    return stop


@dataclass(frozen=True)
class Order:
    """What all photos of a batch become. network: a name that is offered."""

    network: str
    look: Look = field(default_factory=Look)
    form: Form = field(default_factory=Form)


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


def colorize_all(
    uploads: Sequence[Upload], studio: Studio, say: Say, order: Order, stop: Stop
) -> Iterator[Progress]:
    """Work through the files, yielding after each; the last `Progress` carries the ZIP.

    Its README.txt tells which photograph became which file, and what failed.
    """
    started = time.perf_counter()
    state = Progress(total=len(uploads))
    path = new_path("colorized.zip")
    pixels, taken, lines = 0, set[str](), [DESCRIPTION, ""]
    # pictures are compressed already, so they are stored
    with complete_file(path) as stream, zipfile.ZipFile(stream, "w") as archive:
        for index, upload in enumerate(uploads):
            if stop.requested:
                state = replace(state, stopped=True)
                break
            yield replace(state, current=upload.name)
            try:
                pixels += _admit(upload, index, pixels, studio, say)
                thumb, file, notes = _one(upload, studio, order, say)
                stem = f"{unused(safe_stem(upload.name), taken)}-colorized"
                name = stem + Path(file).suffix
                try:
                    archive.write(file, name)
                finally:
                    discard(file)
                remarks = f"  ({' '.join(notes)})" if notes else ""
                lines.append(f"{name}  <-  {upload.name}{remarks}")
                state = replace(
                    state,
                    results=(*state.results, (save_preview(thumb, stem), name)),
                    remarks=(*state.remarks, *((name, note) for note in notes)),
                )
            except ImageError as error:
                failure = upload.name, say.reason(error.reason)
                state = replace(state, failures=(*state.failures, failure))
            spent = time.perf_counter() - started
            remaining = spent / state.handled * (len(uploads) - state.handled)
            state = replace(state, seconds=spent, left=remaining)
        lines += ["", *(f"{name}: {reason}" for name, reason in state.failures)]
        text = "\n".join(lines).strip() + "\n"
        archive.writestr("README.txt", text, compress_type=zipfile.ZIP_DEFLATED)
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


def _one(upload: Upload, studio: Studio, order: Order, say: Say) -> tuple[Pixels, str, list[str]]:
    """(preview, the result's file, what its owner should know)."""
    photo = studio.open(upload.path, deep=order.form.kind == "tiff")
    eight_bits = photo.eight_bits
    ab = studio.networks.predict(eight_bits, order.network).ab
    thumb = with_look(resized(eight_bits, _THUMB_SIDE), ab, order.look)
    saved = studio.save(photo, ab, order.look, order.form, order.network, safe_stem(upload.name))
    return thumb, saved.path, [say.note(note) for note in (*notes_of(photo), *saved.notes)]
