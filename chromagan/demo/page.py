"""The layout: which parts there are and which handler each event calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from chromagan.demo import outputs, style, video
from chromagan.demo.api import Endpoints
from chromagan.demo.batch import Stop
from chromagan.demo.handlers import Handlers
from chromagan.demo.limits import CHECK_SECONDS, Limits, Workers
from chromagan.demo.networks import Networks
from chromagan.demo.photos import resized
from chromagan.demo.pictures import WARMEST, grey
from chromagan.demo.texts import LABELS
from chromagan.images import read_image
from chromagan.samples import sample_paths

_EXAMPLE_SIDE = 320
_OPENING = "alpine-landscape"
_COLOUR_EXAMPLES = (
    "macaws", "mountain-lake", "woman-red-hat", "half-timbered-houses", "river-otters",
    "cherry-tomatoes-in-hands", "lighthouse-rocky-coast", "girl-face-paint",
)  # fmt: skip
# the page's own events: callable, as everything in Gradio is, but no part of the offered API
_UNDOCUMENTED: dict[str, Any] = {"api_visibility": "undocumented"}
_KNOWN_NETWORKS = {"lite", "full", "no-class", "no-gan", "hub"}


def photo_input(**options: Any) -> Any:
    """A `gr.Image` that hands over the uploaded file untouched.

    The component opens it with Pillow first, so that a file Pillow cannot read never reaches the
    handler, and its visitor sees an error without a reason. (Not a subclass: Gradio writes a
    stub file beside every module that defines one.)
    """
    image: Any = gr.Image(type="filepath", image_mode=None, format="png", **options)
    image.preprocess = lambda payload: payload.path if payload is not None else None
    return image


@dataclass(frozen=True)
class Controls:
    """The parts that every tab reads."""

    network: gr.Radio
    saturation: gr.Slider
    temperature: gr.Slider
    stamp: gr.Checkbox

    @property
    def all(self) -> list[Any]:
        return [self.network, self.saturation, self.temperature, self.stamp]

    @property
    def look(self) -> list[Any]:
        return self.all[1:]


class Page:
    """Builds the `gr.Blocks`; one instance per server."""

    def __init__(self, networks: Networks, limits: Limits, workers: Workers) -> None:
        self.limits = limits
        self.workers = workers
        self.texts: Any = gr.I18n(
            **{lang: labels.filled(limits) for lang, labels in LABELS.items()}
        )
        self.examples = {"historic": sample_paths("historic"), "color": _colour_examples()}
        self.handlers = Handlers(networks, limits, self.examples)
        self.networks = networks

    @property
    def opening_photo(self) -> Path:
        """The first photo of the page."""
        return next(path for path in self.examples["historic"] if _OPENING in path.stem)

    def build(self) -> Any:
        t = self.texts
        # Gradio deletes what was uploaded; `server` sweeps what the handlers wrote
        age = (CHECK_SECONDS, self.limits.delete_at_seconds)
        with gr.Blocks(
            title="ChromaGAN", analytics_enabled=False, delete_cache=age, fill_width=False
        ) as blocks:
            self._masthead()
            with gr.Tabs():
                with gr.Tab(t("tab_photo"), id="photo"):
                    controls = self._photo_tab()
                with gr.Tab(t("tab_batch"), id="batch"):
                    self._batch_tab(controls)
                with gr.Tab(t("tab_video"), id="video"):
                    self._video_tab(controls)
                with gr.Tab(t("tab_about"), id="about"):
                    gr.Markdown(t("about"), elem_id="about")
            gr.Markdown(t("privacy"), elem_id="privacy")
            self._endpoints()
            blocks.load(*self.opening, queue=False, show_progress="hidden", **_UNDOCUMENTED)
        return blocks

    # parts -----------------------------------------------------------------------------------

    def _masthead(self) -> None:
        with gr.Column(elem_id="masthead"):
            gr.Markdown(self.texts("masthead"), elem_id="title")
            gr.Markdown(self.texts("honest"), elem_id="honest")

    def _photo_tab(self) -> Controls:
        t = self.texts
        picture = gr.State(None, time_to_live=self.limits.keep_minutes * 60)
        history = gr.State([], time_to_live=self.limits.keep_minutes * 60)
        with gr.Row(equal_height=False, elem_id="stage"):
            with gr.Column(elem_classes="stage-photo"):
                photo = photo_input(
                    label=t("photo"), sources=["upload", "webcam", "clipboard"], height=280,
                    elem_id="photo",
                    buttons=["fullscreen"], placeholder=t("photo_drop"),
                )  # fmt: skip
            with gr.Column(elem_classes="stage-result"):
                slider = gr.ImageSlider(
                    self.handlers.opening_pair, label=t("result"), type="filepath",
                    format="png", interactive=False, elem_id="slider", max_height=560,
                    buttons=["fullscreen"],
                )  # fmt: skip
                view = gr.Radio(
                    [(t("view_before"), 100), (t("view_half"), 50), (t("view_after"), 0)],
                    value=50, label=t("view"), elem_id="view", elem_classes="plain",
                )  # fmt: skip
                facts = gr.HTML(elem_id="facts", elem_classes="status")
                controls = self._controls()
                save = gr.Button(
                    t("download"), variant="primary", interactive=False, elem_id="download"
                )
                file = gr.DownloadButton(
                    t("download_again"), visible="hidden", elem_id="download-file"
                )
                with gr.Group(visible=False, elem_classes="plain") as truth:
                    gr.Markdown(t("three_way"), elem_classes="heading")
                    three = self._gallery("three", columns=3, buttons=["fullscreen"])
                classes = gr.HTML(elem_id="classes", elem_classes="classes")
            with gr.Column(elem_classes="stage-examples"):
                historic = self._examples("historic", t("historic"))
                colour = self._examples("color", t("colour_examples"))
        if len(self.networks.names) > 1:
            self._comparison(picture, controls)
        with gr.Accordion(t("history"), open=True, visible=False, elem_id="shelf") as shelf:
            gr.Markdown(t("history_info"))
            strip = self._gallery("history", columns=8, allow_preview=False, object_fit="cover")
            clear = gr.Button(t("history_clear"), size="sm", elem_id="clear")
        shown = [
            photo, slider, facts, truth, three, classes, save, strip, shelf, picture, history,
        ]  # fmt: skip
        # the slider's handle answers to the mouse only: this is its keyboard
        view.input(
            lambda position: gr.update(slider_position=position), view, slider, queue=False,
            show_progress="hidden", **_UNDOCUMENTED,
        )  # fmt: skip
        self._photo_events(
            photo, (historic, colour), controls, shown, save, file, strip, clear, picture, history
        )
        return controls

    def _photo_events(
        self,
        photo: Any,
        examples: tuple[Any, Any],
        controls: Controls,
        shown: list[Any],
        save: Any,
        file: Any,
        strip: Any,
        clear: Any,
        picture: Any,
        history: Any,
    ) -> None:
        do, look = self.handlers, controls.look
        network = self._quiet("photo", self.workers.photo)
        light = self._quiet("light", self.workers.light)
        state = [picture, history]
        slider, facts, _, three, classes = shown[1:6]
        self.opening = (do.opening, None, [facts, classes, save, picture])
        gr.on(
            [photo.input, photo.clear], do.photo, [photo, *controls.all, *state], shown,
            trigger_mode="always_last", show_progress_on=[slider], **network,
        )  # fmt: skip
        for gallery, kind in zip(examples, ("historic", "color"), strict=True):
            gallery.select(do.example(kind), None, photo, show_progress="hidden", **light).then(
                do.photo, [photo, *controls.all, *state], shown, show_progress_on=[slider],
                **network,
            )  # fmt: skip
        controls.network.input(
            do.again, [*controls.all, *state], shown, show_progress_on=[slider], **network
        )
        gr.on(
            [controls.saturation.input, controls.temperature.input, controls.stamp.input],
            do.relook, [picture, *look], [slider, facts, three],
            trigger_mode="always_last", show_progress="hidden", **light,
        )  # fmt: skip
        save.click(
            do.download, [picture, *look], file, **self._quiet("full", self.workers.full)
        ).success(None, file, js=style.SAVE_FILE)
        strip.select(
            do.recall, [*look, history], [photo, controls.network, *shown[1:]],
            show_progress_on=[slider], **network,
        )  # fmt: skip
        clear.click(do.clear, state, shown, **light)

    def _comparison(self, picture: Any, controls: Controls) -> None:
        t = self.texts
        with gr.Accordion(t("compare"), open=False, elem_id="compare"):
            gr.Markdown(t("compare_info"))
            button = gr.Button(t("compare_button"), elem_id="compare-button")
            gallery = self._gallery("variants", columns=3, buttons=["fullscreen"])
        button.click(
            self.handlers.compare, [picture, controls.saturation, controls.temperature], gallery,
            **self._quiet("photo", self.workers.photo),
        )  # fmt: skip

    def _controls(self) -> Controls:
        t = self.texts
        choices = [(self._network_label(name), name) for name in self.networks.names]
        with gr.Row():
            saturation = gr.Slider(
                0, 2, 1, step=0.05, label=t("saturation"), info=t("saturation_info"),
                elem_id="saturation", min_width=140, buttons=["reset"],
            )  # fmt: skip
            temperature = gr.Slider(
                -WARMEST, WARMEST, 0, step=1, label=t("temperature"), info=t("temperature_info"),
                elem_id="temperature", min_width=140, buttons=["reset"],
            )  # fmt: skip
        network = gr.Radio(
            choices, value=self.networks.default, label=t("network"), elem_id="network",
            visible=len(choices) > 1,
        )  # fmt: skip
        stamp = gr.Checkbox(label=t("stamp"), value=False, elem_id="stamp", container=False)
        return Controls(network, saturation, temperature, stamp)

    def _network_label(self, name: str) -> Any:
        if name not in _KNOWN_NETWORKS:
            return name
        return self.texts("network_" + name.replace("-", "_"))

    def _examples(self, kind: str, label: Any) -> Any:
        thumbs = [(_grey_thumb(path), spoken_name(path)) for path in self.examples[kind]]
        gr.Markdown(label, elem_classes="heading")
        return self._gallery(
            f"examples-{kind}", value=thumbs, columns=4, allow_preview=False, object_fit="cover",
            elem_classes=["strip", "examples"],
        )  # fmt: skip

    def _gallery(self, elem_id: str, **options: Any) -> Any:
        """A result grid: PNG only, as high as its pictures, no label over them."""
        settings: dict[str, Any] = {
            "show_label": False, "format": "png", "height": "auto", "interactive": False,
            "object_fit": "contain", "elem_classes": "strip", "buttons": [],
        }  # fmt: skip
        return gr.Gallery(elem_id=elem_id, **(settings | options))

    def _batch_tab(self, controls: Controls) -> None:
        t = self.texts
        stop = gr.State(Stop())
        gr.Markdown(t("batch_info"))
        with gr.Row():
            with gr.Column(scale=4, min_width=300):
                files = gr.File(
                    label=t("batch_files"), file_count="multiple", type="filepath", height=220,
                    elem_id="batch-files",
                )  # fmt: skip
                with gr.Row():
                    start = gr.Button(t("batch_button"), variant="primary", elem_id="batch-start")
                    cancel = gr.Button(t("batch_cancel"), elem_id="batch-stop", min_width=80)
            with gr.Column(scale=6, min_width=300):
                status = gr.HTML(elem_id="batch-status", elem_classes="status")
                archive = gr.DownloadButton(
                    t("batch_zip"), visible=False, variant="primary", elem_id="batch-zip"
                )
                gallery = self._gallery("batch-gallery", columns=3, buttons=["fullscreen"])
        start.click(
            self.handlers.batch, [files, *controls.all, stop], [gallery, status, archive],
            show_progress="hidden", **self._quiet("batch", self.workers.long),
        )  # fmt: skip
        cancel.click(
            self.handlers.stop, stop, stop, queue=False, show_progress="hidden", **_UNDOCUMENTED
        )

    def _video_tab(self, controls: Controls) -> None:
        t = self.texts
        if not video.available():
            gr.Markdown(t("video_missing"))
            return
        gr.Markdown(t("video_info"))
        with gr.Row():
            with gr.Column(min_width=300):
                clip = gr.Video(label=t("video_input"), sources=["upload"], elem_id="video-input",
                                height=320)  # fmt: skip
                start = gr.Button(t("video_button"), variant="primary", elem_id="video-start")
            with gr.Column(min_width=300):
                result = gr.Video(
                    label=t("video_output"), interactive=False, elem_id="video-output", height=320
                )
                status = gr.HTML(elem_id="video-status", elem_classes="status")
        start.click(
            self.handlers.video, [clip, *controls.all], [result, status],
            show_progress="hidden", **self._quiet("video", 1),
        )  # fmt: skip

    def _endpoints(self) -> None:
        api = Endpoints(self.handlers)
        with gr.Group(visible=False):
            image = photo_input(label="image")
            saturation = gr.Slider(0, 2, 1, label="saturation")
            temperature = gr.Slider(-WARMEST, WARMEST, 0, label="temperature")
            network = gr.Textbox(label="network")
            mark = gr.Checkbox(label="visible_mark")
            result = gr.Image(label="result", type="filepath", format="png")
            data = gr.JSON(label="data")
            button = gr.Button()
        photo: dict[str, Any] = {
            "concurrency_id": "photo", "concurrency_limit": self.workers.photo,
        }  # fmt: skip
        button.click(
            api.colorize, [image, saturation, temperature, network, mark], result,
            api_name="colorize", **photo,
        )  # fmt: skip
        button.click(api.classes, [image, network], data, api_name="classes", **photo)
        button.click(api.networks, None, data, api_name="networks", queue=False)

    @staticmethod
    def _quiet(kind: str, limit: int) -> dict[str, Any]:
        """The page's own events: not in the API's documentation, run in lanes by kind."""
        return {**_UNDOCUMENTED, "concurrency_id": kind, "concurrency_limit": limit}


def spoken_name(path: Path) -> str:
    """A sample's file name as its alternative text: "Macaws", "Nagasaki boats 1865"."""
    return path.stem.replace("-", " ").capitalize()


def _colour_examples() -> list[Path]:
    by_name = {path.stem: path for path in sample_paths("color")}
    return [by_name[name] for name in _COLOUR_EXAMPLES if name in by_name]


def _grey_thumb(path: Path) -> str:
    """A small grey copy for the examples."""
    return outputs.keep(grey(resized(read_image(path), _EXAMPLE_SIDE)), f"thumb-{path.stem}")


def launch_settings(page: Page) -> dict[str, Any]:
    """The looks, for `Blocks.launch`."""
    return {"theme": style.theme(), "css": style.CSS, "head": style.HEAD, "i18n": page.texts}
