"""What a run says of itself on photographs it never trains on: figures, and pictures to look at.

Two kinds of figures, which must not be mixed. Mean PSNR averages logarithms over pictures, as the
paper does; pictures with little colour rule it. The pooled error is one mean over all pixels of all
pictures; it tells whether colours are too strong or too weak.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from chromagan.color import decode_ab, decode_l, lab_to_rgb, lab_to_rgb_in_gamut
from chromagan.files import write_atomically
from chromagan.images import read_image
from chromagan.images.pixels import squash
from chromagan.samples import sample_paths
from chromagan.training.batches import encode_squares
from chromagan.training.photos import PhotoSet

LIMIT = 200
GRID = 8
CHUNK = 20
SHEET_PHOTOS = 16
SHEET_SIDE = 224
SHEET_COLUMNS = 7
FACTORS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4)
"""Chroma factors among which the best for mean PSNR is looked for."""

Predict = Callable[[Tensor, Hashable], Tensor]
"""Luminance code `(B, 1, S, S)` and a name for these pictures -> ab code `(B, 2, S, S)`."""


class Validation:
    """Fixed photographs, squashed to squares. Quality numbers come from `eval/psnr.py` alone.

    Every source is a set of its own; figures of the second and later ones carry its name.
    """

    def __init__(self, sources: tuple[str, ...], side: int, device: torch.device) -> None:
        self.device = device
        self.sets = {source: _squares(source, side, LIMIT) for source in sources}

    def __call__(self, predict: Predict) -> dict[str, float]:
        """Figures of all sets, see `figures`."""
        named: dict[str, float] = {}
        for number, (source, squares) in enumerate(self.sets.items()):
            prefix = f"{Path(source).stem}/" if number else ""
            rows = figures(self._predictions(predict, source, squares))
            named |= {f"{prefix}val_{name}": value for name, value in rows.items()}
        return named

    @torch.no_grad()
    def _predictions(
        self, predict: Predict, source: str, squares: NDArray[np.uint8]
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for start in range(0, len(squares), CHUNK):
            l_B1HW, ab_B2HW = encode_squares(squares[start : start + CHUNK], self.device)
            yield decode_l(l_B1HW), decode_ab(ab_B2HW), decode_ab(predict(l_B1HW, (source, start)))

    def grid(self, predict: Predict) -> NDArray[np.uint8]:
        """Rows of grey, prediction, truth as one uint8 picture `(3 * side, 8 * side, 3)`."""
        first = next(self._predictions(predict, *next(iter(self.sets.items()))))
        luminance, ab, ab_hat = (codes[:GRID] for codes in first)
        rows = [_pictures(luminance, row) for row in (torch.zeros_like(ab), ab_hat, ab)]
        return _tiled([picture for row in rows for picture in row], len(ab))


class Sheet:
    """The same pictures for every kept checkpoint, for a choice by eye, squashed.

    Sixteen photographs of the first validation set, then the historic samples.
    """

    def __init__(self, validation: tuple[str, ...]) -> None:
        squares = [squash(read_image(path), SHEET_SIDE) for path in sample_paths("historic")]
        if validation:
            squares[:0] = _squares(validation[0], SHEET_SIDE, SHEET_PHOTOS)
        self.squares = np.stack(squares)

    @torch.no_grad()
    def draw(self, predict: Predict, device: torch.device) -> NDArray[np.uint8]:
        """uint8 RGB, `SHEET_COLUMNS` pictures a row, as `predict` colours them."""
        tiles: list[NDArray[np.uint8]] = []
        for number, square in enumerate(self.squares):
            l_B1HW, _ = encode_squares(square[None], device)
            ab = decode_ab(predict(l_B1HW, ("sheet", number)))
            tiles += list(_pictures(decode_l(l_B1HW), ab))
        return _tiled(tiles, SHEET_COLUMNS)


@torch.no_grad()
def figures(batches: Iterator[tuple[Tensor, Tensor, Tensor]]) -> dict[str, float]:
    """Figures over batches of (L, true ab, predicted ab), CIE units `(B, ., H, W)`.

    `color`: pooled squared error, eq. (2), in ab code. `gain`: how far it lies below grey's, dB.
    `pooled_factor`: the factor on chroma at which it would be lowest; below 1 is overconfidence.
    `chroma`: mean predicted chroma over the true one. `psnr_gain`: mean over pictures of PSNR
    above grey's, 8-bit RGB, dB. `psnr_factor`: the factor on chroma that is best for it (one of
    `FACTORS`, on every fourth pixel); `psnr_best`: the gain there.
    """
    sums, gains, coarse = [], [], []
    for luminance, ab, ab_hat in batches:
        moments = (ab_hat - ab).square(), ab.square(), ab_hat.square(), ab * ab_hat
        chroma = ab_hat.norm(dim=1), ab.norm(dim=1)
        sums.append(torch.stack([t.sum() for t in (*moments, *chroma)]).double().cpu())
        gains.append(psnr_gains(luminance, ab, ab_hat, (1.0,)))
        few = [t[..., ::2, ::2] for t in (luminance, ab, ab_hat)]
        coarse.append(psnr_gains(few[0], few[1], few[2], FACTORS))
        count = ab.shape[-1] * ab.shape[-2] * ab.shape[1]
    error, grey, power, product, chroma_hat, chroma_true = torch.stack(sums).sum(0).tolist()
    gain = torch.cat(gains, dim=1).mean().item()
    by_factor = torch.cat(coarse, dim=1).mean(dim=1)
    best = int(by_factor.argmax())
    pictures = sum(g.shape[1] for g in gains)
    return {
        "color": error / 255**2 / (pictures * count),
        "gain": 10 * float(np.log10(max(grey, 1e-9) / max(error, 1e-9))),
        "pooled_factor": product / max(power, 1e-9),
        "chroma": chroma_hat / max(chroma_true, 1e-9),
        "psnr_gain": gain,
        "psnr_best": gain + (by_factor[best] - by_factor[FACTORS.index(1.0)]).item(),
        "psnr_factor": FACTORS[best],
    }


def psnr_gains(luminance: Tensor, ab: Tensor, ab_hat: Tensor, factors: tuple[float, ...]) -> Tensor:
    """`(factors, B)`: PSNR above grey's in 8-bit RGB with the predicted chroma times a factor."""

    def picture(chroma: Tensor) -> Tensor:
        return (lab_to_rgb(torch.cat((luminance, chroma), dim=1)) * 255).round()

    def error(chroma: Tensor) -> Tensor:
        return (picture(chroma) - truth).square().mean(dim=(1, 2, 3)).clamp_min(1e-3).log10()

    truth = picture(ab)
    grey = error(torch.zeros_like(ab))
    return 10 * torch.stack([grey - error(factor * ab_hat) for factor in factors]).cpu()


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    write_atomically(path, lambda file: Image.fromarray(pixels).save(file, "PNG"))


def _squares(source: str, side: int, limit: int) -> NDArray[np.uint8]:
    """Up to `limit` photographs, evenly chosen, `(N, side, side, 3)`."""
    photos = PhotoSet((source,), shortest=2 * side, cache_gib=0, flag="--validation")
    numbers = np.linspace(0, len(photos) - 1, min(limit, len(photos))).astype(int)
    return np.stack([squash(photos[int(number)], side) for number in numbers])


def _pictures(luminance: Tensor, ab: Tensor) -> NDArray[np.uint8]:
    """L `(B, 1, H, W)` and ab `(B, 2, H, W)` in CIE units -> uint8 RGB `(B, H, W, 3)`."""
    rgb = lab_to_rgb_in_gamut(torch.cat((luminance, ab), dim=1))
    pixels: NDArray[np.uint8] = (rgb * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return pixels


def _tiled(pictures: Sequence[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """Rows of `columns` pictures of one size; the last is filled up with white."""
    tiles = [*pictures, *[np.full_like(pictures[0], 255)] * (-len(pictures) % columns)]
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])
