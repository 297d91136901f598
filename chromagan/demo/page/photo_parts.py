"""The parts of the tab "One photo", and the photographs that it offers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from chromagan.demo.page.parts import Controls, FormParts, Site, gallery, photo_input
from chromagan.demo.pictures.marks import Pixels, save_png
from chromagan.demo.pictures.photo import grey, resized
from chromagan.demo.visitors.folders import page_path
from chromagan.images import read_image
from chromagan.samples import sample_paths

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


@dataclass(frozen=True)
class GuideParts:
    """editor: the list of points; what is drawn over the result belongs to it."""

    editor: Any
    load: Any
    reference: Any

    @classmethod
    def build(cls, site: Site) -> GuideParts:
        t = site.texts
        editor = gr.HTML(
            "",
            html_template='<div id="guides"></div>',
            js_on_load=_ON_LOAD,
            elem_id="guides-block",
        )
        with gr.Accordion(t("guide_more"), open=False, elem_id="guides-more"):
            gr.Markdown(t("reference_info"))
            reference = photo_input(
                label=t("reference"),
                sources=["upload", "clipboard"],
                height=200,
                elem_id="reference",
                buttons=[],
            )
            load = gr.UploadButton(
                t("guide_load"), file_types=[".json"], size="sm", elem_id="guides-load"
            )
        return cls(editor, load, reference)


@dataclass(frozen=True)
class PhotoParts:
    """The parts of the tab; `picture` and `history` are this visitor's own (Gradio keeps them)."""

    photo: Any
    slider: Any
    view: Any
    facts: Any
    controls: Controls
    form: FormParts
    save: Any
    file: Any
    remarks: Any
    truth: Any
    three: Any
    classes: Any
    examples: dict[str, Any]
    compare: Any
    variants: Any
    shelf: Any
    strip: Any
    clear: Any
    guides: GuideParts
    shown: Any
    history: Any

    @property
    def looked(self) -> list[Any]:
        """What another look of the same photograph changes."""
        return [self.slider, self.facts, self.three]

    @property
    def around(self) -> list[Any]:
        """What another photograph changes beside."""
        return [
            self.truth,
            self.classes,
            self.form.kind,
            self.remarks,
            self.save,
            self.strip,
            self.shelf,
            self.guides.editor,
            self.guides.reference,
            self.shown,
            self.history,
        ]

    @classmethod
    def build(cls, site: Site, opening: tuple[str, str] | None) -> PhotoParts:
        t = site.texts
        age = site.limits.keep_minutes * 60
        parts: dict[str, Any] = {
            "shown": gr.State(None, time_to_live=age),
            "history": gr.State([], time_to_live=age),
        }
        with gr.Row(equal_height=False, elem_id="stage"):
            with gr.Column(elem_classes="stage-photo"):
                parts["photo"] = photo_input(
                    label=t("photo"),
                    sources=["upload", "webcam", "clipboard"],
                    height=280,
                    elem_id="photo",
                    buttons=["fullscreen"],
                    placeholder=t("photo_drop"),
                )
            with gr.Column(elem_classes="stage-result"):
                parts |= _result(site, opening)
            with gr.Column(elem_classes="stage-examples"):
                parts["examples"] = {
                    kind: _examples(kind, t(f"{kind}_examples")) for kind in example_files()
                }
        parts |= _comparison(site)
        with gr.Accordion(t("history"), open=True, visible=False, elem_id="shelf") as shelf:
            gr.Markdown(t("history_info"))
            strip = gallery("history", columns=8, allow_preview=False, object_fit="cover")
            clear = gr.Button(t("history_clear"), size="sm", elem_id="clear")
        return cls(**parts, shelf=shelf, strip=strip, clear=clear)


def _result(site: Site, opening: tuple[str, str] | None) -> dict[str, Any]:
    t = site.texts
    slider = gr.ImageSlider(
        opening,
        label=t("result"),
        type="filepath",
        format="png",
        interactive=False,
        elem_id="slider",
        max_height=560,
        buttons=["fullscreen"],
    )
    view = gr.Radio(
        [(t("view_before"), 100), (t("view_half"), 50), (t("view_after"), 0)],
        value=50,
        label=t("view"),
        elem_id="view",
        elem_classes="plain",
    )
    guides = GuideParts.build(site)
    facts = gr.HTML(elem_id="facts", elem_classes="status")
    controls = Controls.build(site)
    form = FormParts.build(site)
    save = gr.Button(t("download"), variant="primary", interactive=False, elem_id="download")
    file = gr.DownloadButton(t("download_again"), visible="hidden", elem_id="download-file")
    remarks = gr.HTML(elem_id="remarks", elem_classes="status")
    with gr.Group(visible=False, elem_classes="plain") as truth:
        gr.Markdown(t("three_way"), elem_classes="heading")
        three = gallery("three", columns=3, buttons=["fullscreen"])
    classes = gr.HTML(elem_id="classes", elem_classes="classes")
    return {
        "slider": slider,
        "view": view,
        "facts": facts,
        "guides": guides,
        "controls": controls,
        "form": form,
        "save": save,
        "file": file,
        "remarks": remarks,
        "truth": truth,
        "three": three,
        "classes": classes,
    }


def _comparison(site: Site) -> dict[str, Any]:
    t = site.texts
    several = len(site.networks.names) > 1
    with gr.Accordion(t("compare"), open=False, visible=several, elem_id="compare"):
        gr.Markdown(t("compare_info"))
        compare = gr.Button(t("compare_button"), elem_id="compare-button")
        variants = gallery("variants", columns=3, buttons=["fullscreen"])
    return {"compare": compare, "variants": variants}


def example_files() -> dict[str, list[Path]]:
    """The photographs that the page offers, by kind."""
    colored = {path.stem: path for path in sample_paths("color")}
    chosen = [colored[name] for name in _COLOR_EXAMPLES if name in colored]
    return {"historic": sample_paths("historic"), "color": chosen}


def spoken_name(path: Path) -> str:
    """A sample's file name as its alternative text: "Macaws", "Nagasaki boats 1865"."""
    return path.stem.replace("-", " ").capitalize()


def _examples(kind: str, label: Any) -> Any:
    thumbs = [(_grey_thumb(path), spoken_name(path)) for path in example_files()[kind]]
    gr.Markdown(label, elem_classes="heading")
    return gallery(
        f"examples-{kind}",
        value=thumbs,
        columns=4,
        allow_preview=False,
        object_fit="cover",
        elem_classes=["strip", "examples"],
    )


def _grey_thumb(path: Path) -> str:
    small: Pixels = resized(read_image(path), _EXAMPLE_SIDE)
    return save_png(grey(small), page_path(f"thumb-{path.stem}.png"))


def chosen_example(kind: str) -> Callable[..., str]:
    """The event for a click into a gallery of examples: the photo, as if it were uploaded."""
    files = example_files()[kind]

    def chosen(event: gr.SelectData) -> str:
        return str(files[int(event.index) % len(files)])

    return chosen
