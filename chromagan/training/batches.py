"""Batches by step number: which photographs a step sees depends on seed, step and rank alone.

That is what makes a resumed run equal to an uninterrupted one: nothing but the step is saved. Every
draw of a crop, a flip or a luminance comes from a given seed too.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from chromagan.color import encode_ab, encode_l, rgb_to_lab
from chromagan.training.photos import PhotoSet, is_grey

JITTER_SHARE = 0.5
"""Share of the pictures whose luminance is changed where `--jitter` is on."""


Purpose = Literal["order", "crop", "luminance", "critic", "network"]
_NUMBERS: dict[Purpose, int] = {"order": 1, "crop": 2, "luminance": 3, "critic": 4, "network": 5}


@dataclass(frozen=True)
class Crop:
    """How a photograph becomes a square: random window, flip, enlarged or reduced to `size`."""

    size: int
    zoom: float = 1.0
    """Smallest share of the short side that a window shows; 1 shows all of it."""
    stretch: float = 0.0
    """A window's long side may be longer or shorter by up to this share, and is squashed to a
    square, as pictures are at inference."""
    flip: bool = True

    def __call__(self, pixels: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
        """uint8 `(H, W, 3)` -> uint8 `(size, size, 3)`."""
        height, width = pixels.shape[:2]
        side = min(height, width) * random.uniform(self.zoom, 1.0)
        other = side * random.uniform(1 / (1 + self.stretch), 1 + self.stretch)
        box_w, box_h = (min(width, other), side) if width >= height else (side, min(height, other))
        left = random.uniform(0, width - box_w)
        top = random.uniform(0, height - box_h)
        square = Image.fromarray(pixels).resize(
            (self.size, self.size),
            Image.Resampling.BICUBIC,
            box=(left, top, left + box_w, top + box_h),
        )
        if self.flip and random.random() < 0.5:
            square = square.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.asarray(square)


def jitter_luminance(l_1HW: Tensor, strength: float, draws: torch.Generator) -> Tensor:
    """Old-photograph luminance: random tone curve, lifted blacks, dimmed whites, grain, softness.

    One picture's code in [0, 1] in and out; half of the draws change nothing. Only what the
    network sees is changed, never the colour it must predict.
    """
    applies, gamma, black, white, grain, soft = torch.rand(6, generator=draws).tolist()
    if not strength or applies >= JITTER_SHARE:
        return l_1HW
    x = l_1HW.clamp(0, 1) ** math.exp((2 * gamma - 1) * 0.7 * strength)
    low, high = 0.25 * black * strength, 1 - 0.25 * white * strength
    x = low + (high - low) * x
    padded = torch.nn.functional.pad(x[None], (1, 1, 1, 1), mode="replicate")
    x = torch.lerp(x, torch.nn.functional.avg_pool2d(padded, 3, stride=1)[0], soft * strength)
    noise = torch.randn(l_1HW.shape, generator=draws).to(l_1HW)
    grainy: Tensor = x + 0.06 * grain * strength * noise
    return grainy.clamp(0, 1)


@lru_cache(maxsize=2)  # threads that read ahead are in the next epoch already
def epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of one pass over the data."""
    return numpy_draws(seed, "order", epoch).permutation(count)


class View(NamedTuple):
    """One crop of one photograph."""

    square: NDArray[np.uint8]
    """`(S, S, 3)`."""
    photo: int
    """Which photograph, by `PhotoSet.identity`."""
    number: int
    """Which of its crops."""


class Batch(NamedTuple):
    """What a step learns from; codes in [0, 1] (see `chromagan.color`)."""

    seen: Tensor
    """Luminance as the network sees it, `(B, 1, S, S)`: that of an old photograph in some."""
    luminance: Tensor
    """True luminance, `(B, 1, S, S)`."""
    ab: Tensor
    """`(B, 2, S, S)`."""
    views: list[tuple[int, int]]
    """Photograph and view of every picture: what cached features go by."""


