"""The parts of the tab "One photo", and the photographs that it offers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from chromagan.demo.folders import page_path
from chromagan.demo.page.parts import Controls, FormParts, Site, gallery, photo_input
from chromagan.demo.page.visit import Shown
from chromagan.demo.results import Look, grey, resized, save_png, with_look
from chromagan.demo.studio import Guided, Studio, Upload
from chromagan.images import read_image
from chromagan.samples import sample_paths

_OPENING = "alpine-landscape"
_EXAMPLE_SIDE = 320
_COLOR_EXAMPLES = (
    "macaws",
    "mountain-lake",
    "woman-red-hat",
    "half-timbered-houses",
    "river-otters",
    "cherry-tomatoes-in-hands",
    "lighthouse-rocky-coast",
    "girl-face-paint",
)
_ON_LOAD = """
window.guides.connect((edit) => trigger('edit', edit));
watch('value', () => window.guides.receive(props.value));
"""


class PhotoParts:
    """Built where they stand on the page; `shown` and `history` are this visitor's own (Gradio
    keeps them). files: what the slider shows at first, grey and coloured."""

    def __init__(self, site: Site, files: tuple[str, str] | None) -> None:
        t = site.texts
        age = site.limits.keep_minutes * 60
        self.shown = gr.State(None, time_to_live=age)
        self.history = gr.State([], time_to_live=age)
        with gr.Row(equal_height=False, elem_id="stage"):
            with gr.Column(elem_classes="stage-photo"):
                self.photo = photo_input(
                    label=t("photo"),
                    sources=["upload", "webcam", "clipboard"],
                    height=280,
                    elem_id="photo",
                    buttons=["fullscreen"],
                    placeholder=t("photo_drop"),
                )
            with gr.Column(elem_classes="stage-result"):
                self._result(site, files)
            with gr.Column(elem_classes="stage-examples"):
                self.examples = [
                    _examples("historic", t("historic_examples"), sample_paths("historic")),
                    _examples("color", t("color_examples"), _color_examples()),
                ]
        several = len(site.networks.names) > 1
        with gr.Accordion(t("compare"), open=False, visible=several, elem_id="compare"):
            gr.Markdown(t("compare_info"))
            self.compare = gr.Button(t("compare_button"), elem_id="compare-button")
            self.variants = gallery("variants", columns=3, buttons=["fullscreen"])
        with gr.Accordion(t("history"), open=True, visible=False, elem_id="shelf") as self.shelf:
            gr.Markdown(t("history_info"))
            self.strip = gallery("history", columns=8, allow_preview=False, object_fit="cover")
            self.clear = gr.Button(t("history_clear"), size="sm", elem_id="clear")

    def _result(self, site: Site, files: tuple[str, str] | None) -> None:
        t = site.texts
        status: dict[str, Any] = {"elem_classes": "status"}
        self.slider = gr.ImageSlider(
            files,
            label=t("result"),
            type="filepath",
            format="png",
            interactive=False,
            elem_id="slider",
            max_height=560,
            buttons=["fullscreen"],
        )
        self.view = gr.Radio(
            [(t("view_before"), 100), (t("view_half"), 50), (t("view_after"), 0)],
            value=50,
            label=t("view"),
            elem_id="view",
            elem_classes="plain",
        )
        self._guides(site)
        self.facts = gr.HTML(elem_id="facts", **status)
        self.controls = Controls(site)
        self.form = FormParts(site)
        button: dict[str, Any] = {"variant": "primary", "interactive": False}
        self.save = gr.Button(t("download"), elem_id="download", **button)
        self.file = gr.DownloadButton(
            t("download_again"), visible="hidden", elem_id="download-file"
        )
        self.remarks = gr.HTML(elem_id="remarks", **status)
        with gr.Group(visible=False, elem_classes="plain") as self.truth:
            gr.Markdown(t("three_way"), elem_classes="heading")
            self.three = gallery("three", columns=3, buttons=["fullscreen"])
        self.classes = gr.HTML(elem_id="classes", elem_classes="classes")

    def _guides(self, site: Site) -> None:
        """editor: the list of points; what is drawn over the result belongs to it."""
        t = site.texts
        place = '<div id="guides"></div>'
        self.editor = gr.HTML("", html_template=place, js_on_load=_ON_LOAD, elem_id="guides-block")
        with gr.Accordion(t("guide_more"), open=False, elem_id="guides-more"):
            gr.Markdown(t("reference_info"))
            self.reference = photo_input(
                label=t("reference"),
                sources=["upload", "clipboard"],
                height=200,
                elem_id="reference",
                buttons=[],
            )
            self.load = gr.UploadButton(
                t("guide_load"), file_types=[".json"], size="sm", elem_id="guides-load"
            )

    @property
    def looked(self) -> list[Any]:
        """What another look of the same photograph changes."""
        return [self.slider, self.facts, self.three]

    @property
    def around(self) -> list[Any]:
        """What other colours of it change beside."""
        result = [self.truth, self.classes, self.remarks, self.save]
        return [*result, self.strip, self.shelf, self.editor, self.shown, self.history]

    @property
    def renewed(self) -> list[Any]:
        """What starts anew with another photograph."""
        return [self.form.kind, self.reference]


def opening(studio: Studio) -> tuple[Shown, tuple[str, str]]:
    """The picture that new visitors find, coloured once for all of them, and its two files."""
    path = next(path for path in sample_paths("historic") if _OPENING in path.stem)
    picture = studio.colorize(Upload(str(path), path.name))
    before = save_png(grey(picture.preview), page_path("opening-grey.png"))
    result = with_look(picture.preview, picture.colors.ab, Look())
    after = save_png(result, page_path("opening-color.png"))
    return Shown(Guided.of(picture), before), (before, after)


def _color_examples() -> list[Path]:
    colored = {path.stem: path for path in sample_paths("color")}
    return [colored[name] for name in _COLOR_EXAMPLES if name in colored]


def _examples(kind: str, label: Any, files: list[Path]) -> tuple[Any, list[Path]]:
    """A gallery of grey thumbnails, and the photographs behind them."""
    thumbs = []
    for path in files:
        small = grey(resized(read_image(path), _EXAMPLE_SIDE))
        spoken = path.stem.replace("-", " ").capitalize()  # "Nagasaki boats 1865"
        thumbs.append((save_png(small, page_path(f"thumb-{path.stem}.png")), spoken))
    gr.Markdown(label, elem_classes="heading")
    grid = gallery(
        f"examples-{kind}",
        value=thumbs,
        columns=4,
        allow_preview=False,
        object_fit="cover",
        elem_classes=["strip", "examples"],
    )
    return grid, files
