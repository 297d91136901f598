"""Resize 8-bit photographs for the network; Pillow's antialiased filters, any shape from 1x1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def shrink(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """uint8 RGB `(H, W, 3)` -> `(height, width, 3)` for `size` = (width, height).

    Bicubic with antialiasing; large reductions first average whole blocks, which changes less
    than one 8-bit step and is several times faster.
    """
    from PIL import Image

    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(
        Image.fromarray(image).resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    )


def squash(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """uint8 RGB `(H, W, 3)` -> `(side, side, 3)` without keeping the aspect; plain bicubic."""
    from PIL import Image

    if image.shape[:2] == (side, side):
        return image
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
