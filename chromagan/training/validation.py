"""What a run says of itself on photographs it never trains on: losses, and a grid to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from chromagan.color import decode_ab, decode_l, lab_to_rgb_in_gamut
from chromagan.config import TrainConfig
from chromagan.files import write_atomically
from chromagan.model import Generator, enlarge_ab
from chromagan.training.data import PhotoSet
from chromagan.training.data.batches import encode_squares

SIDE = 224
LIMIT = 200
GRID = 8


class Validation:
    """Fixed photographs, squashed to 224 x 224. Quality numbers come from `eval/psnr.py` alone."""

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        photos = PhotoSet(config.validation, shortest=2 * SIDE, cache_gib=0)
        side = config.model.image_size if config.model.architecture == "vgg16" else SIDE
        count = min(LIMIT, len(photos))
        numbers = np.linspace(0, len(photos) - 1, count).astype(int)
        self.squares = np.stack([_squash(photos[int(n)], side) for n in numbers])

    @torch.no_grad()
    def _predict(self, generator: Generator, squares: NDArray[np.uint8]) -> tuple[Tensor, ...]:
        l_B1HW, ab_B2HW = encode_squares(squares, self.device)
        output = generator(l_B1HW, classes=False)
        size = (squares.shape[1], squares.shape[2])
        return l_B1HW, ab_B2HW, enlarge_ab(output.ab, size, self.config.model)

    def __call__(self, generator: Generator) -> dict[str, float]:
        """`val_color`: eq. (2) in ab code. `val_gain`: how much lower than grey's, in dB of pooled
        squared ab error. `val_chroma`: mean predicted chroma over the true one."""
        generator.eval()
        errors, greys, chroma, true_chroma = [], [], [], []
        for start in range(0, len(self.squares), 20):
            _, ab, ab_hat = self._predict(generator, self.squares[start : start + 20])
            error, truth, guess = ab_hat - ab, decode_ab(ab), decode_ab(ab_hat)
            errors.append(error.square().mean())
            greys.append((truth / 255).square().mean())
            chroma.append(guess.norm(dim=1).mean())
            true_chroma.append(truth.norm(dim=1).mean())
        color, grey = torch.stack(errors).mean(), torch.stack(greys).mean()
        ratio = torch.stack(chroma).mean() / torch.stack(true_chroma).mean()
        return {
            "val_color": color.item(),
            "val_gain": (10 * torch.log10(grey / color)).item(),
            "val_chroma": ratio.item(),
        }

    def grid(self, generator: Generator) -> NDArray[np.uint8]:
        """Rows of grey, prediction, truth as one uint8 picture `(3 * side, 8 * side, 3)`."""
        generator.eval()
        l_B1HW, ab, ab_hat = self._predict(generator, self.squares[:GRID])
        rows = [torch.full_like(ab, 128 / 255), ab_hat, ab]
        pictures = [
            lab_to_rgb_in_gamut(torch.cat((decode_l(l_B1HW), decode_ab(row)), dim=1))
            for row in rows
        ]
        grid = torch.cat([torch.cat(list(p), dim=2) for p in pictures], dim=1)
        pixels: NDArray[np.uint8] = (grid * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        return pixels


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    write_atomically(path, lambda file: Image.fromarray(pixels).save(file, "PNG"))


def _squash(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    image = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image)
