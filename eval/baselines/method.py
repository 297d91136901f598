"""What every compared system offers, and the one error it raises."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


class MethodError(ValueError):
    """A method cannot run here; the text is one sentence that says what to do about it."""


@runtime_checkable
class Method(Protocol):
    """A `chromagan.inference.colorizer.Colorizer` that also says where its weights come from."""

    name: str
    description: str
    weights_label: str
    weights_file: Path | None
    """The file that was loaded; None where nothing was (floors, random weights)."""

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 H×W×3 sRGB (its colour is ignored) -> uint8 H×W×3 sRGB of the same size."""
        ...


def check_image(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return `image` if it is what a method takes, raise ValueError with its shape otherwise."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = getattr(image, "dtype", type(image).__name__)
        raise ValueError(f"a method takes a uint8 array (height, width, 3), got {kind}")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"a method takes a uint8 array (height, width, 3), got {image.shape}")
    return image
