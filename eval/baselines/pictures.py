"""Between uint8 pictures and the tensors of the compared systems.

Large pictures are converted in bands of rows, so that memory stays near the picture's own size.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from chromagan.color import lab_to_rgb, rgb_to_lab

_BAND_PIXELS = 1 << 20


def row_bands(height: int, width: int) -> Iterator[slice]:
    """Slices that cover `height` rows, each of about a megapixel."""
    rows = max(1, _BAND_PIXELS // max(1, width))
    for start in range(0, height, rows):
        yield slice(start, min(height, start + rows))


def to_unit(image: NDArray[np.uint8]) -> Tensor:
    """uint8 H×W×3 -> float32 (3, H, W) in [0, 1]."""
    return torch.tensor(image).permute(2, 0, 1).float() / 255


def to_bytes(rgb: Tensor) -> NDArray[np.uint8]:
    """float (3, H, W) in [0, 1], clipped and rounded -> uint8 H×W×3."""
    planes = (rgb.clamp(0, 1) * 255).round().to(torch.uint8)
    array: NDArray[np.uint8] = planes.permute(1, 2, 0).contiguous().numpy()
    return array


def lightness(image: NDArray[np.uint8]) -> Tensor:
    """uint8 H×W×3 -> float32 (1, H, W): CIE L in [0, 100] of every pixel."""
    bands = row_bands(*image.shape[:2])
    return torch.cat([rgb_to_lab(to_unit(image[rows]))[:1] for rows in bands], dim=1)


def join_lab(luminance: Tensor, ab: Tensor) -> NDArray[np.uint8]:
    """L (1, H, W) and (a, b) (2, H, W), CIE units -> uint8 H×W×3.

    As `skimage.color.lab2rgb` in the authors' code: b is limited to what has no negative Z, and
    colours outside sRGB are cut per channel; there the luminance of the result differs from L.
    """
    bands = row_bands(*luminance.shape[-2:])
    return np.concatenate([_join(luminance[:, rows], ab[:, rows]) for rows in bands])


def _join(luminance: Tensor, ab: Tensor) -> NDArray[np.uint8]:
    a, b = ab.to(luminance).unbind(0)
    b = b.minimum((luminance[0] + 16) * (200 / 116))
    lab = torch.stack((luminance[0], a, b))
    return to_bytes(lab_to_rgb(lab))


def squash(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize to size×size with Pillow's bicubic filter, without keeping the aspect."""
    if image.shape[:2] == (size, size):
        return image
    picture = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def resize_bilinear(planes: Tensor, height: int, width: int) -> Tensor:
    """(C, h, w) -> (C, height, width): bilinear, pixel centres aligned, no prefilter."""
    if planes.shape[-2:] == (height, width):
        return planes
    resized = F.interpolate(planes[None], (height, width), mode="bilinear", align_corners=False)
    return resized[0]
