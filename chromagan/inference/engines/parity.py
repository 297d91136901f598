"""How far an engine's colours are from fp32: ΔE2000 and PSNR gain, the limits for being offered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chromagan.color import Rgb8, decode_ab, delta_e_2000, rgb8_to_lab
from chromagan.images.resizing import shrink
from chromagan.inference.engines.engine import Engine
from chromagan.inference.framing import Frame, lay_out
from chromagan.inference.recolour import recolour

MAX_DELTA_E = {"fp32": 0.01, "bf16": 0.5, "fp16": 0.5}
"""Largest mean ΔE2000 to fp32 at which a precision is used without being asked for:
half of a just noticeable difference for the short ones."""
MAX_GAIN_CHANGE = 0.05
"""Largest change of the mean PSNR gain over the grey image, in dB, for the same."""


@dataclass(frozen=True)
class Parity:
    """An engine against an fp32 one on some photographs, at the network's working size."""

    photos: int
    delta_e: float
    """Mean over photographs of the mean ΔE2000 between the two colour images."""
    gain_change: float
    """Mean PSNR over the true colours minus that of fp32, dB (8-bit RGB)."""

    def allows(self, precision: str) -> bool:
        """Whether an engine of this precision may be chosen automatically."""
        return self.delta_e <= MAX_DELTA_E[precision] and abs(self.gain_change) <= MAX_GAIN_CHANGE


def measure_parity(
    engine: Engine, reference: Engine, images: Iterable[Rgb8], *, size: int
) -> Parity:
    """Colour `images` (uint8 RGB, any size, true colours) at `size`² with both and compare."""
    frame = Frame(size, size, size, size)
    errors: list[float] = []
    gains: list[float] = []
    for image in images:
        code, truth = lay_out(image, frame)[None], shrink(image, (size, size))
        first, second = (_coloured(truth, e.run(code).ab[0]) for e in (engine, reference))
        errors.append(float(delta_e_2000(rgb8_to_lab(first), rgb8_to_lab(second)).mean()))
        gains.append(psnr(first, truth) - psnr(second, truth))
    if not errors:
        raise ValueError("parity needs at least one photograph")
    return Parity(len(errors), float(np.mean(errors)), float(np.mean(gains)))


def _coloured(image: Rgb8, ab_code: NDArray[np.float32]) -> Rgb8:
    return recolour(image, np.moveaxis(decode_ab(ab_code), 0, -1), upsampling="bilinear")


def psnr(picture: Rgb8, truth: Rgb8) -> float:
    """dB over all pixels and channels of two 8-bit pictures of one size."""
    error = float(np.mean((picture - truth.astype(np.float64)) ** 2))
    return float(10 * np.log10(255**2 / max(error, 1e-9)))
