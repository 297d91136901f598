"""Batches by step number: which photographs a step sees depends on seed, step and rank alone.

That is what makes a resumed run equal to an uninterrupted one: nothing but the step is saved.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chromagan.color import encode_ab, encode_l, rgb_to_lab
from chromagan.training.data.augment import Crop, jitter_luminance
from chromagan.training.data.photos import PhotoSet, is_grey
from chromagan.training.seeding import numpy_draws, torch_draws


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


class Batches:
    """Photographs -> endless batches on a device.

    A view is one way of cropping a photograph; every epoch takes another, up to `cycle` of them.

    A global batch of `batch * world` consecutive places in the shuffled order is dealt out so that
    no photograph is read twice in an epoch, whatever the number of processes.
    """

    def __init__(
        self,
        photos: PhotoSet,
        crop: Crop,
        *,
        batch: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        workers: int = 2,
        jitter: float = 0.0,
        drop_grey: bool = False,
        cycle: int | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.photos = photos
        self.crop = crop
        self.batch = batch
        self.seed = seed
        self.rank = rank
        self.world = world
        self.workers = workers
        self.jitter = jitter
        self.drop_grey = drop_grey
        self.cycle = cycle
        self.device = device or torch.device("cpu")
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

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
        if self._order[0] != epoch:
            self._order = (epoch, epoch_order(len(self.photos), self.seed, epoch))
        return epoch, int(self._order[1][position])

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
        """The crops of a step."""
        return [self._view(number, view) for number, view in self.numbers(step)]

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        return self.encode(self.views(step))

    def encode(self, views: list[View]) -> Batch:
        """Crops -> codes on the device."""
        l_B1HW, ab_B2HW = encode_squares(np.stack([view.square for view in views]), self.device)
        seen = [
            jitter_luminance(
                l_1HW,
                self.jitter,
                torch_draws(self.seed, "luminance", view.photo, view.number),
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
