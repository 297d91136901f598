"""Guide the colours: points clicked on the result, a reference photograph, the guides file.

The browser's part (`assets/guides.js`) keeps the points, their undo steps and the drawing over the
result. Every edit comes as an event of `GuideParts.editor`, whose value, JSON, is the answer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from chromagan.color import Rgb8, rgb8_to_lab
from chromagan.demo.page.parts import Site, lane, photo_input
from chromagan.demo.page.shown import Shown
from chromagan.demo.page.visit import Visit
from chromagan.demo.pictures.guided import reference_pixels
from chromagan.demo.pictures.photo import Look, Upload
from chromagan.demo.visitors.history import Entry, with_points
from chromagan.inference.guides import (
    GuideError,
    Guides,
    Point,
    format_guides,
    parse_guides,
    read_guides,
)
from chromagan.inference.swatches import suggest_colors

if TYPE_CHECKING:
    from chromagan.demo.page.photo_tab import PhotoTab

Update = dict[Any, Any]

_OFFERS = 12  # colours to choose from

_ON_LOAD = """
window.guides.connect((edit) => trigger('edit', edit));
watch('value', () => window.guides.receive(props.value));
"""
_TEXTS = (
    "guide_hint",
    "guide_unable",
    "guide_add",
    "guide_undo",
    "guide_clear",
    "guide_save",
    "guide_point",
    "guide_color",
    "guide_x",
    "guide_y",
    "guide_remove",
    "guide_swatches",
)


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


class GuidePanel:
    """What the panel's events do to the photograph that `tab` shows."""

    def __init__(self, site: Site, tab: PhotoTab) -> None:
        self._site = site
        self._tab = tab
        self._parts = tab.parts.guides

    def connect(self) -> None:
        """Bind the panel's events."""
        page, parts = self._tab.parts, self._parts
        inputs = [page.shown, page.history, *page.controls.look]
        outputs = [*page.looked, page.shown, page.history, parts.editor]
        light: dict[str, Any] = {
            "trigger_mode": "always_last",
            "show_progress": "hidden",
            **lane("light", self._site.workers.light),
        }
        parts.editor.edit(self.edit, inputs, outputs, **light)
        parts.load.upload(self.load, [parts.load, *inputs], outputs, **light)
        gr.on(
            [parts.reference.input, parts.reference.clear],
            self.refer,
            [parts.reference, *inputs],
            outputs,
            trigger_mode="always_last",
            **lane("photo", self._site.workers.photo),
        )

    def edit(
        self,
        event: gr.EventData,
        shown: Shown | None,
        history: list[Entry],
        saturation: float,
        temperature: float,
        stamp: bool,
        request: gr.Request,
    ) -> Update:
        """Points were set, moved, recoloured or removed in the browser."""
        visit = Visit(request)
        if shown is None:
            raise visit.error("no_photo")
        with visit.spoken():
            asked = _Edit.parse(event)
            entries = [_completed(entry, shown) for entry in asked.points]
            points = parse_guides(_file(entries)).points
            shown = _with_points(shown, points)
            look = Look(saturation, temperature, stamp)
            return self._updated(
                shown, history, look, visit, turn=asked.turn, selected=asked.selected
            )

    def load(
        self,
        path: str,
        shown: Shown | None,
        history: list[Entry],
        saturation: float,
        temperature: float,
        stamp: bool,
        request: gr.Request,
    ) -> Update:
        """A guides file was given: its points take the place of those that are there."""
        visit = Visit(request)
        if shown is None:
            raise visit.error("no_photo")
        with visit.spoken():
            try:
                points = read_guides(Path(path)).points
            except GuideError as error:
                reason = str(error).removeprefix(f"{path}: ")
                raise visit.error("bad_guides", name=Path(path).name, reason=reason) from error
            shown = _with_points(shown, points)
            look = Look(saturation, temperature, stamp)
            return self._updated(shown, history, look, visit)

    def refer(
        self,
        upload: Upload | None,
        shown: Shown | None,
        history: list[Entry],
        saturation: float,
        temperature: float,
        stamp: bool,
        request: gr.Request,
    ) -> Update:
        """A photograph in colour was put beside the photo, or taken away."""
        visit = Visit(request)
        if shown is None:
            raise visit.error("no_photo")
        with visit.spoken(upload.name if upload else ""):
            studio = self._site.studio
            reference = reference_pixels(upload, studio) if upload else None
            shown = shown.knowing(shown.known.with_reference(reference, studio))
            look = Look(saturation, temperature, stamp)
            return self._updated(shown, history, look, visit)

    def _updated(
        self, shown: Shown, history: list[Entry], look: Look, visit: Visit, **view: Any
    ) -> Update:
        page, points = self._tab.parts, shown.known.guides.points
        return self._tab.looked(shown, look, visit) | {
            page.shown: shown,
            page.history: with_points(history, shown.picture.source, points),
            self._parts.editor: view_of(shown, visit, **view),
        }


