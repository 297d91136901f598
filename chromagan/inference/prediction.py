"""What the network says of one photograph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chromagan.inference.labels import IMAGENET_LABELS

TOP_CLASSES = 5


@dataclass(frozen=True)
class Prediction:
    """Everything of one run of the network; colours can be guided and joined without another."""

    ab: NDArray[np.float32]
    """`(h, w, 2)` in CIE units, covering the whole photograph at the network's own size."""
    probabilities: NDArray[np.float32] | None = None
    """`(classes,)` of the class head, adding up to 1; None without one."""
    features: NDArray[np.float32] | None = None
    """`(h/4, w/4, C)`: the fused map over the same photograph; None where an engine has none. The
    sides are a quarter of ab's, of panoramas but for rounding."""
    luminance: NDArray[np.float32] | None = None
    """`(h, w)`, CIE L in [0, 100] of the photograph at the size of `ab`."""

    def top(self, count: int = TOP_CLASSES) -> list[tuple[str, float]]:
        """The likeliest ImageNet classes with their probabilities; empty without a class head."""
        if self.probabilities is None:
            return []
        named = len(IMAGENET_LABELS) == len(self.probabilities)
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [
            (IMAGENET_LABELS[i] if named else f"class {i}", float(self.probabilities[i]))
            for i in order
        ]

    @property
    def classes(self) -> list[tuple[str, float]]:
        """`top` with the usual count."""
        return self.top()
