"""Spread known colours over a picture: one way for clicks, strokes, references and frames.

What is known is a set of samples: with this feature, luminance and place, the picture has this
colour. The difference d_s = ab_s - ab_net(s) between a sample's colour and the network's own answer
there is taken for two errors of the network, both Gaussian processes over the picture:

    ab(p) = ab_net(p) + g(p) + o(p)
    g(p) = sum_s u_s k_g(p, s),   (K_g + diag n) u = d,             n_s = n_g + |d_s - g(s)|^2 / T^2
    o(p) = sum_s v_s k_o(p, s),   (K_o + noise I) v = d - g

The drift g is broad: a picture that is a little too brown everywhere. It is fitted robustly (n_s
by two reweightings, as for Student's t), so that a large difference counts as a thing of its own
colour, not as drift. What is left belongs to objects: k_o is narrow, and follows the difference
however large. Both kernels are sums of products of likeness:

    k(p, q) = sum_i w_i exp((cos(f_p, f_q) - 1) / tau_i - (L_p - L_q)^2 / 2 sigma_Li^2
                            - |ab_p - ab_q|^2 / 2 sigma_Ci^2 - |x_p - x_q|^2 / 2 sigma_Xi^2)

over features f with the picture's mean removed, luminance L, the network's own colours ab and,
within one picture, places x. Where the network's chroma C is low it errs less, so that k_g also has
the factors s_p s_q, s^2 = (C^2 + c0^2) / (C^2 + c1^2). Far from every sample, in whatever sense,
the network's colours stay; two clicks on one dress count as one piece of knowledge; a click gets
the colour it asks for.
(A normalised weighting, the usual choice, does neither: see `eval/README.md` for both, measured.)

Everything here is a pure function of NumPy arrays and needs no network run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MAX_SAMPLES = 1000
"""More than this are thinned: the linear systems are their square."""
_SPOT = 0.012  # sides of the picture around a sample where its colour is exact
_JITTER = 1e-3  # keeps the systems regular where samples repeat each other
_REWEIGHTINGS = 2
_BLOCK = 1 << 16  # kernel values computed at a time


@dataclass(frozen=True)
class Component:
    """One term of a kernel; an infinite scale leaves a factor out."""

    tau: float
    """Scale of the features' cosine distance."""
    luminance: float
    """Scale in CIE L."""
    chroma: float
    """Scale in CIE ab, of the network's own colours."""
    place: float = np.inf
    """Scale in sides of the picture. Finite: the term acts within one picture only."""
    weight: float = 1.0


@dataclass(frozen=True)
class Kernel:
    """The covariances of the network's errors, and what a sample is taken for."""

    drift: Component
    drift_noise: float
    """n_g: variance of a sample around the drift, relative to the drift's own."""
    tolerance: float
    """T, CIE units: a difference much larger than this is no drift."""
    neutral: tuple[float, float]
    """c0 and c1, CIE units of chroma: the drift of neutral places is c0 / c1 of that of others."""
    objects: tuple[Component, ...]
    """Their weights add up to 1."""
    noise: float
    """Variance of a sample's own error relative to `objects`; it stays at the sample's place."""


class Field(NamedTuple):
    """A picture as the kernels see it, on the grid of the network's answer."""

    features: Floats
    """`(C, h', w')` of any size: centred and of unit length at every place (`centred`)."""
    luminance: Floats
    """`(h, w)`, CIE L."""
    ab: Floats
    """`(h, w, 2)`, the network's answer in CIE units."""


