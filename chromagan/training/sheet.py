"""A fixed sheet of pictures for every kept checkpoint: a choice by eye, and its record."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from chromagan.color import decode_ab, decode_l, lab_to_rgb_in_gamut
from chromagan.images import read_image
from chromagan.samples import sample_paths
from chromagan.training.data import PhotoSet
from chromagan.training.data.batches import encode_squares
from chromagan.training.validation import Predict

PHOTOS = 16
SIDE = 224
COLUMNS = 7


class Sheet:
    """Sixteen photographs of the first validation set, then the historic samples; squashed."""

    def __init__(self, validation: tuple[str, ...]) -> None:
        pictures = [*_some(validation[:1]), *(read_image(p) for p in sample_paths("historic"))]
        self.squares = np.stack([_squash(picture) for picture in pictures])

    @torch.no_grad()
    def draw(self, predict: Predict, device: torch.device) -> NDArray[np.uint8]:
        """uint8 RGB, `COLUMNS` pictures a row, as `predict` colours them."""
        tiles: list[NDArray[np.uint8]] = []
        for number, square in enumerate(self.squares):
            l_B1HW, _ = encode_squares(square[None], device)
            ab = decode_ab(predict(l_B1HW, ("sheet", number)))
            rgb = lab_to_rgb_in_gamut(torch.cat((decode_l(l_B1HW), ab), dim=1))[0]
            tiles.append((rgb * 255).round().byte().permute(1, 2, 0).cpu().numpy())
        blank = np.full_like(tiles[0], 255)
        tiles += [blank] * (-len(tiles) % COLUMNS)
        rows = [np.concatenate(tiles[i : i + COLUMNS], 1) for i in range(0, len(tiles), COLUMNS)]
        return np.concatenate(rows)


def _some(sources: tuple[str, ...]) -> Iterable[NDArray[np.uint8]]:
    if not sources:
        return
    photos = PhotoSet(sources, shortest=2 * SIDE, cache_gib=0, flag="--validation")
    for number in np.linspace(0, len(photos) - 1, min(PHOTOS, len(photos))).astype(int):
        yield photos[int(number)]


def _squash(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