@dataclass
class Batches:
    """Photographs -> endless batches on a device.

    A view is one way of cropping a photograph; every epoch takes another, up to `cycle` of them.

    A global batch of `batch * world` consecutive places in the shuffled order is dealt out so that
    no photograph is read twice in an epoch, whatever the number of processes.
    """

    photos: PhotoSet
    crop: Crop
    _: KW_ONLY
    batch: int
    seed: int
    rank: int = 0
    world: int = 1
    workers: int = 2
    jitter: float = 0.0
    drop_grey: bool = False
    cycle: int | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def steps_per_epoch(self) -> int:
        return max(1, len(self.photos) // (self.batch * self.world))

    def numbers(self, step: int) -> list[tuple[int, int]]:
        """(photograph, view) of this rank at a step; the view is the epoch, modulo `cycle`."""
        first = (step * self.world + self.rank) * self.batch
        places = (self._place(first + i) for i in range(self.batch))
        return [(number, epoch % self.cycle if self.cycle else epoch) for epoch, number in places]

    def _place(self, place: int) -> tuple[int, int]:
        used = self.steps_per_epoch * self.batch * self.world  # a ragged end moves to later epochs
        if used > len(self.photos):  # fewer photographs than one batch: repeat them
            return divmod(place, len(self.photos))
        epoch, position = divmod(place, used)
        return epoch, int(epoch_order(len(self.photos), self.seed, epoch)[position])

    def _view(self, number: int, view: int) -> View:
        """A crop of a photograph: the same for the same photograph and view, whoever asks."""
        for attempt in range(10):
            used, pixels = self.photos.read((number + attempt * 7919) % len(self.photos))
            identity = self.photos.identity(used)
            square = self.crop(pixels, numpy_draws(self.seed, "crop", identity, view))
            if not self.drop_grey or not is_grey(square):
                break
        return View(square, identity, view)

    def views(self, step: int) -> list[View]:
        return [self._view(number, view) for number, view in self.numbers(step)]

    def __call__(self, step: int) -> Batch:
        return self.encode(self.views(step))

    def encode(self, views: list[View]) -> Batch:
        """Crops -> codes on the device."""
        l_B1HW, ab_B2HW = encode_squares(np.stack([view.square for view in views]), self.device)
        seen = [
            jitter_luminance(
                l_1HW, self.jitter, torch_draws(self.seed, "luminance", view.photo, view.number)
            )
            for l_1HW, view in zip(l_B1HW, views, strict=True)
        ]
        return Batch(torch.stack(seen), l_B1HW, ab_B2HW, [(v.photo, v.number) for v in views])

    def stream(self, start: int) -> Generator[Batch, None, None]:
        """Batches from a step on, decoded ahead in background threads; `workers` 0: in the loop."""
        while self.workers == 0:
            yield self(start)
            start += 1
        ahead = max(2, self.workers)
        with ThreadPoolExecutor(max(1, self.workers), thread_name_prefix="decode") as pool:
            queue: deque[Future[list[View]]] = deque()
            steps = itertools.count(start)
            try:
                while True:
                    while len(queue) < ahead:
                        queue.append(pool.submit(self.views, next(steps)))
                    yield self.encode(queue.popleft().result())
            finally:
                for future in queue:
                    future.cancel()


def encode_squares(squares: NDArray[np.uint8], device: torch.device) -> tuple[Tensor, Tensor]:
    """uint8 `(B, H, W, 3)` -> luminance code `(B, 1, H, W)`, ab code `(B, 2, H, W)`."""
    rgb = torch.from_numpy(squares).to(device, non_blocking=True).permute(0, 3, 1, 2).float() / 255
    lab = rgb_to_lab(rgb)
    return encode_l(lab[:, :1]), encode_ab(lab[:, 1:])


def numpy_draws(seed: int, purpose: Purpose, *place: int) -> np.random.Generator:
    """NumPy's generator for one place, independent of all others."""
    # numpy takes a short key for the same key with zeros behind it: hence the length
    return np.random.default_rng((seed, _NUMBERS[purpose], len(place), *place))


def torch_draws(seed: int, purpose: Purpose, *place: int) -> torch.Generator:
    """The same for torch, on the CPU."""
    return torch.Generator().manual_seed(torch_seed(seed, purpose, *place))


def torch_seed(seed: int, purpose: Purpose, *place: int) -> int:
    """A number for `torch.manual_seed`, which layers such as dropout draw from."""
    return int(numpy_draws(seed, purpose, *place).integers(2**63))
