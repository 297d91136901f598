"""The 313 (a, b) bins of Zhang et al. 2016: a grid of step 10 over the colours of sRGB.

The order is the published one: a ascending, then b ascending; every value of a has one unbroken
range of b. No simple rule reproduces the table exactly ("corners of the occupied 10×10 cells"
gives 309 of the 313), so it is written out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STEP = 10
COUNT = 313

# a -> first and last b
_ROWS = {
    -90: (50, 90),
    -80: (20, 90),
    -70: (0, 90),
    -60: (-20, 90),
    -50: (-30, 100),
    -40: (-40, 100),
    -30: (-50, 100),
    -20: (-50, 100),
    -10: (-60, 100),
    0: (-70, 100),
    10: (-80, 90),
    20: (-80, 90),
    30: (-90, 90),
    40: (-100, 90),
    50: (-100, 80),
    60: (-110, 80),
    70: (-110, 80),
    80: (-110, 70),
    90: (-110, 70),
    100: (-90, 0),
}


def bin_centres() -> NDArray[np.float32]:
    """(313, 2) float32: the (a, b) centre of every bin, in CIE units."""
    points = [(a, b) for a, (first, last) in _ROWS.items() for b in range(first, last + STEP, STEP)]
    return np.array(points, dtype=np.float32)


def rebalancing(prior: NDArray[np.float64], *, uniform: float = 0.5) -> NDArray[np.float64]:
    """(313,) share of each bin -> (313,) loss weights with expectation one under `prior`.

    Zhang et al. 2016, eq. 4: w ∝ ((1-λ)p + λ/Q)⁻¹ with λ = `uniform`.
    """
    mixed = (1 - uniform) * prior + uniform / len(prior)
    weights: NDArray[np.float64] = 1 / mixed
    return weights / float((prior * weights).sum())
