"""Enlarge a small ab field to the size of the photograph, band of rows by band of rows.

Three methods: `nearest` repeats pixels, as the official code does; `bilinear`; `guided` lets the
colour edges follow the photograph's own. Around each place ab is a linear function of luminance,
fitted at low resolution as in the guided filter (He, Sun and Tang 2013, eq. 5; the fast form, He
and Sun 2015). Unlike that filter it does not replace ab by the fit, which would smooth it: the fit
only adds to the enlarged ab what belongs to the luminance detail that the small size has lost.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Upsampling = Literal["nearest", "bilinear", "guided"]
UPSAMPLINGS: tuple[str, ...] = get_args(Upsampling)

GUIDE_RADIUS = 1
"""Radius of the fit's window in pixels of the small field."""
GUIDE_EPSILON = 25.0
"""Regulariser in squared L units: edges weaker than about its root count as texture."""

Floats = NDArray[np.float32]


class ChromaUpsampler:
    """An ab field `(h, w, 2)`, CIE units, ready to be read at `(H, W)` in any band of rows.

    `guide` is the photograph's L in [0, 100] at the field's own size `(h, w)`; `guided` needs it.
    A result depends on the place alone, never on how the rows are split into bands.
    """

    def __init__(
        self,
        ab: Floats,
        size: tuple[int, int],
        method: Upsampling = "bilinear",
        guide: Floats | None = None,
    ) -> None:
        if method not in UPSAMPLINGS:
            raise ValueError(f"upsampling must be one of {', '.join(UPSAMPLINGS)}: {method!r}")
        planes = np.ascontiguousarray(np.moveaxis(ab, -1, 0), dtype=np.float32)
        self._guided = method == "guided"
        if self._guided:
            if guide is None or guide.shape != planes.shape[1:]:
                raise ValueError("guided upsampling needs the luminance at the field's size")
            planes = local_linear_model(planes, guide)
        height, width = size
        nearest = method == "nearest"
        planes = _shrink_rows(planes, height)
        planes = np.moveaxis(_shrink_rows(np.moveaxis(planes, 1, 2), width), 1, 2)
        low, high, weight = _sources(planes.shape[2], width, nearest)
        left, right = planes[:, :, low], planes[:, :, high]
        self._planes = np.ascontiguousarray(left + (right - left) * weight)
        self._low, self._high, self._weight = _sources(planes.shape[1], height, nearest)

    def rows(self, top: int, bottom: int, luminance: Floats) -> Floats:
        """ab `(2, bottom - top, W)` of these rows; `luminance` is their L `(bottom - top, W)`."""
        low, high = self._low[top:bottom], self._high[top:bottom]
        weight = self._weight[top:bottom, None]
        above = self._planes[:, low]
        if weight.any():
            below = self._planes[:, high]
            below -= above
            below *= weight
            above += below
        if not self._guided:
            return above
        ab: Floats = above[:2]
        ab *= luminance
        ab += above[2:]
        return ab


def local_linear_model(planes: Floats, guide: Floats) -> Floats:
    """(slopes, offsets) `(2 * C, h, w)`: around every place a plane goes as slope * L + offset.

    At the place itself slope * L + offset is the plane, exactly.
    """
    mean_l = box_mean(guide)
    variance = box_mean(guide * guide) - mean_l * mean_l
    mean_p = box_mean(planes)
    covariance = box_mean(planes * guide) - mean_p * mean_l
    slope = box_mean(covariance / (variance.clip(min=0) + GUIDE_EPSILON))
    return np.concatenate((slope, planes - slope * guide))


def box_mean(values: NDArray[np.floating], radius: int = GUIDE_RADIUS) -> Floats:
    """Mean over the square window of `radius` on the last two axes, cut at the borders."""
    mean = values.astype(np.float64)
    for axis in (-2, -1):
        sums = np.moveaxis(mean, axis, 0).cumsum(axis=0)
        sums = np.concatenate((np.zeros_like(sums[:1]), sums))
        places = np.arange(len(sums) - 1)
        first = (places - radius).clip(min=0)
        last = (places + radius + 1).clip(max=len(places))
        counts = (last - first).reshape(-1, *[1] * (mean.ndim - 1))
        mean = np.moveaxis((sums[last] - sums[first]) / counts, 0, axis)
    return mean.astype(np.float32)


def _shrink_rows(planes: Floats, height: int) -> Floats:
    """Area-average the rows where the photograph has fewer than the field; no-op otherwise."""
    source = planes.shape[1]
    if height >= source:
        return planes
    sums = np.zeros((planes.shape[0], source + 1, planes.shape[2]), dtype=np.float64)
    np.cumsum(planes, axis=1, out=sums[:, 1:])
    edges = np.arange(height + 1) * (source / height)
    whole = np.minimum(edges.astype(np.intp), source - 1)
    part = (edges - whole)[:, None]
    integral = sums[:, whole] * (1 - part) + sums[:, whole + 1] * part
    means: Floats = (np.diff(integral, axis=1) * (height / source)).astype(np.float32)
    return means


def _sources(
    source: int, target: int, nearest: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """For each target pixel its two source pixels and the weight of the second (half-pixel)."""
    places = (np.arange(target) + 0.5) * (source / target)
    if nearest:
        index = np.minimum(places.astype(np.intp), source - 1)
        return index, index, np.zeros(target, dtype=np.float32)
    places = (places - 0.5).clip(0, source - 1)
    low = places.astype(np.intp)
    high = np.minimum(low + 1, source - 1)
    return low, high, (places - low).astype(np.float32)