class Samples(NamedTuple):
    """What is known, one row a sample."""

    features: Floats
    """`(N, C)`, interpolated from a field's."""
    luminance: Floats
    """`(N,)`, CIE L."""
    ab: Floats
    """`(N, 2)`, the network's answer at the sample."""
    difference: Floats
    """`(N, 2)`, the known colour minus `ab`."""
    place: Floats
    """`(N, 2)`, x and y in [0, 1]; NaN for samples of another picture."""

    def thinned(self, most: int = MAX_SAMPLES) -> Samples:
        """At most `most` samples, evenly taken."""
        count = len(self.luminance)
        if count <= most:
            return self
        rows = np.linspace(0, count - 1, most).astype(np.intp)
        return Samples(*(column[rows] for column in self))

    def without_places(self) -> Samples:
        """The same as seen from another picture."""
        return self._replace(place=np.full_like(self.place, np.nan))


def join(parts: Sequence[Samples]) -> Samples:
    """Samples of several sources as one set."""
    return Samples(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def centred(features: NDArray[np.floating]) -> Floats:
    """A feature map `(C, h, w)` without the picture's mean, unit length at every place."""
    mean = features.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    rest = features.astype(np.float32) - mean
    length = np.linalg.norm(rest, axis=0, keepdims=True)
    unit: Floats = rest / np.maximum(length, np.float32(1e-6))
    return unit


def sample(field: Field, places: NDArray[np.floating], colors: NDArray[np.floating]) -> Samples:
    """Samples of the picture itself: `places` `(N, 2)` in [0, 1], their ab `colors` `(N, 2)`."""
    size = np.array(field.luminance.shape[::-1])
    column, row = np.clip((places * size).astype(np.intp), 0, size - 1).T
    rows = enlarging(field.features.shape[1], size[1])[row]
    columns = enlarging(field.features.shape[2], size[0])[column]
    features = np.einsum("nh,chw,nw->nc", rows, field.features, columns, optimize=True)
    ab = field.ab[row, column]
    return Samples(
        features.astype(np.float32),
        field.luminance[row, column],
        ab,
        colors.astype(np.float32) - ab,
        ((np.stack((column, row), axis=1) + 0.5) / size).astype(np.float32),
    )


def propagate(field: Field, samples: Samples, kernel: Kernel) -> Floats:
    """ab `(h, w, 2)` of the picture after what the samples know; no samples change nothing."""
    samples = samples.thinned()
    if not len(samples.luminance):
        return field.ab.copy()
    drift, objects = _weights(samples, kernel)
    result = np.empty_like(field.ab)
    for rows, likeness in _to_picture(field, samples):
        change = likeness.of([kernel.drift]).T @ drift
        change *= _spread(field.ab[rows].reshape(-1, 2), kernel)[:, None]
        change += likeness.of(kernel.objects, spot=kernel.noise).T @ objects
        result[rows] = field.ab[rows] + change.reshape(result[rows].shape)
    return result


def _weights(samples: Samples, kernel: Kernel) -> tuple[Floats, Floats]:
    """s u and v of the module's formulas, `(N, 2)` each."""
    likeness = _among(samples)
    remainder: Floats = samples.difference
    spread = _spread(samples.ab, kernel)[:, None]
    broad: Floats = likeness.of([kernel.drift]) * spread * spread.T
    for _ in range(_REWEIGHTINGS):
        errors = kernel.drift_noise + np.square(remainder).sum(axis=1) / kernel.tolerance**2
        drift = _solve(broad, errors, samples.difference)
        remainder = samples.difference - broad @ drift
    placeless = np.isnan(samples.place[:, 0])
    own = _JITTER + np.where(placeless, kernel.noise, 0)
    objects = _solve(likeness.of(kernel.objects, spot=kernel.noise), own, remainder)
    return spread * drift, objects


def _spread(ab: Floats, kernel: Kernel) -> Floats:
    """s of the module's formulas for colours `(N, 2)`: the drift's standard deviation."""
    squared = np.square(ab).sum(axis=1)
    low, high = (np.float32(chroma**2) for chroma in kernel.neutral)
    spread: Floats = np.sqrt((squared + low) / (squared + high))
    return spread


def _solve(covariance: Floats, noise: NDArray[np.floating], values: Floats) -> Floats:
    system = covariance.astype(np.float64) + np.diag(noise)
    solution: Floats = np.linalg.solve(system, values).astype(np.float32)
    return solution


class _Likeness(NamedTuple):
    """What kernels are made of, between some places and samples; one shape."""

    cosine: Floats
    luminance: Floats
    """Squared distances from here on."""
    chroma: Floats
    place: Floats
    """NaN between pictures. Samples of one other picture have no place among themselves either:
    what they know must not depend on a layout that the picture to colour does not share."""

    def of(self, components: Sequence[Component], *, spot: float = 0.0) -> Floats:
        """The kernel's values; `spot` is the weight of a term for the sample's own place."""
        total = np.zeros_like(self.cosine)
        for item in components:
            exponent = (self.cosine - 1) / np.float32(item.tau)
            exponent -= self.luminance * np.float32(0.5 / item.luminance**2)
            exponent -= self.chroma * np.float32(0.5 / item.chroma**2)
            if np.isfinite(item.place):
                exponent -= self.place * np.float32(0.5 / item.place**2)
            total += self._term(exponent, item.weight)
        if spot:
            total += self._term(self.place * np.float32(-0.5 / _SPOT**2), spot)
        return total

    @staticmethod
    def _term(exponent: Floats, weight: float) -> Floats:
        term: Floats = np.nan_to_num(np.exp(exponent, out=exponent), copy=False)
        term *= np.float32(weight)
        return term


def _among(samples: Samples) -> _Likeness:
    return _Likeness(
        samples.features @ samples.features.T,
        np.square(samples.luminance[:, None] - samples.luminance),
        _distance(samples.ab[:, None], samples.ab),
        _distance(samples.place[:, None], samples.place),
    )


def _to_picture(field: Field, samples: Samples) -> Iterator[tuple[slice, _Likeness]]:
    """Between the samples and every place of some rows of the picture, `(N, rows * w)`."""
    height, width = field.luminance.shape
    channels, low_height, low_width = field.features.shape
    low = (samples.features @ field.features.reshape(channels, -1)).reshape(-1, low_width)
    wide = (low @ enlarging(low_width, width).T).reshape(-1, low_height, width)
    taller = enlarging(low_height, height)
    y, x = ((np.arange(side, dtype=np.float32) + 0.5) / side for side in (height, width))
    for rows in _blocks(height, width * len(wide)):
        places = np.stack(np.broadcast_arrays(x, y[rows, None]), axis=-1).reshape(-1, 2)
        yield (
            rows,
            _Likeness(
                np.matmul(taller[rows], wide).reshape(len(wide), -1),
                np.square(samples.luminance[:, None] - field.luminance[rows].ravel()),
                _distance(samples.ab[:, None], field.ab[rows].reshape(-1, 2)),
                _distance(samples.place[:, None], places),
            ),
        )


def _distance(these: Floats, those: Floats) -> Floats:
    """Squared distances of pairs along the last axis."""
    squared: Floats = np.square(these[..., 0] - those[..., 0])
    squared += np.square(these[..., 1] - those[..., 1])
    return squared


def enlarging(low: int, high: int) -> Floats:
    """The matrix `(high, low)` of bilinear interpolation between pixel centres."""
    place = np.clip((np.arange(high) + 0.5) * low / high - 0.5, 0, low - 1)
    first = np.minimum(place.astype(np.intp), max(low - 2, 0))
    share = (place - first).astype(np.float32)
    matrix = np.zeros((high, low), np.float32)
    matrix[np.arange(high), first] = 1 - share
    matrix[np.arange(high), np.minimum(first + 1, low - 1)] += share
    return matrix


def _blocks(rows: int, values: int) -> Iterator[slice]:
    """Slices of the rows, each of which has `values` kernel values: few enough for the cache."""
    step = max(1, _BLOCK // values)
    return (slice(start, start + step) for start in range(0, rows, step))
