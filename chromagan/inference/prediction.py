"""What the network says of one photograph."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TOP_CLASSES = 5


@cache
def imagenet_labels() -> tuple[str, ...]:
    """English names of the 1000 ImageNet classes, in the order of the class head."""
    path = Path(__file__).with_name("imagenet_labels.txt")
    return tuple(path.read_text(encoding="utf-8").splitlines())


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
        names = imagenet_labels()
        named = len(names) == len(self.probabilities)
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(names[i] if named else f"class {i}", float(self.probabilities[i])) for i in order]

    @property
    def classes(self) -> list[tuple[str, float]]:
        """`top` with the usual count."""
        return self.top()
