"""Colours from known points: the protocol of random points, and other ways to spread them.

Zhang et al. 2017 and iColoriT reveal the true colours of random points and ask by how much the
picture gains. All ways here start from the same answer of the network, on the same grid, and differ
only in how they spread the difference to it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from chromagan.color import Floats, Rgb8, rgb8_to_lab
from chromagan.inference.guides.guidance import POINTS
from chromagan.inference.guides.propagation import Field, enlarging, propagate, sample
from eval.measures.quality import psnr, rebuild

COUNTS = (0, 1, 2, 5, 10, 20, 50, 100)
SIDE = 224

Spread = Callable[[Field, npt.NDArray[np.float64], Floats], Floats]
"""Field, places `(N, 2)` in [0, 1] and their ab `(N, 2)` -> ab `(h, w, 2)`."""


def guided(field: Field, places: npt.NDArray[np.float64], colors: Floats) -> Floats:
    """This project's guides."""
    return propagate(field, sample(field, places, colors), POINTS)


def normalised(field: Field, places: npt.NDArray[np.float64], colors: Floats) -> Floats:
    """The usual weighting, for comparison: sum k d / (prior + sum k)."""
    tau, near, similar, prior = 0.15, 0.3, 15.0, 0.1
    known = sample(field, places, colors)
    height, width = field.luminance.shape
    grid = (np.mgrid[:height, :width].reshape(2, -1).T[:, ::-1] + 0.5) / (width, height)
    channels, low_height, low_width = field.features.shape
    low = (known.features @ field.features.reshape(channels, -1)).reshape(-1, low_height, low_width)
    cosine = enlarging(low_height, height) @ low @ enlarging(low_width, width).T
    exponent = (cosine.reshape(len(low), -1).T - 1) / tau
    exponent -= (field.luminance.reshape(-1, 1) - known.luminance) ** 2 / (2 * similar**2)
    exponent -= ((grid[:, None] - known.place) ** 2).sum(-1) / (2 * near**2)
    weights = np.exp(exponent)
    change = weights @ known.difference / (prior + weights.sum(axis=1, keepdims=True))
    result: Floats = (field.ab + change.reshape(field.ab.shape)).astype(np.float32)
    return result


def along_edges(field: Field, places: npt.NDArray[np.float64], colors: Floats) -> Floats:
    """Levin, Lischinski and Weiss 2004, eq. 1-2, on the differences: luminance edges alone.

    Every place is the mean of its 3x3 neighbours, weighted by exp(-dL^2 / s); known places are
    what they are. s is 0.6 of the window's variance, but never so small that all neighbours
    vanish, as in the authors' program.
    """
    from scipy.sparse import diags, eye
    from scipy.sparse.linalg import splu

    known = sample(field, places, colors)
    height, width = field.luminance.shape
    column, row = (known.place * (width, height)).astype(np.intp).T
    index = row * width + column
    free = np.ones(height * width)
    free[index] = 0
    values = np.zeros((height * width, 2))
    values[index] = known.difference
    system = eye(height * width) - diags(free) @ _neighbours(field.luminance)
    change = splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A").solve(values)
    result: Floats = field.ab + change.reshape(field.ab.shape).astype(np.float32)
    return result


WAYS: dict[str, Spread] = {
    "guides": guided,
    "normalised kernel": normalised,
    "luminance edges (Levin 2004)": along_edges,
}


def truth_on(truth: Rgb8, size: tuple[int, int]) -> Floats:
    """True ab `(h, w, 2)` of a photograph at the size of a grid, the mean of each cell."""
    height, width = size
    ab = rgb8_to_lab(truth)[1:]
    cells = ab.reshape(2, height, ab.shape[1] // height, width, ab.shape[2] // width)
    return np.moveaxis(cells.mean(axis=(2, 4)), 0, -1)


def random_points(
    true_ab: Floats, count: int, seed: tuple[int, ...]
) -> tuple[npt.NDArray[np.float64], Floats]:
    """Places `(count, 2)`, uniform over the cells of the grid, and their true ab."""
    height, width = true_ab.shape[:2]
    row, column = np.random.default_rng(seed).integers(0, (height, width), (count, 2)).T
    places = np.stack(((column + 0.5) / width, (row + 0.5) / height), axis=1)
    return places, true_ab[row, column]


def official_psnr(truth: Rgb8, output: Rgb8) -> float:
    """The chroma of `output` with the luminance of `truth`, both 224², against `truth`."""
    return psnr(truth, rebuild(rgb8_to_lab(truth), rgb8_to_lab(output)[1:]))


def _neighbours(luminance: Floats) -> object:
    """Rows of weights over the eight neighbours that add up to 1, sparse `(h * w, h * w)`."""
    from scipy.sparse import csr_matrix

    height, width = luminance.shape
    padded = np.pad(luminance.astype(np.float64), 1, constant_values=np.nan)
    steps = [(y, x) for y in (0, 1, 2) for x in (0, 1, 2)]
    window = np.stack([padded[y : y + height, x : x + width] for y, x in steps])
    squared = (window - luminance) ** 2
    squared[4] = np.nan  # itself
    least = np.nanmin(squared, axis=0) / -np.log(0.01)
    scale = np.maximum(np.maximum(0.6 * np.nanvar(window, axis=0), least), 0.02)
    weights = np.nan_to_num(np.exp(-squared / scale))
    weights /= weights.sum(axis=0)
    place = np.arange(height * width).reshape(height, width)
    target = np.stack([place + (y - 1) * width + (x - 1) for y, x in steps])
    there = weights > 0
    rows = np.broadcast_to(place, there.shape)[there]
    return csr_matrix((weights[there], (rows, target[there])), shape=(place.size, place.size))
