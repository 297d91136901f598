"""What the network sees of a photograph of any shape, and what it says of it.

`square` squashes it, as the paper does; `aspect` keeps its proportions with the same number of
pixels (sides rounded to the network's stride, extreme shapes cut to `MAX_ASPECT`); `letterbox`
keeps them inside a square and repeats the border pixels into the rest.

Squashed into one square, a panorama loses its colours: a sky's b of -22 at 1.8:1 is +19 at 20:1.
So it is cut along its long side into windows of about 3:2 that overlap by half; each place is the
mean of two windows, weighted by its distance to their ends, so that no seam can be seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from chromagan.images.pixels import shrink
from chromagan.inference.recolour import luminance

Fit = Literal["square", "aspect", "letterbox"]
FITS: tuple[str, ...] = get_args(Fit)
MAX_ASPECT = 3.0
"""Panoramas beyond this are squashed to it: the network never saw longer ones."""
LONGEST = 2.0
"""Photographs up to this aspect are seen whole."""
WINDOW_ASPECT = 1.5
MOST_WINDOWS = 64
"""Beyond (50:1) the windows grow instead: time and memory stay bounded."""
TOP_CLASSES = 5


@cache
def imagenet_labels() -> tuple[str, ...]:
    """English names of the 1000 ImageNet classes, in the order of the class head."""
    path = Path(__file__).with_name("imagenet_labels.txt")
    return tuple(path.read_text(encoding="utf-8").splitlines())


@dataclass(frozen=True)
class Prediction:
    """Everything of one run of the network; colours can be guided and joined without another."""

    ab: NDArray[np.float32]
    """`(h, w, 2)` in CIE units, covering the whole photograph at the network's own size."""
    probabilities: NDArray[np.float32] | None = None
    """`(classes,)` of the class head, adding up to 1; None without one."""
    features: NDArray[np.float32] | None = None
    """`(h/4, w/4, C)`: the fused map over the same photograph; None where an engine has none. The
    sides are a quarter of ab's, of panoramas but for rounding."""
    luminance: NDArray[np.float32] | None = None
    """`(h, w)`, CIE L in [0, 100] of the photograph at the size of `ab`."""

    def top(self, count: int = TOP_CLASSES) -> list[tuple[str, float]]:
        """The likeliest ImageNet classes with their probabilities; empty without a class head."""
        if self.probabilities is None:
            return []
        names = imagenet_labels()
        named = len(names) == len(self.probabilities)
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(names[i] if named else f"class {i}", float(self.probabilities[i])) for i in order]

    @property
    def classes(self) -> list[tuple[str, float]]:
        """`top` with the usual count."""
        return self.top()


@dataclass(frozen=True)
class Frame:
    """The network's input `height` x `width`, of which the photograph fills a corner (or all)."""

    height: int
    width: int
    content_height: int
    content_width: int


def plan_frame(height: int, width: int, *, fit: Fit, working_size: int, stride: int) -> Frame:
    """The frame of a photograph of `height` x `width` pixels."""
    if fit == "square":
        return Frame(working_size, working_size, working_size, working_size)
    aspect = min(max(width / height, 1 / MAX_ASPECT), MAX_ASPECT)
    if fit == "aspect":
        root = math.sqrt(aspect)
        tall = _multiple(working_size / root, stride)
        wide = _multiple(working_size * root, stride)
        return Frame(tall, wide, tall, wide)
    long = working_size
    # even sides, so that the half-size colours end on a pixel border
    tall = long if aspect <= 1 else _multiple(long / aspect, 2)
    wide = long if aspect >= 1 else _multiple(long * aspect, 2)
    return Frame(long, long, tall, wide)


def lay_out(image: NDArray[np.uint8], frame: Frame) -> NDArray[np.float32]:
    """uint8 RGB `(H, W, 3)` -> luminance code `(1, height, width)` in [0, 1]."""
    small = luminance(shrink(image, (frame.content_width, frame.content_height))) / np.float32(100)
    below, beside = frame.height - frame.content_height, frame.width - frame.content_width
    return np.pad(small, ((0, below), (0, beside)), mode="edge")[None]


def cut_out(answer: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """The photograph's part of one of the network's maps `(C, h, w)`, at least one place."""
    rows = max(1, frame.content_height * answer.shape[1] // frame.height)
    columns = max(1, frame.content_width * answer.shape[2] // frame.width)
    return answer[:, :rows, :columns]


def _multiple(length: float, step: int) -> int:
    return max(step, round(length / step) * step)


@dataclass(frozen=True)
class Windows:
    """Where a photograph is cut: `size` pixels from each of `starts` along `axis` (0 rows)."""

    axis: int
    length: int
    size: int
    starts: tuple[int, ...]

    def cut(self, image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        """The parts of uint8 RGB `(H, W, 3)`, views."""
        pieces = [slice(start, start + self.size) for start in self.starts]
        return [image[piece] if self.axis == 0 else image[:, piece] for piece in pieces]

    def join(self, maps: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Maps `(h, w, C)` of the windows, all of one size -> the map of the whole photograph."""
        parts = [np.moveaxis(part, self.axis, 0) for part in maps]
        steps = len(parts[0])
        scale = steps / self.size
        shape = (round(self.length * steps / self.size), *parts[0].shape[1:])
        total, weights = np.zeros(shape, np.float32), np.zeros(shape[0], np.float32)
        places = (np.arange(steps, dtype=np.float32) + np.float32(0.5)) / np.float32(steps)
        weight = np.minimum(places, 1 - places)
        for start, part in zip(self.starts, parts, strict=True):
            first = min(round(start * scale), shape[0] - steps)
            if start == self.starts[-1]:  # rounding must leave no place at the end without a window
                first = shape[0] - steps
            total[first : first + steps] += part * weight[:, None, None]
            weights[first : first + steps] += weight
        np.divide(total, weights[:, None, None], out=total)
        return np.moveaxis(total, 0, self.axis)


def windows_of(height: int, width: int) -> Windows | None:
    """The windows of a photograph of `height` x `width` pixels; None for one that is seen whole."""
    short, long = sorted((height, width))
    if long <= LONGEST * short:
        return None
    count = min(math.ceil(2 * long / (WINDOW_ASPECT * short) - 1), MOST_WINDOWS)
    size = min(long, math.ceil(2 * long / (count + 1)))  # `count` windows that overlap by half
    starts = tuple(round(i * (long - size) / (count - 1)) for i in range(count))
    return Windows(0 if height > width else 1, long, size, starts)
