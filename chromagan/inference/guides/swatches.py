"""Colours that are plausible for a place in a photograph, with plain names, to choose from.

The luminance of the place is given; what can be chosen are hue and chroma. How common a hue is at
a brightness, and how strong it usually is there, was counted over 180 photographs (chroma: the
third quartile of pixels above 8 CIE units); near the network's own answer it is likelier still.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from chromagan.color import lab_to_rgb_in_gamut, to_bytes
from chromagan.inference.guides.points import Point
from chromagan.inference.prediction import Prediction

Floats = NDArray[np.float64]

PREDICTED = "as predicted"
_BOUNDS = (30.0, 50.0, 70.0)  # CIE L between the four brightnesses of the table
_REACH = 40.0  # CIE ab: how fast plausibility falls away from the network's own colour
_ALIKE = 9.0  # CIE ab: nearer than this to an earlier swatch, a colour is no choice


class _Hue(NamedTuple):
    """A row of the table; four entries each, from dark to light."""

    degrees: float
    names: str
    chroma: tuple[int, ...]
    percent: tuple[int, ...]


_HUES = (
    _Hue(0, "wine red, raspberry, rose, pink", (22, 35, 37, 27), (2, 2, 2, 2)),
    _Hue(32, "dark red, red, coral, salmon", (37, 60, 47, 27), (15, 13, 7, 3)),
    _Hue(57, "dark brown, dark skin, skin, light skin", (20,) * 4, (15,) * 4),
    _Hue(64, "umber, brown, tan, peach", (26, 37, 40, 28), (19, 24, 24, 16)),
    _Hue(88, "dark olive, ochre, sand, cream", (23, 32, 36, 25), (15, 18, 25, 35)),
    _Hue(92, "bronze, dark gold, gold, yellow", (30, 48, 60, 65), (3, 4, 5, 6)),
    _Hue(
        120, "dark green, leaf green, grass green, pale green", (23, 31, 39, 35), (21, 16, 14, 12)
    ),
    _Hue(152, "forest green, emerald, sea green, mint", (25, 40, 34, 23), (6, 6, 4, 3)),
    _Hue(200, "dark teal, teal, turquoise, aqua", (15, 28, 30, 25), (2, 2, 2, 3)),
    _Hue(245, "slate, slate blue, grey blue, light grey blue", (14, 18, 22, 18), (3, 4, 5, 12)),
    _Hue(275, "navy, blue, sky blue, pale blue", (25, 38, 32, 21), (7, 11, 14, 10)),
    _Hue(305, "deep purple, violet, lilac, lavender", (30, 40, 29, 19), (5, 2, 2, 2)),
    _Hue(335, "plum, magenta, mauve, pale pink", (20, 30, 25, 16), (2, 1, 1, 1)),
    _Hue(0, "black, dark grey, grey, white", (0,) * 4, (34, 23, 24, 41)),
)


def suggest_colors(
    prediction: Prediction, x: float, y: float, luminance: float | None = None, *, count: int = 8
) -> list[tuple[str, str]]:
    """(name, sRGB `#rrggbb`) for a place, `x` and `y` in [0, 1] from the top left.

    The network's own colour comes first, then others, the most plausible first, all in gamut at
    the `luminance` (CIE L; the place's own where the prediction knows it). Deterministic.
    """
    own, known = _at(prediction, x, y)
    return _offers(own, known if luminance is None else luminance)[:count]


def name_color(prediction: Prediction, point: Point) -> str:
    """The name of a point's colour: the swatch that it is most like, at its own brightness."""
    return _name(*_at(prediction, point.x, point.y), point.color)


@lru_cache(maxsize=4096)  # an edit changes one point and names all of them
def _name(own: tuple[float, float], known: float, color: str) -> str:
    asked = Point(0, 0, color)
    luminance = float(asked.lab[0])
    if abs(luminance - known) < 1:  # a swatch of the place, but for the rounding to bytes
        luminance = known
    offered = _offers(own, luminance)
    for name, offer in offered:
        if offer == color:
            return name
    others = offered[1:] or offered
    ab = np.stack([Point(0, 0, offer).ab for _, offer in others])
    return others[int(((ab - asked.ab) ** 2).sum(axis=1).argmin())][0]


def _offers(own: tuple[float, float], luminance: float) -> list[tuple[str, str]]:
    """All of `suggest_colors` for a place of which the network says `own`."""
    found = [(PREDICTED, np.array(own))]
    for name, ab in _ranked(found[0][1], luminance):
        if all(math.dist(ab, other) >= _ALIKE for _, other in found[1:]):
            found.append((name, ab))
    lab = np.insert(np.stack([ab for _, ab in found]), 0, luminance, axis=1)
    colors = to_bytes(lab_to_rgb_in_gamut(lab, axis=-1)).tolist()
    named: dict[str, str] = {}
    for (name, _), (red, green, blue) in zip(found, colors, strict=True):
        named.setdefault(f"#{red:02x}{green:02x}{blue:02x}", name)  # the dark has few colours
    return [(name, color) for color, name in named.items()]


def _at(prediction: Prediction, x: float, y: float) -> tuple[tuple[float, float], float]:
    """The network's ab and the photograph's L at a place."""
    height, width = prediction.ab.shape[:2]
    row, column = min(int(y * height), height - 1), min(int(x * width), width - 1)
    known = prediction.luminance
    luminance = 50.0 if known is None else float(known[row, column])
    a, b = prediction.ab[row, column].tolist()
    return (a, b), luminance


def _ranked(own: Floats, luminance: float) -> list[tuple[str, Floats]]:
    band = sum(luminance >= bound for bound in _BOUNDS)
    choices = []
    for hue in _HUES:
        angle = math.radians(hue.degrees)
        ab = hue.chroma[band] * np.array((math.cos(angle), math.sin(angle)))
        near = math.exp(-0.5 * (math.dist(ab, own) / _REACH) ** 2)
        name = hue.names.split(", ")[band]
        choices.append((hue.percent[band] / 100 * near, name, ab))
    return [(name, ab) for _, name, ab in sorted(choices, key=lambda choice: -choice[0])]
