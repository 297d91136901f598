"""What every inference engine is: luminance codes in, all that the network says out, in one run."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Answer(NamedTuple):
    """One run of a network on a batch; float32."""

    ab: Floats
    """ab code `(B, 2, H/2, W/2)` in [0, 1]."""
    class_probabilities: Floats | None
    """`(B, classes)`, each row adds up to 1; None without a class head."""
    features: Floats | None
    """The fused map `(B, C, H/8, W/8)`; None where an engine has none."""


class Engine(Protocol):
    """Runs a network: arrays in, arrays out. Safe to share between threads."""

    @property
    def name(self) -> str: ...

    @property
    def precision(self) -> str: ...

    @property
    def device(self) -> str: ...

    def run(self, l: Floats) -> Answer:  # noqa: E741
        """Luminance code `(B, 1, H, W)` in [0, 1], sides multiples of 32 -> its answer."""
        ...


class EngineError(ValueError):
    """An engine or precision that cannot be had here; the message says why and what to do."""
