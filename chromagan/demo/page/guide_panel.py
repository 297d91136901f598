"""Guide the colours: points clicked on the result, a reference photograph, the guides file.

The browser's part (`assets/guides.js`) keeps the points, their undo steps and the drawing over the
result. Every edit comes as an event of `PhotoParts.guides.editor`; its value, JSON, is the answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from chromagan.demo.page.guide_view import view_of
from chromagan.demo.page.parts import Site, Update, Values, lane
from chromagan.demo.page.photo_parts import PhotoParts
from chromagan.demo.page.shown import Shown
from chromagan.demo.page.visit import Visit
from chromagan.demo.pictures.guided import reference_pixels
from chromagan.demo.pictures.photo import Look, Upload
from chromagan.demo.visitors.history import with_points
from chromagan.inference.guides import (
    GuideError,
    Guides,
    Point,
    format_guides,
    parse_guides,
    read_guides,
)
from chromagan.inference.guides.swatches import suggest_colors


class GuidePanel:
    """What the panel's events do to the photograph that `page` shows; `looked` gives the parts of
    it that change with its colours."""

    def __init__(
        self, site: Site, page: PhotoParts, looked: Callable[[Shown, Look, Visit], Update]
    ) -> None:
        self._site = site
        self._page = page
        self._looked = looked

    def connect(self) -> None:
        """Bind the panel's events."""
        page, parts = self._page, self._page.guides
        inputs = {page.shown, page.history, *page.controls.look}
        outputs = [*page.looked, page.shown, page.history, parts.editor]
        light: dict[str, Any] = {
            "trigger_mode": "always_last",
            "show_progress": "hidden",
            **lane("light", self._site.workers.light),
        }
        parts.editor.edit(self.edit, inputs, outputs, **light)
        parts.load.upload(self.load, {parts.load, *inputs}, outputs, **light)
        gr.on(
            [parts.reference.input, parts.reference.clear],
            self.refer,
            {parts.reference, *inputs},
            outputs,
            trigger_mode="always_last",
            **lane("photo", self._site.workers.photo),
        )

    def edit(self, values: Values, event: gr.EventData, request: gr.Request) -> Update:
        """Points were set, moved, recoloured or removed in the browser."""
        visit = Visit(request)
        with visit.spoken():
            shown: Shown = visit.present(values[self._page.shown])
            asked = _Edit.parse(event)
            entries = [_completed(entry, shown) for entry in asked.points]
            shown = _with_points(shown, parse_guides(_file(entries)).points)
            return self._updated(shown, values, visit, turn=asked.turn, selected=asked.selected)

    def load(self, values: Values, request: gr.Request) -> Update:
        """A guides file was given: its points take the place of those that are there."""
        visit = Visit(request)
        with visit.spoken():
            shown: Shown = visit.present(values[self._page.shown])
            path = Path(values[self._page.guides.load])
            try:
                points = read_guides(path).points
            except GuideError as error:
                reason = str(error).removeprefix(f"{path}: ")
                raise visit.error("bad_guides", name=path.name, reason=reason) from error
            return self._updated(_with_points(shown, points), values, visit)

    def refer(self, values: Values, request: gr.Request) -> Update:
        """A photograph in colour was put beside the photo, or taken away."""
        visit, studio = Visit(request), self._site.studio
        upload: Upload | None = values[self._page.guides.reference]
        with visit.spoken(upload.name if upload else ""):
            shown: Shown = visit.present(values[self._page.shown])
            reference = reference_pixels(upload, studio) if upload else None
            shown = shown.knowing(shown.known.with_reference(reference, studio))
            return self._updated(shown, values, visit)

    def _updated(self, shown: Shown, values: Values, visit: Visit, **view: Any) -> Update:
        page, points = self._page, shown.known.guides.points
        look, history = page.controls.look_of(values), values[page.history]
        return self._looked(shown, look, visit) | {
            page.shown: shown,
            page.history: with_points(history, shown.picture.source, points),
            page.guides.editor: view_of(shown, visit, **view),
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


def _with_points(shown: Shown, points: tuple[Point, ...]) -> Shown:
    known = shown.known
    return shown.knowing(known.with_guides(replace(known.guides, points=points)))


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