@dataclass(frozen=True)
class _Edit:
    """What the browser says: all points, the selected one, and the edit's number."""

    points: list[Any]
    selected: int
    turn: int

    @classmethod
    def parse(cls, event: gr.EventData) -> _Edit:
        try:
            return cls(list(event.points), int(event.selected), int(event.turn))
        except (AttributeError, TypeError, ValueError) as error:
            raise GuideError("the edit is not complete") from error


def view_of(
    shown: Shown | None,
    visit: Visit,
    *,
    turn: int = -1,
    selected: int = -1,
    fresh: bool = False,
) -> str:
    """The panel's contents as JSON. turn: of the edit that it answers; -1: take the points as they
    are here. fresh: another photograph, whose undo steps are none."""
    view: dict[str, Any] = {
        "turn": turn,
        "fresh": fresh,
        "texts": {key: visit.say(key) for key in _TEXTS},
        "points": [],
        "able": shown is not None and shown.known.able,
        "photo": shown is not None,
    }
    if shown is not None:
        points = shown.known.guides.points
        view |= {
            "points": [_described(point, shown, visit) for point in points],
            "file": format_guides(shown.known.guides),
            "name": f"{shown.picture.name}-guides.json",
        }
        if 0 <= selected < len(points) and shown.known.able:
            view["swatches"] = _offers(points[selected], shown, visit)
    return json.dumps(view)


def _with_points(shown: Shown, points: tuple[Point, ...]) -> Shown:
    known = shown.known
    return shown.knowing(known.with_guides(replace(known.guides, points=points)))


def _described(point: Point, shown: Shown, visit: Visit) -> dict[str, Any]:
    name = visit.color(_name(point, shown))
    return {"x": point.x, "y": point.y, "color": point.color, "radius": point.radius, "name": name}


def _name(point: Point, shown: Shown) -> str:
    """The suggested colour that a point's is most like, at its own brightness."""
    prediction = shown.picture.colors.prediction
    predicted, *_ = suggest_colors(prediction, point.x, point.y, count=1)
    if point.color == predicted[1]:
        return predicted[0]
    luminance = float(rgb8_to_lab(_rgb(point.color))[0, 0, 0])
    _, *offers = suggest_colors(prediction, point.x, point.y, luminance, count=100)
    return min(offers, key=lambda offer: _distance(offer[1], point.color))[0]


def _offers(point: Point, shown: Shown, visit: Visit) -> list[dict[str, str]]:
    prediction = shown.picture.colors.prediction
    found = suggest_colors(prediction, point.x, point.y, count=_OFFERS)
    return [{"color": color, "name": visit.color(name)} for name, color in found]


def _distance(first: str, second: str) -> float:
    """Between two `#rrggbb`, in ab: near enough for a name."""
    one, other = (rgb8_to_lab(_rgb(color))[1:, 0, 0] for color in (first, second))
    return float(np.hypot(*(one - other)))


def _rgb(color: str) -> Rgb8:
    return np.frombuffer(bytes.fromhex(color[1:]), np.uint8).reshape(1, 1, 3)


def _completed(entry: Any, shown: Shown) -> Any:
    """A point without a colour gets that which the place has now: "this is right, keep it"."""
    if not isinstance(entry, dict) or entry.get("color"):
        return entry
    try:
        x, y = float(entry["x"]), float(entry["y"])
    except (KeyError, TypeError, ValueError):
        return entry
    prediction = replace(shown.picture.colors.prediction, ab=shown.known.ab)
    _, color = suggest_colors(prediction, min(1, max(0, x)), min(1, max(0, y)), count=1)[0]
    return entry | {"color": color}


def _file(entries: list[Any]) -> str:
    """The text of a guides file with these entries, for the one check that there is."""
    header = json.loads(format_guides(Guides()))
    return json.dumps(header | {"points": entries})
