"""File to file: a test photograph of a given size, and the runs that are timed on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chromagan.images import read_image, write_image
from chromagan.inference.colorizer import ChromaGANColorizer
from chromagan.inference.jobs import Job
from chromagan.inference.pipeline import Settings, colorize_files
from chromagan.samples import sample_paths

Pixels = NDArray[np.uint8]


def make_photo(folder: Path, megapixels: float) -> Path:
    """A 3:2 JPEG of that size, made from the first bundled photograph."""
    path = folder / f"{megapixels:g}mp.jpg"
    if not path.exists():
        height = round((megapixels * 1e6 / 1.5) ** 0.5)
        size = (round(height * 1.5), height)
        with Image.open(sample_paths("color")[0]) as image:
            image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
    return path


class PhotoRun:
    """Read, colour, write one photograph; calling it gives the seconds that took."""

    def __init__(self, colorize: Callable[[Pixels], Pixels], photo: Path) -> None:
        self.colorize = colorize
        self.photo = photo

    def __call__(self) -> float:
        begin = perf_counter()
        target = self.photo.with_suffix(".png")
        write_image(target, self.colorize(read_image(self.photo)))
        return perf_counter() - begin


class FolderRun:
    """The folder mode of `chromagan.colorize` on copies of one photograph."""

    def __init__(self, colorizer: ChromaGANColorizer, photo: Path, count: int) -> None:
        self.colorizer = colorizer
        self.jobs = [
            Job(photo, photo.with_name(f"{photo.stem}-{number}.png")) for number in range(count)
        ]

    def __call__(self) -> float:
        begin = perf_counter()
        for outcome in colorize_files(self.jobs, self.colorizer, Settings()):
            if outcome.error is not None:
                raise RuntimeError(outcome.error)
        return perf_counter() - begin
