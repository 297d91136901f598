"""Photographs in, colour photographs out: the contract, and the networks of this project under it.

    colorizer = load_colorizer("lite")
    coloured = colorizer(image)            # uint8 (H, W, 3) -> the same size, the same luminance

Only ab comes from the network, at its own small size; `recolour` joins it with the photograph's
full-resolution luminance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from chromagan import color
from chromagan.checkpoint.release_file import CheckpointError, load_release
from chromagan.checkpoint.source import CHECKPOINTS, available_checkpoints, find_checkpoint
from chromagan.inference.engines.choice import select_engine
from chromagan.inference.engines.torch_engine import Engine, TorchEngine, choose_device
from chromagan.inference.framing import FITS, Fit, Frame, cut_out, lay_out, plan_frame
from chromagan.inference.labels import IMAGENET_LABELS
from chromagan.inference.recolour import DEFAULT_UPSAMPLING, check_image, recolour
from chromagan.inference.upsampling import UPSAMPLINGS, Upsampling
from chromagan.model import Generator

__all__ = [
    "CHECKPOINTS",
    "CheckpointError",
    "ChromaGANColorizer",
    "Colorizer",
    "Prediction",
    "available_checkpoints",
    "load_colorizer",
    "recolour",
]

DEFAULT_FIT: Fit = "square"
DEFAULT_WORKING_SIZE = 224
TOP_CLASSES = 5

Image = NDArray[np.uint8]


class Colorizer(Protocol):
    """Anything that colours a photograph."""

    name: str

    def __call__(self, image: Image) -> Image:
        """uint8 RGB `(H, W, 3)` -> uint8 RGB of the same size with the same luminance."""
        ...


@dataclass(frozen=True)
class Prediction:
    """What the network says of one photograph."""

    ab: NDArray[np.float32]
    """`(h, w, 2)` in CIE units, covering the whole photograph at the network's own size."""
    classes: list[tuple[str, float]] | None
    """The likeliest ImageNet classes with their probabilities; None without a class head."""


