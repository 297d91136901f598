"""The networks behind the page: which are there, loaded once, run one at a time.

On a ZeroGPU Space the package `spaces` lends a GPU for the length of a decorated call; everywhere
else the same code runs as it is.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from chromagan.checkpoint.source import (
    FILE_NAME,
    HUB_ID_VARIABLE,
    Release,
    available_checkpoints,
    checkpoint_folder,
    read_release,
)
from chromagan.demo.results import Chroma, Pixels
from chromagan.inference.colorizer import ChromaGANColorizer, load_colorizer
from chromagan.inference.prediction import Prediction

F = TypeVar("F", bound=Callable[..., Any])

GPU_SECONDS = 10  # requested per call; ZeroGPU refuses visitors with less quota left than this
HUB_ID_FILE = "hub-id.txt"  # in the checkpoints folder of a Space whose weights live on the Hub


class NoNetworkError(RuntimeError):
    """There is no checkpoint to serve; the message says what to do."""


@dataclass(frozen=True)
class Colors:
    """What a network said about one picture, in how many seconds of its own; note: what its makers
    say of it, a sentence or nothing."""

    prediction: Prediction
    network: str
    seconds: float
    device: str
    note: str = ""

    @property
    def ab(self) -> Chroma:
        """float32 (h, w, 2), CIE units, at the network's working resolution."""
        return self.prediction.ab

    @property
    def classes(self) -> list[tuple[str, float]]:
        """(label, probability), most probable first; empty where there is no class head."""
        return self.prediction.classes


def on_gpu(function: F) -> F:
    """`spaces.GPU` on a ZeroGPU Space, nothing elsewhere."""
    if not os.environ.get("SPACES_ZERO_GPU"):
        return function
    import spaces

    decorated: F = spaces.GPU(duration=GPU_SECONDS)(function)
    return decorated


class Networks:
    """The available checkpoints by name, each loaded at first use and kept.

    sources: display name -> what `load_colorizer` takes (a built-in name, a path, a Hub id).
    """

    def __init__(self, sources: dict[str, str]) -> None:
        if not sources:
            raise NoNetworkError(
                "There is no checkpoint to serve: checkpoints/ is empty. Train one "
                "(python -m chromagan.train) or name one on the Hub: "
                f"{HUB_ID_VARIABLE}=<user>/<model>."
            )
        self._sources = dict(sources)
        self._loaded: dict[str, ChromaGANColorizer] = {}
        self._releases: dict[str, Release] = {}
        self._loading = threading.Lock()
        self._running = threading.Lock()
        self._predict = on_gpu(self._predict_here)

    @classmethod
    def available(cls) -> Networks:
        """Every built-in checkpoint on disk, or the one on the Hub where there is none."""
        sources = {name: name for name in available_checkpoints()}
        if not sources and (hub_id := _hub_id()):
            sources = {"hub": hub_id}
        return cls(sources)

    @property
    def names(self) -> list[str]:
        return list(self._sources)

    @property
    def default(self) -> str:
        return self.names[0]

    def title(self, name: str) -> str:
        """The network in a few words for people, from its own description."""
        release = self._release(name)
        return release.title if release else name

    def sha256(self, name: str) -> str:
        """Of the network's weights; empty where they are still on the Hub."""
        release = self._release(name)
        return release.sha256 if release else ""

    def _release(self, name: str) -> Release | None:
        if name not in self._releases and (path := _file_of(self._sources[name])):
            self._releases[name] = read_release(path)
        return self._releases.get(name)

    def load(self, name: str) -> ChromaGANColorizer:
        """The colorizer of that name. Raises `KeyError` for a name that is not offered."""
        source = self._sources[name]
        with self._loading:
            if name not in self._loaded:
                colorizer = load_colorizer(source, engine="fastest")
                if not os.environ.get("SPACES_ZERO_GPU"):  # there, no GPU outside of a request
                    # the first run of a process sets up threads and memory: not a visitor's wait
                    colorizer.predict(np.zeros((64, 64, 3), np.uint8))
                self._loaded[name] = colorizer
            return self._loaded[name]

    def device(self, name: str) -> str:
        return device_text(str(self.load(name).device))

    def predict(self, image: Pixels, name: str | None = None) -> Colors:
        """Run one network on one picture, uint8 (H, W, 3). Callers queue up behind each other."""
        name = name or self.default
        device, release = self.device(name), self._release(name)
        with self._running:
            prediction, seconds = self._predict(image, name)
        return Colors(prediction, name, seconds, device, release.note if release else "")

    def _predict_here(self, image: Pixels, name: str) -> tuple[Prediction, float]:
        start = time.perf_counter()
        prediction = self.load(name).predict(image)
        return prediction, time.perf_counter() - start


def device_text(device: str) -> str:
    """ "CPU", "ZeroGPU", or the GPU's own name."""
    if not device.startswith("cuda"):
        return device.upper()
    if os.environ.get("SPACES_ZERO_GPU"):  # the serving process itself has no GPU to ask
        return "ZeroGPU"
    import torch

    return torch.cuda.get_device_name(0)


def _hub_id() -> str | None:
    file = checkpoint_folder() / HUB_ID_FILE
    written = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
    return os.environ.get(HUB_ID_VARIABLE) or written or None


def _file_of(source: str) -> Path | None:
    """The release file of a checkpoint that is here."""
    places = (Path(source), checkpoint_folder() / source / FILE_NAME)
    return next((path for path in places if path.is_file()), None)
