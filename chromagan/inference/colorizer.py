"""Photographs in, colour photographs out: the contract, and the networks of this project under it.

    colorizer = load_colorizer("lite")
    coloured = colorizer(image)            # uint8 (H, W, 3) -> the same size, the same luminance

Only ab comes from the network, at its own small size; `recolour` joins it with the photograph's
full-resolution luminance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from chromagan import color
from chromagan.checkpoint.source import (
    DEFAULT_CHECKPOINT,
    find_checkpoint,
    read_release,
)
from chromagan.config import ModelConfig
from chromagan.inference.engines.choice import select_engine
from chromagan.inference.engines.engine import Answer, Engine
from chromagan.inference.guides import Guides
from chromagan.inference.guides.guidance import apply_guides, picture_samples
from chromagan.inference.guides.propagation import Samples
from chromagan.inference.prediction import (
    FITS,
    Fit,
    Frame,
    Prediction,
    Windows,
    cut_out,
    lay_out,
    plan_frame,
    windows_of,
)
from chromagan.inference.recolour import DEFAULT_UPSAMPLING, check_image, recolour
from chromagan.inference.upsampling import UPSAMPLINGS, Upsampling

DEFAULT_FIT: Fit = "square"
DEFAULT_WORKING_SIZE = 224
WINDOWS_AT_ONCE = 8

Image = NDArray[np.uint8]


class Colorizer(Protocol):
    """Anything that colours a photograph."""

    name: str

    def __call__(self, image: Image) -> Image:
        """uint8 RGB `(H, W, 3)` -> uint8 RGB of the same size with the same luminance."""
        ...


class ChromaGANColorizer:
    """A network of this project, run by an engine, as a `Colorizer`.

    The input's own colours are ignored. The result does not depend on what else is in a batch.
    `flip` averages the prediction with that of the mirrored photograph, at twice the time.
    `chroma_factor` multiplies the network's ab: the vividness of a release.
    """

    stride = 32

    def __init__(
        self,
        engine: Engine,
        config: ModelConfig,
        *,
        name: str = "chromagan",
        chroma_factor: float = 1.0,
        fit: Fit | None = None,
        working_size: int | None = None,
        upsampling: Upsampling = DEFAULT_UPSAMPLING,
        flip: bool = False,
    ) -> None:
        self.name = name
        self.config = config
        self.engine = engine
        self.device = engine.device
        square_only = config.architecture == "vgg16"
        self.fit: Fit = fit or ("square" if square_only else DEFAULT_FIT)
        self.working_size = working_size or (
            config.image_size if square_only else DEFAULT_WORKING_SIZE
        )
        self.chroma_factor = chroma_factor
        self.upsampling: Upsampling = upsampling
        self.flip = flip
        self._check_options(square_only)

    def __call__(self, image: Image, *, guides: Guides | None = None) -> Image:
        ab = apply_guides(self.predict(image), guides or Guides())
        return recolour(image, ab, upsampling=self.upsampling)

    def predict(self, image: Image) -> Prediction:
        """The network alone: uint8 RGB `(H, W, 3)` -> colours, classes and features."""
        return self.predict_batch([image])[0]

    def predict_ab(self, image: Image) -> NDArray[np.float32]:
        """The colours of `predict`: ab `(h, w, 2)` in CIE units."""
        return self.predict(image).ab

    def predict_batch(self, images: Sequence[Image]) -> list[Prediction]:
        """`predict` of several photographs, in as few network runs as their shapes allow."""
        for image in images:
            check_image(image)
        cuts = [windows_of(*image.shape[:2]) for image in images]
        whole = iter(self._predict_whole([i for i, c in zip(images, cuts, strict=True) if not c]))
        return [
            next(whole) if cut is None else self._predict_long(image, cut)
            for image, cut in zip(images, cuts, strict=True)
        ]

    def _predict_long(self, image: Image, windows: Windows) -> Prediction:
        """A panorama, a few windows at a time."""
        parts: list[Prediction] = []
        pieces = windows.cut(image)
        for start in range(0, len(pieces), WINDOWS_AT_ONCE):
            parts += self._predict_whole(pieces[start : start + WINDOWS_AT_ONCE])
        probabilities = [p.probabilities for p in parts if p.probabilities is not None]
        features = [p.features for p in parts if p.features is not None]
        luminance = [p.luminance[..., None] for p in parts if p.luminance is not None]
        return Prediction(
            windows.join([part.ab for part in parts]),
            np.mean(probabilities, axis=0) if probabilities else None,
            windows.join(features) if features else None,
            windows.join(luminance)[..., 0] if luminance else None,
        )

    def _predict_whole(self, images: Sequence[Image]) -> list[Prediction]:
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        size, stride = self.working_size, self.stride
        frames = [
            plan_frame(*image.shape[:2], fit=self.fit, working_size=size, stride=stride)
            for image in images
        ]
        for i, frame in enumerate(frames):
            groups[frame.height, frame.width].append(i)
        predictions: dict[int, Prediction] = {}
        for members in groups.values():
            codes = np.stack([lay_out(images[i], frames[i]) for i in members])
            answer = self._run(codes)
            for row, i in enumerate(members):
                predictions[i] = self._prediction(codes[row], answer, row, frames[i])
        return [predictions[i] for i in range(len(images))]

    def learn(self, photo: Image) -> Samples:
        """A photograph in colour, uint8 RGB `(H, W, 3)`, for `Guides.references` or `frame`."""
        return picture_samples(self.predict(photo), photo)

    def _prediction(
        self, code: NDArray[np.float32], answer: Answer, row: int, frame: Frame
    ) -> Prediction:
        ab = color.decode_ab(cut_out(answer.ab[row], frame)) * np.float32(self.chroma_factor)
        features = probabilities = None
        if answer.class_probabilities is not None:
            probabilities = answer.class_probabilities[row]
        if answer.features is not None:
            features = np.moveaxis(cut_out(answer.features[row], frame), 0, -1)
        luminance = color.decode_l(cut_out(_mean_of_cells(code, answer.ab.shape[-2:]), frame)[0])
        return Prediction(np.moveaxis(ab, 0, -1), probabilities, features, luminance)

    def _run(self, codes: NDArray[np.float32]) -> Answer:
        answer = self.engine.run(codes)
        if not self.flip:
            return answer
        # content in a letterbox lies on the left, so the mirrored frame stays one frame
        mirrored = self.engine.run(np.ascontiguousarray(codes[..., ::-1]))
        return Answer(
            _mean(answer.ab, mirrored.ab[..., ::-1]),
            _mean(answer.class_probabilities, mirrored.class_probabilities),
            answer.features,
        )

    def _check_options(self, square_only: bool) -> None:
        if self.fit not in FITS:
            raise ValueError(f"fit must be one of {', '.join(FITS)}: {self.fit!r}")
        if self.upsampling not in UPSAMPLINGS:
            raise ValueError(
                f"upsampling must be one of {', '.join(UPSAMPLINGS)}: {self.upsampling!r}"
            )
        if self.working_size < 32 or self.working_size % self.stride:
            raise ValueError(f"the working size must be a multiple of 32: {self.working_size}")
        if not square_only:
            return
        if self.fit == "aspect" or self.working_size != self.config.image_size:
            size = self.config.image_size
            raise ValueError(
                f"the vgg16 network sees {size}x{size} only: "
                "use fit square or letterbox and leave the working size"
            )


def _mean(one: Any, other: Any) -> Any:
    return None if one is None else (one + other) * np.float32(0.5)


def _mean_of_cells(code: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """`(1, H, W)` -> `(1, h, w)`, each the mean of its H/h x W/w cell."""
    height, width = size
    cells = code.reshape(1, height, code.shape[1] // height, width, code.shape[2] // width)
    mean: NDArray[np.float32] = cells.mean(axis=(2, 4))
    return mean


def load_colorizer(
    source: str | Path = DEFAULT_CHECKPOINT,
    *,
    device: str = "auto",
    precision: str = "auto",
    engine: str = "auto",
    fit: Fit | None = None,
    working_size: int | None = None,
    upsampling: Upsampling = DEFAULT_UPSAMPLING,
    flip: bool = False,
) -> ChromaGANColorizer:
    """A colorizer from a built-in name, a release file, or a Hugging Face Hub id `user/model`.

    `engine`: `auto` (what `chromagan.tune` found, else ONNX Runtime where the network has a graph
    and PyTorch where it has none or there is an accelerator), `fastest` (for many photographs: a
    short trial where nobody tuned), or one of `chromagan.inference.engines.registry.ENGINES`.

    Raises `CheckpointError` when there is no such checkpoint, `ValueError` for options that cannot
    be honoured, with what to install where that is the reason.
    """
    release = read_release(find_checkpoint(source))
    return ChromaGANColorizer(
        select_engine(release, engine, precision, device=device),
        release.config,
        name=release.name,
        chroma_factor=release.chroma_factor,
        fit=fit,
        working_size=working_size,
        upsampling=upsampling,
        flip=flip,
    )
