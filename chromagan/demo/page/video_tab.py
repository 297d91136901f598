"""A short clip: coloured frame by frame, steered by a key frame, steady, with its sound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from chromagan.demo.folders import as_visitor, new_path, safe_stem
from chromagan.demo.page import views
from chromagan.demo.page.parts import QUIET, Site, Update, Values, lane, photo_input
from chromagan.demo.page.photo_tab import PhotoTab
from chromagan.demo.page.visit import Visit
from chromagan.demo.results import Look, Pixels, save_preview, with_look
from chromagan.demo.studio import Upload
from chromagan.images.metadata.provenance import DESCRIPTION
from chromagan.inference.guides.guidance import picture_samples
from chromagan.inference.prediction import Prediction
from chromagan.inference.video.clip import Extent, colorize_clip, first_picture
from chromagan.inference.video.smoothing import SteadyPainter


class VideoTab:
    """Built where it stands on the page; needs PyAV (`clip.available`).

    photo_tab: where a frame of the clip is coloured by hand. tabs: the page's, to lead there.
    """

    def __init__(self, site: Site, photo_tab: PhotoTab, tabs: Any) -> None:
        t = site.texts
        self._site = site
        self._photo_tab = photo_tab
        self._tabs = tabs
        gr.Markdown(t("video_info"))
        with gr.Row():
            with gr.Column(min_width=300):
                self._clip = gr.Video(
                    label=t("video_input"), sources=["upload"], elem_id="video-input", height=320
                )
                with gr.Accordion(t("video_key"), open=False, elem_id="video-steer"):
                    gr.Markdown(t("video_key_info"))
                    grab = gr.Button(t("video_grab"), size="sm", elem_id="video-grab")
                    use = gr.Button(t("video_use"), size="sm", elem_id="video-use")
                    self._key = photo_input(
                        label=t("video_key_frame"),
                        sources=["upload"],
                        height=200,
                        elem_id="video-key",
                        buttons=[],
                    )
                start = gr.Button(t("video_button"), variant="primary", elem_id="video-start")
            with gr.Column(min_width=300):
                self._result = gr.Video(
                    label=t("video_output"), interactive=False, elem_id="video-output", height=320
                )
                self._status = gr.HTML(elem_id="video-status", elem_classes="status")
        photo, clip, full = photo_tab.parts, self._clip, lane("full", site.workers.full)
        start.click(
            self.start,
            {clip, self._key, *photo.controls.all},
            [self._result, self._status],
            **QUIET,
            **lane("video", 1),
        )
        photo_tab.follow(grab.click(self.grab, clip, [photo.photo, tabs], **full))
        use.click(self.use, {photo.shown, *photo.controls.look}, self._key, **full)

    def grab(self, clip: str | None, request: gr.Request) -> Update:
        """The clip's first frame becomes the photo, to be guided there."""
        visit = Visit(request)
        if not clip:
            raise visit.error("no_video")
        source = Path(clip)
        with visit.spoken(clip=source.name):
            frame = first_picture(source, self._site.limits.video_side)
            file = save_preview(frame, f"{safe_stem(source.name)}-frame")
            return {self._photo_tab.parts.photo: file, self._tabs: gr.Tabs(selected="photo")}

    def use(self, values: Values, request: gr.Request) -> Update:
        """The photo as it is coloured now, without a mark, becomes the key frame."""
        visit, photo = Visit(request), self._photo_tab.parts
        with visit.spoken():
            shown = visit.present(values[photo.shown])
            look = replace(photo.controls.look_of(values), stamp=False)
            return {self._key: self._site.studio.full_result(shown.known, look).path}

    def start(self, values: Values, request: gr.Request) -> Iterator[Update]:
        """One update a frame."""
        visit, controls = Visit(request), self._photo_tab.parts.controls
        if not values[self._clip]:
            raise visit.error("no_video")
        source, limits = Path(values[self._clip]), self._site.limits
        key, chosen = values[self._key], self._site.known(values[controls.network], visit)
        with visit.spoken(key.name if key else "", clip=source.name):
            painter = self._painter(chosen, key, controls.look_of(values))
            target = new_path(f"{safe_stem(source.name)}-colorized.mp4")
            extent = Extent(limits.video_seconds, limits.video_side)
            steps = colorize_clip(source, target, painter, extent, comment=DESCRIPTION)
            device = self._site.networks.device(chosen)
            for state in as_visitor(visit.session, steps):
                text = views.video(state, source.name, device, extent, painter.flicker(), visit.say)
                yield {
                    self._result: str(state.path) if state.path else gr.skip(),
                    self._status: text,
                }

    def _painter(self, network: str, key: Upload | None, look: Look) -> SteadyPainter:
        networks = self._site.networks

        def predict(image: Pixels) -> Prediction:
            return networks.predict(image, network).prediction

        samples = None
        if key is not None:
            pixels = self._site.studio.reference(key)
            samples = picture_samples(predict(pixels), pixels)
        return SteadyPainter(predict, lambda image, ab: with_look(image, ab, look), samples)
