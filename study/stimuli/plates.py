"""Colour-vision plates drawn by the program: a digit of dots among dots.

The first plate of a participant is a control that everybody with this screen can read (light
digit on dark); in the others only the red-green direction separates digit and ground, with
random lightness on both. A screen is not calibrated, so this describes participants; it is no
diagnosis.
"""

from __future__ import annotations

import io
import random
import threading
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from chromagan.color import lab_to_rgb, to_bytes

SIZE = 240
_SCALE = 2  # drawn larger, then reduced: smooth dots
_DIGITS = "23456789"
_VARIANTS = 4
_drawing = threading.Lock()
# CIE Lab (D65): ground and digit differ along a*, as the confusion lines of both red-green
# deficiencies mostly do
_RED_GREEN = ((-24.0, 26.0), (27.0, 26.0))
_CONTROL = ((4.0, -22.0), (4.0, -22.0))


def digits_of(seed: int, count: int) -> str:
    """The digits on a participant's plates, no two neighbours alike."""
    rng = random.Random(f"plates-{seed}")
    digits = ""
    for _ in range(count):
        digits += rng.choice([digit for digit in _DIGITS if digit != digits[-1:]])
    return digits


def count_correct(seed: int, answers: list[str]) -> int:
    """How many of the answers name the digit of their plate."""
    digits = digits_of(seed, len(answers))
    return sum(answer.strip() == digit for answer, digit in zip(answers, digits, strict=True))


def plate_of(seed: int, index: int) -> bytes:
    """Plate `index` of a participant as a PNG file, 240×240."""
    with _drawing:  # many threads drawing at once take much longer than one after another
        return draw_plate(digits_of(seed, index + 1)[index], index == 0, seed % _VARIANTS)


@lru_cache(maxsize=256)
def draw_plate(digit: str, is_control: bool, variant: int) -> bytes:
    """One plate as a PNG file; the drawings differ by variant."""
    rng = np.random.default_rng([int(digit), is_control, variant])
    inside = _digit_mask(digit)
    side = SIZE * _SCALE
    image = Image.new("RGB", (side, side), (238, 238, 238))
    pen = ImageDraw.Draw(image)
    centres, radii = _dots(rng, side)
    ground, figure = _CONTROL if is_control else _RED_GREEN
    in_figure = inside[centres[:, 1].astype(int), centres[:, 0].astype(int)]
    lightness = rng.uniform(48, 74, len(centres))
    if is_control:
        lightness = np.where(in_figure, rng.uniform(78, 88, len(centres)), lightness - 14)
    chroma = np.where(in_figure[:, None], np.array(figure), np.array(ground))
    chroma = chroma + rng.normal(0, 3.0, chroma.shape)
    colours = to_bytes(lab_to_rgb(np.column_stack([lightness, chroma]), axis=-1))
    for (x, y), radius, colour in zip(centres, radii, colours, strict=True):
        box = (x - radius, y - radius, x + radius, y + radius)
        pen.ellipse(box, fill=(int(colour[0]), int(colour[1]), int(colour[2])))
    buffer = io.BytesIO()
    image.resize((SIZE, SIZE), Image.Resampling.LANCZOS).save(buffer, format="PNG")
    return buffer.getvalue()


def _digit_mask(digit: str) -> npt.NDArray[np.bool_]:
    side = SIZE * _SCALE
    mask = Image.new("L", (side, side), 0)
    font = ImageFont.load_default(size=side * 0.78)
    ImageDraw.Draw(mask).text(
        (side / 2, side / 2), digit, fill=255, font=font, anchor="mm", stroke_width=side // 60
    )
    return np.asarray(mask) > 127


def _dots(
    rng: np.random.Generator, side: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Centres and radii of dots on a jittered hexagonal grid inside a circle."""
    step = side / 30
    rows, columns = np.mgrid[0:36, 0:32]
    x = (columns + 0.5 * (rows % 2)) * step
    y = rows * step * np.sqrt(3) / 2
    centres = np.column_stack([x.ravel(), y.ravel()]) + rng.uniform(-0.14, 0.14, (x.size, 2)) * step
    distance = np.hypot(*(centres - side / 2).T)
    centres = centres[distance < side * 0.48]
    return centres, step * rng.uniform(0.30, 0.46, len(centres))
