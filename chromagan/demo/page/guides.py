"""Guide the colours: points clicked on the result, a reference photograph, the guides file.

The browser's part (`assets/guides.js`) keeps the points, their undo steps and the drawing over the
result. Every edit comes as an event of `PhotoParts.editor`; its value, JSON, is the answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from chromagan.demo.page.parts import QUIET, Site, Update, Values, lane
from chromagan.demo.page.photo_parts import PhotoParts
from chromagan.demo.page.visit import Shown, Visit
from chromagan.demo.results import Look
from chromagan.demo.studio import Upload
from chromagan.inference.guides import (
    GuideError,
    Guides,
    format_guides,
    parse_guides,
    read_guides,
)
from chromagan.inference.guides.swatches import name_color, suggest_colors

_OFFERS = 12  # colours to choose from
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


class GuidePanel:
    """What the panel's events do to the photograph that `parts` show; `looked` gives the parts
    that change with its colours."""

    def __init__(
        self, site: Site, parts: PhotoParts, looked: Callable[[Shown, Look, Visit], Update]
    ) -> None:
        self._site, self._parts, self._looked = site, parts, looked
        inputs: set[Any] = {parts.shown, parts.history, *parts.controls.look}
        outputs = [*parts.looked, parts.shown, parts.history, parts.editor]
        light = {**QUIET, **lane("light", site.workers.light)}
        last: dict[str, Any] = {"trigger_mode": "always_last"}
        parts.editor.edit(self.edit, inputs, outputs, **last, **light)
        parts.load.upload(self.load, {parts.load, *inputs}, outputs, **last, **light)
        gr.on(
            [parts.reference.input, parts.reference.clear],
            self.refer,
            {parts.reference, *inputs},
            outputs,
            **last,
            **lane("photo", site.workers.photo),
        )

    def edit(self, values: Values, event: gr.EventData, request: gr.Request) -> Update:
        """Points were set, moved, recoloured or removed in the browser."""
        visit = Visit(request)
        with visit.spoken():
            shown = visit.present(values[self._parts.shown])
            try:
                entries, selected, turn = list(event.points), int(event.selected), int(event.turn)
            except (AttributeError, TypeError, ValueError) as error:
                raise GuideError("the edit is not complete") from error
            # as a guides file, for the one check that there is
            file = json.loads(format_guides(Guides()))
            file["points"] = [_completed(entry, shown) for entry in entries]
            shown = shown.with_points(parse_guides(json.dumps(file)).points)
            return self._updated(shown, values, visit, turn=turn, selected=selected)

    def load(self, values: Values, request: gr.Request) -> Update:
        """A guides file was given: its points take the place of those that are there."""
        visit = Visit(request)
        with visit.spoken():
            shown = visit.present(values[self._parts.shown])
            path = Path(values[self._parts.load])
            try:
                points = read_guides(path).points
            except GuideError as error:
                reason = str(error).removeprefix(f"{path}: ")
                raise visit.error("bad_guides", name=path.name, reason=reason) from error
            return self._updated(shown.with_points(points), values, visit)

    def refer(self, values: Values, request: gr.Request) -> Update:
        """A photograph in colour was put beside the photo, or taken away."""
        visit, studio = Visit(request), self._site.studio
        upload: Upload | None = values[self._parts.reference]
        with visit.spoken(upload.name if upload else ""):
            shown = visit.present(values[self._parts.shown])
            reference = studio.reference(upload) if upload else None
            shown = shown.knowing(shown.known.with_reference(reference, studio))
            return self._updated(shown, values, visit)

    def _updated(self, shown: Shown, values: Values, visit: Visit, **view: Any) -> Update:
        parts, source, points = self._parts, shown.picture.source, shown.known.guides.points
        history = [
            replace(entry, points=points) if entry.source == source else entry
            for entry in values[parts.history]
        ]
        return self._looked(shown, parts.controls.look_of(values), visit) | {
            parts.shown: shown,
            parts.history: history,
            parts.editor: view_of(shown, visit, **view),
        }


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


def view_of(
    shown: Shown | None, visit: Visit, *, turn: int = -1, selected: int = -1, fresh: bool = False
) -> str:
    """The panel's contents as JSON: points, their names, offers.

    turn: of the edit that it answers; -1: take the points as they are here. fresh: another
    photograph, whose undo steps are none.
    """
    view: dict[str, Any] = {
        "turn": turn,
        "fresh": fresh,
        "texts": {key: visit.say(key) for key in _TEXTS},
        "points": [],
        "able": shown is not None and shown.known.able,
        "photo": shown is not None,
    }
    if shown is not None:
        prediction, points = shown.picture.colors.prediction, shown.known.guides.points
        view["points"] = [
            {
                "x": point.x,
                "y": point.y,
                "color": point.color,
                "radius": point.radius,
                "name": visit.color(name_color(prediction, point)),
            }
            for point in points
        ]
        view["file"] = format_guides(shown.known.guides)
        view["name"] = f"{shown.picture.name}-guides.json"
        if 0 <= selected < len(points) and shown.known.able:
            x, y = points[selected].x, points[selected].y
            view["swatches"] = [
                {"color": color, "name": visit.color(name)}
                for name, color in suggest_colors(prediction, x, y, count=_OFFERS)
            ]
    return json.dumps(view)
