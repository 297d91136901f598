"""The CIEDE2000 colour difference, vectorised."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.lab import blocks

Plane = npt.NDArray[np.floating[Any]]

_25_TO_7 = np.float32(25.0**7)


def delta_e2000(first: Plane, second: Plane) -> Plane:
    """ΔE00 per pixel between two Lab pictures `(3, ...)`; result float32 `(...)`, 0 = equal.

    Sharma, Wu, Dalal: "The CIEDE2000 Color-Difference Formula: Implementation Notes,
    Supplementary Test Data, and Mathematical Observations" (2005), equations 2-22 with
    k_L = k_C = k_H = 1. About 1 is a just noticeable difference. Compute dtype = input dtype.
    """
    one, two = first.reshape(3, -1), second.reshape(3, -1)
    result = np.empty(one.shape[1], np.result_type(one, two))
    for block in blocks(result.size):
        result[block] = _difference(one[:, block], two[:, block])
    return result.reshape(first.shape[1:])


def _difference(first: Plane, second: Plane) -> Plane:
    l1, a1, b1 = first
    l2, a2, b2 = second
    chroma_mean = (np.sqrt(a1 * a1 + b1 * b1) + np.sqrt(a2 * a2 + b2 * b2)) / 2
    stretch = 1.5 - 0.5 * _seventh_root_term(chroma_mean)  # 1 + G
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.sqrt(a1 * a1 + b1 * b1), np.sqrt(a2 * a2 + b2 * b2)
    h1, h2 = np.arctan2(b1, a1), np.arctan2(b2, a2)

    hue_step, hue_mean = _hue_difference(h1, h2, (c1 == 0) | (c2 == 0))
    delta_h = 2 * np.sqrt(c1 * c2) * np.sin(hue_step / 2)
    l_mean, c_mean = (l1 + l2) / 2, (c1 + c2) / 2

    weight = (
        1
        - 0.17 * np.cos(hue_mean - math.radians(30))
        + 0.24 * np.cos(2 * hue_mean)
        + 0.32 * np.cos(3 * hue_mean + math.radians(6))
        - 0.20 * np.cos(4 * hue_mean - math.radians(63))
    )
    offset = (l_mean - 50) ** 2
    scale_l = 1 + 0.015 * offset / np.sqrt(20 + offset)
    scale_c = 1 + 0.045 * c_mean
    scale_h = 1 + 0.015 * c_mean * weight

    degrees = np.rad2deg(hue_mean) % 360
    rotation = math.radians(60) * np.exp(-(((degrees - 275) / 25) ** 2))
    interaction = -np.sin(rotation) * 2 * _seventh_root_term(c_mean)

    term_l = (l2 - l1) / scale_l
    term_c = (c2 - c1) / scale_c
    term_h = delta_h / scale_h
    squared = term_l**2 + term_c**2 + term_h**2 + interaction * term_c * term_h
    result: Plane = np.sqrt(np.maximum(squared, 0))
    return result


def _seventh_root_term(chroma: Plane) -> Plane:
    """sqrt(C⁷ / (C⁷ + 25⁷)), by multiplication: `power` is many times slower."""
    cube = chroma * chroma * chroma
    seventh = cube * cube * chroma
    result: Plane = np.sqrt(seventh / (seventh + _25_TO_7))
    return result


def _hue_difference(h1: Plane, h2: Plane, achromatic: npt.NDArray[np.bool_]) -> tuple[Plane, Plane]:
    """Signed hue step in (-π, π] and mean hue, radians; equations 10 and 14."""
    step: Plane = h2 - h1
    wide = np.abs(step) > math.pi
    mean: Plane = (h1 + h2) / 2
    # crossing the ±π seam moves the mean to the other side; adding π keeps cosines right
    mean = np.where(wide, mean + math.pi, mean)
    step = np.where(wide, step - np.copysign(np.float32(2 * math.pi), step), step)
    mean = np.where(achromatic, h1 + h2, mean)
    return np.where(achromatic, np.float32(0), step), mean
