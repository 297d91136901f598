"""What the guides' panel shows, as JSON for `assets/guides.js`: points, their names, offers."""

from __future__ import annotations

import json
from typing import Any

from chromagan.demo.page.shown import Shown
from chromagan.demo.page.visit import Visit
from chromagan.inference.guides import Point, format_guides
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


def _described(point: Point, shown: Shown, visit: Visit) -> dict[str, Any]:
    name = visit.color(name_color(shown.picture.colors.prediction, point))
    return {"x": point.x, "y": point.y, "color": point.color, "radius": point.radius, "name": name}


def _offers(point: Point, shown: Shown, visit: Visit) -> list[dict[str, str]]:
    prediction = shown.picture.colors.prediction
    found = suggest_colors(prediction, point.x, point.y, count=_OFFERS)
    return [{"color": color, "name": visit.color(name)} for name, color in found]
