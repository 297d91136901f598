"""Apply what a person knows to what the network predicted; no network run, some milliseconds.

    prediction = colorizer.predict(photo)                  # once
    ab = apply_guides(prediction, guides)                  # at every edit
    coloured = recolour(photo, ab)

Later kinds of knowledge are applied to the colours that earlier ones left: references, then the
frame, then points. A person's click has the last word.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chromagan.color import Rgb8, rgb8_to_lab
from chromagan.images.pixels import shrink
from chromagan.inference.guides.points import GuideError, Guides, Point
from chromagan.inference.guides.propagation import (
    MAX_SAMPLES,
    Component,
    Field,
    Floats,
    Kernel,
    Samples,
    centred,
    join,
    propagate,
    sample,
)
from chromagan.inference.prediction import Prediction

REFERENCE_SAMPLES = 600
"""Taken of one reference photograph, evenly over it."""
_RIM = 8  # samples on the circle of a point with a radius

POINTS = Kernel(
    drift=Component(tau=2.64, luminance=25.0, chroma=6.21, place=1.52),
    drift_noise=0.6,
    tolerance=18.0,
    neutral=(5.46, 9.97),
    objects=(
        Component(tau=0.5, luminance=10.0, chroma=15.0, place=0.6, weight=0.7),
        Component(tau=13.7, luminance=19.7, chroma=8.4, place=0.13, weight=0.3),
    ),
    noise=0.04,
)
"""For samples of the picture itself. Searched on 180 photographs (none of `val.tar`) for gains at
1 to 50 random points and against losses; then the first object term was given more range, because
it looks better (a click colours the whole wall), and the drift more trust, to gain more at five."""

REFERENCES = Kernel(
    drift=Component(tau=12.8, luminance=30.3, chroma=7.4),
    drift_noise=0.0956,
    tolerance=10.2,
    neutral=(3.15, 18.3),
    objects=(Component(tau=0.132, luminance=18.5, chroma=20.4),),
    noise=0.69,
)
"""For samples of other pictures, whose places mean nothing here. Searched on halves of the same
photographs."""


def apply_guides(prediction: Prediction, guides: Guides) -> Floats:
    """ab `(h, w, 2)`, CIE units, of a photograph after all that its guides know.

    Raises `GuideError` where the prediction has no features to guide it by.
    """
    if not guides:
        return prediction.ab
    field = field_of(prediction)
    if guides.references:
        known = join([each.without_places() for each in guides.references])
        field = field._replace(ab=propagate(field, known, REFERENCES))
    if guides.frame is not None:
        field = field._replace(ab=propagate(field, guides.frame, POINTS))
    if guides.points:
        known = point_samples(field, guides.points)
        field = field._replace(ab=propagate(field, known, POINTS))
    return field.ab


def field_of(prediction: Prediction) -> Field:
    """A prediction as the kernels see it."""
    if prediction.features is None or prediction.luminance is None:
        raise GuideError("this network or engine gives no features, which guides need: use lite")
    features = centred(np.moveaxis(prediction.features, -1, 0))
    return Field(features, prediction.luminance, prediction.ab)


def point_samples(field: Field, points: Sequence[Point]) -> Samples:
    """Samples of clicks and strokes: the place itself, and the rim where it has a radius."""
    height, width = field.luminance.shape
    rim = _RIM if len(points) * (_RIM + 1) <= MAX_SAMPLES else 0
    places, colors = [], []
    for point in sorted(
        points, key=lambda p: (p.y, p.x, p.color, p.radius)
    ):  # order is no knowledge
        wide = point.radius * min(height, width) >= 1  # else it is within one place of the grid
        disc = _disc(point, rim if wide else 0)
        places.append(disc)
        colors.append(np.broadcast_to(point.ab, disc.shape))
    return sample(field, np.concatenate(places), np.concatenate(colors))


def picture_samples(prediction: Prediction, photo: Rgb8, most: int = REFERENCE_SAMPLES) -> Samples:
    """Samples of a whole photograph in colour, uint8 RGB `(H, W, 3)`, and its own prediction."""
    field = field_of(prediction)
    height, width = field.luminance.shape
    true_ab = rgb8_to_lab(shrink(photo, (width, height)))[1:]
    step = max(1, math.ceil(math.sqrt(height * width / most)))
    rows, columns = np.mgrid[step // 2 : height : step, step // 2 : width : step].reshape(2, -1)
    places = np.stack(((columns + 0.5) / width, (rows + 0.5) / height), axis=1)
    return sample(field, places, true_ab[:, rows, columns].T)


def _disc(point: Point, rim: int) -> NDArray[np.float64]:
    """The point and `rim` places around it, as far as they are in the picture, `(N, 2)`."""
    angles = np.arange(rim) * (2 * np.pi / max(rim, 1))
    around = point.radius * np.stack((np.cos(angles), np.sin(angles)), axis=1)
    places = np.array((point.x, point.y)) + np.concatenate((np.zeros((1, 2)), around))
    inside: NDArray[np.float64] = places[((places >= 0) & (places <= 1)).all(axis=1)]
    return inside
