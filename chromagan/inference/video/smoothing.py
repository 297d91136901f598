"""Steady colours: those of a frame follow a coloured key frame, and the frames before it.

Three steps. A key frame steers every frame through the guides' kernel (`guidance`): what looks like
a thing in it gets that thing's colour. Then the frame before anchors this one by the same kernel:
where nothing moved, its colours are known, and they spread to what belongs to them. Last, each
pixel at rest keeps a share of the colour it had (`Smoother`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from chromagan.color import Rgb8
from chromagan.inference.guides import Guides
from chromagan.inference.guides.guidance import POINTS, apply_guides, field_of
from chromagan.inference.guides.propagation import Samples, propagate, sample
from chromagan.inference.prediction import Prediction

Chroma = npt.NDArray[np.float32]
Plane = npt.NDArray[np.float32]

CUT = 9.0
"""Mean change of L between frames that counts as a new scene: the old colours are forgotten."""
MOTION = 4.5
"""Change of L at which a pixel's old colour has lost its say."""
STILL = 1.5
"""Pixels that changed less are standing still: there, changing chroma is flicker."""
MEMORY = 0.8
"""Share of the old colour where nothing moves."""
ANCHORS = 12
"""Places a side of the frame whose colours are carried over by the kernel."""


@dataclass(frozen=True)
class Past:
    """The frame before: its L `(h, w)`, what the network said of it and what it was given."""

    luminance: Plane
    raw: Chroma
    final: Chroma


class SteadyPainter:
    """Paints the frames of one clip in order, each in colours that follow the one before.

    predict: uint8 (H, W, 3) -> the network's answer. finish: frame and its ab -> coloured frame.
    key: samples of a coloured frame of the clip (`guidance.picture_samples`).
    """

    def __init__(
        self,
        predict: Callable[[Rgb8], Prediction],
        finish: Callable[[Rgb8, Chroma], Rgb8],
        key: Samples | None = None,
    ) -> None:
        self._predict = predict
        self._finish = finish
        self._guides = Guides(frame=key)
        self._past: Past | None = None
        self._flicker: list[tuple[float, float]] = []

    def __call__(self, image: Rgb8) -> Rgb8:
        prediction = self._predict(image)
        return self._finish(image, self._steadied(prediction))

    def flicker(self) -> tuple[float, float] | None:
        """Mean chroma change at rest before and after, CIE ab; None without two such frames."""
        if not self._flicker:
            return None
        raw, steady = np.mean(self._flicker, axis=0)
        return float(raw), float(steady)

    def _steadied(self, prediction: Prediction) -> Chroma:
        luminance = prediction.luminance
        if luminance is None:
            return prediction.ab
        able = prediction.features is not None
        ab = apply_guides(prediction, self._guides) if able else prediction.ab
        past = self._past
        if past is not None and past.luminance.shape == luminance.shape:
            change = np.abs(luminance - past.luminance)
            if float(change.mean()) <= CUT:
                if able:
                    ab = anchored(replace(prediction, ab=ab), past.final, change)
                ab = smoothed(ab, past.final, change)
                self._measure(prediction.ab, ab, past, change < STILL)
        self._past = Past(luminance, prediction.ab, ab)
        return ab

    def _measure(
        self, raw: Chroma, final: Chroma, past: Past, still: npt.NDArray[np.bool_]
    ) -> None:
        if still.any():
            before = np.linalg.norm(raw - past.raw, axis=-1)[still].mean()
            after = np.linalg.norm(final - past.final, axis=-1)[still].mean()
            self._flicker.append((float(before), float(after)))


def anchored(prediction: Prediction, previous: Chroma, change: Plane) -> Chroma:
    """ab `(h, w, 2)` of a frame after what the frame before knows of it.

    previous: ab of that frame, change: of L between the two, both at the size of `prediction.ab`.
    The kernel carries the colours of places at rest to whatever belongs to them.
    """
    height, width = change.shape
    rows = ((np.arange(ANCHORS) + 0.5) * height / ANCHORS).astype(np.intp)
    columns = ((np.arange(ANCHORS) + 0.5) * width / ANCHORS).astype(np.intp)
    row, column = (axis.ravel() for axis in np.meshgrid(rows, columns, indexing="ij"))
    still = change[row, column] < STILL
    row, column = row[still], column[still]
    if not len(row):
        return prediction.ab
    places = np.stack(((column + 0.5) / width, (row + 0.5) / height), axis=1)
    field = field_of(prediction)
    return propagate(field, sample(field, places, previous[row, column]), POINTS)


def smoothed(ab: Chroma, previous: Chroma, change: Plane) -> Chroma:
    """Recursive smoothing per pixel that follows motion, all at one size.

    smooth_t = k * smooth_{t-1} + (1 - k) * new_t, with k = memory * exp(-(dL / motion)^2): where
    the brightness changed, something moved, and the old colour belongs to something else.
    """
    keep = (MEMORY * np.exp(-((change / MOTION) ** 2)))[..., None]
    result: Chroma = (keep * previous + (1 - keep) * ab).astype(np.float32)
    return result
