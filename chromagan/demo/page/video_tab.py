"""A short clip: coloured frame by frame, steadied over time, with its sound."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from chromagan.demo.page import views
from chromagan.demo.page.parts import Controls, Site, lane
from chromagan.demo.page.visit import Visit
from chromagan.demo.pictures.marks import DESCRIPTION
from chromagan.demo.pictures.names import safe_stem
from chromagan.demo.pictures.photo import Look, with_look
from chromagan.demo.visitors.folders import as_visitor, new_path
from chromagan.inference.video.clip import Extent, VideoError, available, colorize_clip
from chromagan.inference.video.smoothing import SteadyPainter

Update = dict[Any, Any]


class VideoTab:
    """Built where it stands on the page; only a hint where PyAV is not installed."""

    def __init__(self, site: Site, controls: Controls) -> None:
        t = site.texts
        self._site = site
        if not available():
            gr.Markdown(t("video_missing"))
            return
        gr.Markdown(t("video_info"))
        with gr.Row():
            with gr.Column(min_width=300):
                clip = gr.Video(
                    label=t("video_input"), sources=["upload"], elem_id="video-input", height=320
                )
                start = gr.Button(t("video_button"), variant="primary", elem_id="video-start")
            with gr.Column(min_width=300):
                self._result = gr.Video(
                    label=t("video_output"), interactive=False, elem_id="video-output", height=320
                )
                self._status = gr.HTML(elem_id="video-status", elem_classes="status")
        start.click(
            self.start,
            [clip, *controls.all],
            [self._result, self._status],
            show_progress="hidden",
            **lane("video", 1),
        )

    def start(
        self,
        clip: str | None,
        network: str,
        saturation: float,
        temperature: float,
        stamp: bool,
        request: gr.Request,
    ) -> Iterator[Update]:
        """One update a frame."""
        visit = Visit(request)
        if not clip:
            raise visit.error("no_video")
        source = Path(clip)
        chosen, limits = self._site.known(network, visit), self._site.limits
        networks, look = self._site.networks, Look(saturation, temperature, stamp)
        painter = SteadyPainter(
            lambda image: networks.predict_ab(image, chosen),
            lambda image, ab: with_look(image, ab, look),
        )
        with visit.spoken():
            target = new_path(f"{safe_stem(source.name)}-colorized.mp4")
            extent = Extent(limits.video_seconds, limits.video_side)
            steps = colorize_clip(source, target, painter, extent, comment=DESCRIPTION)
            device = networks.device(chosen)
            try:
                for state in as_visitor(visit.session, steps):
                    text = views.video(
                        state, source.name, device, limits, painter.flicker(), visit.say
                    )
                    yield {
                        self._result: str(state.path) if state.path else gr.skip(),
                        self._status: text,
                    }
            except VideoError as error:
                key = "video_cut" if error.no_picture else "video_bad"
                raise visit.error(key, name=source.name, reason=error.reason) from error
