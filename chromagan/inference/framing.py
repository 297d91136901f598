"""How a photograph of any shape is laid before the network, and where its colours come back.

`square` squashes it, as the paper does; `aspect` keeps its proportions with the same number of
pixels (sides rounded to the network's stride, extreme shapes cut to `MAX_ASPECT`); `letterbox`
keeps them inside a square and repeats the border pixels into the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from chromagan.images.resizing import shrink
from chromagan.inference.recolour import luminance

Fit = Literal["square", "aspect", "letterbox"]
FITS: tuple[str, ...] = get_args(Fit)
MAX_ASPECT = 3.0
"""Panoramas beyond this are squashed to it: the network never saw longer ones."""


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