class ChromaGANColorizer:
    """A generator of this project as a `Colorizer`.

    The input's own colours are ignored. The result does not depend on what else is in a batch.
    `flip` averages the prediction with that of the mirrored photograph, at twice the time.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        name: str = "chromagan",
        engine: Engine | None = None,
        fit: Fit | None = None,
        working_size: int | None = None,
        upsampling: Upsampling = DEFAULT_UPSAMPLING,
        flip: bool = False,
    ) -> None:
        config = generator.config
        self.name = name
        self.architecture = config.architecture
        self.engine = engine if engine is not None else TorchEngine(generator)
        self.device = getattr(self.engine, "device", "cpu")
        square_only = config.architecture == "vgg16"
        self.fit: Fit = fit or ("square" if square_only else DEFAULT_FIT)
        self.working_size = working_size or (
            config.image_size if square_only else DEFAULT_WORKING_SIZE
        )
        self.upsampling: Upsampling = upsampling
        self.flip = flip
        self._generator = generator
        self._check_options(square_only)

    def __call__(self, image: Image) -> Image:
        return recolour(image, self.predict_ab(image), upsampling=self.upsampling)

    def colorize_batch(self, images: Sequence[Image]) -> list[Image]:
        """Several photographs, of any sizes, in as few network runs as their shapes allow."""
        return [
            recolour(image, ab, upsampling=self.upsampling)
            for image, ab in zip(images, self.predict_ab_batch(images), strict=True)
        ]

    def predict_ab(self, image: Image) -> NDArray[np.float32]:
        """The network alone: uint8 RGB `(H, W, 3)` -> ab `(h, w, 2)` in CIE units."""
        return self.predict_ab_batch([image])[0]

    def predict_ab_batch(self, images: Sequence[Image]) -> list[NDArray[np.float32]]:
        """`predict_ab` of several photographs."""
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for image in images:
            check_image(image)
        frames = [self._frame(image) for image in images]
        for i, frame in enumerate(frames):
            groups[frame.height, frame.width].append(i)
        answers: dict[int, NDArray[np.float32]] = {}
        for members in groups.values():
            codes = np.stack([lay_out(images[i], frames[i]) for i in members])
            for i, code in zip(members, self._run(codes), strict=True):
                ab = cut_out(code, frames[i]) * np.float32(color.AB_SCALE)
                answers[i] = np.moveaxis(ab - np.float32(color.AB_OFFSET), 0, -1)
        return [answers[i] for i in range(len(images))]

    def predict(self, image: Image, *, top: int = TOP_CLASSES) -> Prediction:
        """ab as from `predict_ab`, and what the class head sees in the photograph."""
        return Prediction(self.predict_ab(image), self._classes(image, top))

    def _frame(self, image: Image) -> Frame:
        height, width, _ = image.shape
        return plan_frame(
            height,
            width,
            fit=self.fit,
            working_size=self.working_size,
            stride=self._generator.stride,
        )

    def _run(self, codes: NDArray[np.float32]) -> NDArray[np.float32]:
        answer = self.engine.run(codes)
        if self.flip:
            # content in a letterbox lies on the left, so the mirrored frame stays one frame
            mirrored = self.engine.run(np.ascontiguousarray(codes[..., ::-1]))
            answer = (answer + mirrored[..., ::-1]) * np.float32(0.5)
        return answer

    def _classes(self, image: Image, top: int) -> list[tuple[str, float]] | None:
        head = self._generator.class_head
        if head is None:
            return None
        code = torch.from_numpy(lay_out(image, self._frame(image))[None])
        weight = next(self._generator.parameters())
        with torch.inference_mode():
            features = self._generator.trunk(code.to(weight.device, weight.dtype))
            logits = head(self._generator.global_branch(features)[1])
            chances, order = logits.float().softmax(dim=1)[0].topk(top)
        named = len(IMAGENET_LABELS) == logits.shape[1]
        return [
            (IMAGENET_LABELS[i] if named else f"class {i}", p)
            for i, p in zip(order.tolist(), chances.tolist(), strict=True)
        ]

    def _check_options(self, square_only: bool) -> None:
        if self.fit not in FITS:
            raise ValueError(f"fit must be one of {', '.join(FITS)}: {self.fit!r}")
        if self.upsampling not in UPSAMPLINGS:
            raise ValueError(
                f"upsampling must be one of {', '.join(UPSAMPLINGS)}: {self.upsampling!r}"
            )
        if self.working_size < 32 or self.working_size % self._generator.stride:
            raise ValueError(f"the working size must be a multiple of 32: {self.working_size}")
        if not square_only:
            return
        if self.fit == "aspect" or self.working_size != self._generator.config.image_size:
            size = self._generator.config.image_size
            raise ValueError(
                f"the vgg16 network sees {size}x{size} only: "
                "use fit square or letterbox and leave the working size"
            )


def load_colorizer(
    source: str | Path = "lite",
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

    `engine`: `auto` (what `chromagan.tune` found, else PyTorch), `fastest` (for many photographs: a
    short trial where nobody tuned), or one of `chromagan.inference.engines.registry.ENGINES`.

    `engine` and `precision` choose what runs the network (`chromagan.inference.engines.choice`):
    `auto` is what `python -m chromagan.tune` found best here, else PyTorch; `fastest` tries for
    two seconds.
    Raises `CheckpointError` when there is none, `ValueError` for options it cannot honour.
    """
    path = find_checkpoint(source)
    generator, release = load_release(path)
    name = release.name or (path.parent.name if path.stem == "model" else path.stem)
    return ChromaGANColorizer(
        generator,
        name=name,
        engine=select_engine(generator, engine, precision, device=choose_device(device)),
        fit=fit,
        working_size=working_size,
        upsampling=upsampling,
        flip=flip,
    )
