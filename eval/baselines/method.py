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
