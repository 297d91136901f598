"""Batches by step number: what a step sees depends on seed, step and rank alone.

That is what makes a resumed run equal to an uninterrupted one: nothing but the step is saved.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chromagan.color import encode_ab, encode_l, rgb_to_lab
from chromagan.training.data.augment import Crop, jitter_luminance
from chromagan.training.data.photos import PhotoSet

GREY_CHROMA = 4.0
"""Mean CIE chroma below which a photograph counts as grey."""


def epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of one pass over the data."""
    return np.random.default_rng((seed, epoch)).permutation(count)


class Batches:
    """Photographs -> endless (luminance code, ab code) batches on a device.

    A global batch of `batch * world` consecutive places in the shuffled order is dealt out so that
    no photograph is read twice in an epoch, whatever the number of processes.
    """

    def __init__(
        self, photos: PhotoSet, crop: Crop, *, batch: int, seed: int, rank: int = 0, world: int = 1,
        workers: int = 2, jitter: float = 0.0, drop_grey: bool = False,
        device: torch.device | None = None,
    ) -> None:  # fmt: skip
        self.photos = photos
        self.crop = crop
        self.batch = batch
        self.seed = seed
        self.rank = rank
        self.world = world
        self.workers = workers
        self.jitter = jitter
        self.drop_grey = drop_grey
        self.device = device or torch.device("cpu")
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    @property
    def steps_per_epoch(self) -> int:
        return max(1, len(self.photos) // (self.batch * self.world))

    def numbers(self, step: int) -> list[int]:
        """Which photographs this rank reads at a step."""
        first = (step * self.world + self.rank) * self.batch
        return [self._number(first + i) for i in range(self.batch)]

    def _number(self, place: int) -> int:
        used = self.steps_per_epoch * self.batch * self.world  # a ragged end moves to later epochs
        if used > len(self.photos):  # fewer photographs than one batch: repeat them
            return place % len(self.photos)
        epoch, position = divmod(place, used)
        if self._order[0] != epoch:
            self._order = (epoch, epoch_order(len(self.photos), self.seed, epoch))
        return int(self._order[1][position])

    def _square(self, number: int, place: tuple[int, ...]) -> NDArray[np.uint8]:
        random = np.random.default_rng((self.seed, *place))
        for attempt in range(10):
            square = self.crop(self.photos[(number + attempt * 7919) % len(self.photos)], random)
            if not self.drop_grey or not _is_grey(square):
                break
        return square

    def squares(self, step: int) -> NDArray[np.uint8]:
        """The uint8 crops `(B, S, S, 3)` of a step."""
        return np.stack(
            [
                self._square(number, (step, self.rank, i))
                for i, number in enumerate(self.numbers(step))
            ]
        )

    def __call__(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Batch of a step: what the network sees, the true luminance, the true ab (codes)."""
        return self.encode(self.squares(step), step)

    def encode(self, squares: NDArray[np.uint8], step: int) -> tuple[Tensor, Tensor, Tensor]:
        """uint8 squares -> (jittered luminance, luminance, ab) codes on the device."""
        l_B1HW, ab_B2HW = encode_squares(squares, self.device)
        generator = torch.Generator().manual_seed(hash((self.seed, step, self.rank)) % 2**63)
        return jitter_luminance(l_B1HW, self.jitter, generator), l_B1HW, ab_B2HW

    def stream(self, start: int) -> Generator[tuple[Tensor, Tensor, Tensor], None, None]:
        """Batches from a step on, decoded ahead in background threads; `workers` 0: in the loop."""
        while self.workers == 0:
            yield self(start)
            start += 1
        ahead = max(2, self.workers)
        with ThreadPoolExecutor(max(1, self.workers), thread_name_prefix="decode") as pool:
            queue: deque[tuple[int, Future[NDArray[np.uint8]]]] = deque()
            step = start
            try:
                while True:
                    while len(queue) < ahead:
                        queue.append((step, pool.submit(self.squares, step)))
                        step += 1
                    number, future = queue.popleft()
                    yield self.encode(future.result(), number)
            finally:
                for _, future in queue:
                    future.cancel()


def encode_squares(squares: NDArray[np.uint8], device: torch.device) -> tuple[Tensor, Tensor]:
    """uint8 `(B, H, W, 3)` -> luminance code `(B, 1, H, W)`, ab code `(B, 2, H, W)`."""
    rgb = torch.from_numpy(squares).to(device, non_blocking=True).permute(0, 3, 1, 2).float() / 255
    lab = rgb_to_lab(rgb)
    return encode_l(lab[:, :1]), encode_ab(lab[:, 1:])


def _is_grey(square: NDArray[np.uint8]) -> bool:
    rgb = torch.from_numpy(square.copy()).permute(2, 0, 1).float() / 255
    return bool(rgb_to_lab(rgb)[1:].norm(dim=0).mean() < GREY_CHROMA)
