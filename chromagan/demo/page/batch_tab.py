"""Several photos: results as they come, one ZIP at the end."""

from __future__ import annotations

from collections.abc import Iterator

import gradio as gr

from chromagan.demo.page import views
from chromagan.demo.page.parts import (
    UNDOCUMENTED,
    Controls,
    FormParts,
    Site,
    Update,
    Values,
    files_input,
    gallery,
    lane,
)
from chromagan.demo.page.visit import Visit
from chromagan.demo.pictures.batch import Order, Stop, colorize_all
from chromagan.demo.visitors.folders import as_visitor

_KINDS = [("PNG", "png"), ("JPEG", "jpeg"), ("TIFF", "tiff")]


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
                info = t("format_info")
                self._form = FormParts.build(site, "batch-", choices=_KINDS, info=info)
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
            show_progress="hidden",
            **lane("batch", site.workers.long),
        )
        stop = self._stop
        cancel.click(_stop, stop, stop, queue=False, show_progress="hidden", **UNDOCUMENTED)

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


def _stop(stop: Stop) -> Stop:
    stop.requested = True
    return stop
