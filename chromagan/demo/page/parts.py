"""What the tabs share: how parts are made, controls that all of them read, lanes of work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from chromagan.demo.limits import Limits, Workers
from chromagan.demo.networks import Networks
from chromagan.demo.page.visit import Visit
from chromagan.demo.results import WARMEST, Form, Look
from chromagan.demo.studio import Studio, Upload

Values = Mapping[Any, Any]
"""What a handler is given: the value of each part that it reads."""
Update = dict[Any, Any]
"""What a handler gives back: the parts that change."""

UNDOCUMENTED: dict[str, Any] = {"api_visibility": "undocumented"}
"""The page's own events: callable, as everything in Gradio is, but no part of the offered API."""
QUIET: dict[str, Any] = {"show_progress": "hidden"}


def asset(name: str) -> str:
    """The text of a file in `assets/`."""
    return (Path(__file__).with_name("assets") / name).read_text(encoding="utf-8")


def lane(kind: str, limit: int) -> dict[str, Any]:
    """Options of the page's own events: not in the API's documentation, run in lanes by kind."""
    return {**UNDOCUMENTED, "concurrency_id": kind, "concurrency_limit": limit}


@dataclass(frozen=True)
class Site:
    """What all tabs and visitors share. texts: Gradio's I18n, key -> label."""

    studio: Studio
    workers: Workers
    texts: Any

    @property
    def networks(self) -> Networks:
        return self.studio.networks

    @property
    def limits(self) -> Limits:
        return self.studio.limits

    def known(self, network: str | None, visit: Visit) -> str:
        """The network of that name, or the default; an error for a name that is not offered."""
        name = network or self.networks.default
        if name not in self.networks.names:
            names = ", ".join(self.networks.names)
            raise visit.error("unknown_network", name=name, names=names)
        return name


class Controls:
    """The parts that every tab reads."""

    def __init__(self, site: Site) -> None:
        t = site.texts
        choices = [(site.networks.title(name), name) for name in site.networks.names]
        slider: dict[str, Any] = {"min_width": 140, "buttons": ["reset"]}
        with gr.Row():
            saturation = gr.Slider(
                0,
                2,
                1,
                step=0.05,
                label=t("saturation"),
                info=t("saturation_info"),
                elem_id="saturation",
                **slider,
            )
            temperature = gr.Slider(
                -WARMEST,
                WARMEST,
                0,
                step=1,
                label=t("temperature"),
                info=t("temperature_info"),
                elem_id="temperature",
                **slider,
            )
        self.network = gr.Radio(
            choices,
            value=site.networks.default,
            label=t("network"),
            elem_id="network",
            visible=len(choices) > 1,
        )
        stamp = gr.Checkbox(label=t("stamp"), value=False, elem_id="stamp", container=False)
        self.look: list[Any] = [saturation, temperature, stamp]
        self.all = [self.network, *self.look]

    def look_of(self, values: Values) -> Look:
        return Look(*(values[part] for part in self.look))


class FormParts:
    """kind: PNG, JPEG or TIFF. keep: the photograph's own metadata as well."""

    def __init__(self, site: Site, prefix: str = "", **options: Any) -> None:
        """prefix: of the elements' names. options: of the choice of the format."""
        t = site.texts
        options = {"choices": file_kinds(), "value": "png", "label": t("format")} | options
        self.kind = gr.Radio(elem_id=f"{prefix}format", **options)
        box: dict[str, Any] = {"value": False, "container": False, "elem_id": f"{prefix}keep"}
        self.keep = gr.Checkbox(label=t("keep"), **box)
        self.all = [self.kind, self.keep]

    def form_of(self, values: Values) -> Form:
        return Form(values[self.kind], values[self.keep])


def file_kinds(tiff: str = "") -> list[tuple[str, str]]:
    """The choices of a download's format; tiff: what TIFF is called where it is offered."""
    kinds = [("PNG", "png"), ("JPEG", "jpeg")]
    return [*kinds, (tiff, "tiff")] if tiff else kinds


def photo_input(**options: Any) -> Any:
    """A `gr.Image` that hands over the uploaded file untouched, as an `Upload`.

    The component opens it with Pillow first, so that a file Pillow cannot read never reaches the
    handler, and its visitor sees an error without a reason. (Not a subclass: Gradio writes a
    stub file beside every module that defines one. So a handler with this among its outputs must
    give it a value: for what is left out or skipped, Gradio makes a plain `gr.Image` instead.)
    """
    image: Any = gr.Image(type="filepath", image_mode=None, format="png", **options)
    image.preprocess = lambda payload: _upload(payload) if payload is not None else None
    return image


def files_input(**options: Any) -> Any:
    """A `gr.File` for several files that keeps the names their owner gave them."""
    files: Any = gr.File(file_count="multiple", type="filepath", **options)
    files.preprocess = lambda payload: [_upload(item) for item in payload.root] if payload else []
    return files


def _upload(payload: Any) -> Upload:
    return Upload(payload.path, payload.orig_name or Path(payload.path).name)


def gallery(elem_id: str, **options: Any) -> Any:
    """A result grid: PNG only, as high as its pictures, no label over them."""
    settings: dict[str, Any] = {
        "show_label": False,
        "format": "png",
        "height": "auto",
        "interactive": False,
        "object_fit": "contain",
        "elem_classes": "strip",
        "buttons": [],
    }
    return gr.Gallery(elem_id=elem_id, **(settings | options))
