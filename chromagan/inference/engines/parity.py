"""How far an engine's colours are from fp32: ΔE2000 and PSNR gain, the limits for being offered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chromagan import color
from chromagan.images.resizing import shrink
from chromagan.inference.engines.torch_engine import Engine
from chromagan.inference.framing import Frame, lay_out
from chromagan.model import Generator, enlarge_ab

MAX_DELTA_E = {"fp32": 0.01, "bf16": 0.3, "fp16": 0.3, "int8": 0.7}
"""Largest mean ΔE2000 to fp32 at which a precision is used without being asked for."""
MAX_GAIN_CHANGE = 0.05
"""Largest change of the mean PSNR gain over the grey image, in dB, for the same."""


@dataclass(frozen=True)
class Parity:
    """An engine against fp32 PyTorch on some photographs, at the network's working size."""

    photos: int
    delta_e: float
    """Mean over photographs of the mean ΔE2000 between the two colour images."""
    gain_change: float
    """Mean PSNR over the true colours minus that of fp32, dB (8-bit RGB)."""

    def allows(self, precision: str) -> bool:
        """Whether an engine of this precision may be chosen automatically."""
        return self.delta_e <= MAX_DELTA_E[precision] and abs(self.gain_change) <= MAX_GAIN_CHANGE


def measure_parity(
    generator: Generator,
    engine: Engine,
    reference: Engine,
    images: Iterable[NDArray[np.uint8]],
) -> Parity:
    """Colour `images` (uint8 RGB, any size, true colours) with both engines and compare."""
    size = generator.config.image_size
    frame = Frame(size, size, size, size)
    errors: list[float] = []
    gains: list[float] = []
    for image in images:
        code = lay_out(image, frame)[None]
        first, second = (_lab(generator, code, e.run(code)) for e in (engine, reference))
        errors.append(float(delta_e_2000(first, second).mean()))
        truth = shrink(image, (size, size))
        gains.append(_psnr(first, truth) - _psnr(second, truth))
    if not errors:
        raise ValueError("parity needs at least one photograph")
    return Parity(len(errors), float(np.mean(errors)), float(np.mean(gains)))


def _lab(generator: Generator, code: NDArray[np.float32], ab: NDArray[np.float32]) -> Tensor:
    """Codes -> CIE Lab `(3, H, W)` in double precision."""
    luminance = color.decode_l(torch.from_numpy(code).double())
    size = (luminance.shape[-2], luminance.shape[-1])
    chroma = color.decode_ab(enlarge_ab(torch.from_numpy(ab).double(), size, generator.config))
    return torch.cat((luminance, chroma), dim=1)[0]


def _psnr(lab: Tensor, truth: NDArray[np.uint8]) -> float:
    rgb = (color.lab_to_rgb_in_gamut(lab) * 255).round().permute(1, 2, 0).numpy()
    error = np.mean((rgb - truth.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def delta_e_2000(first: Tensor, second: Tensor) -> Tensor:
    """CIEDE2000 between Lab tensors `(3, …)` -> `(…)` (Sharma, Wu & Dalal 2005; all k = 1)."""
    (l1, a1, b1), (l2, a2, b2) = first.unbind(0), second.unbind(0)
    mean_c = (torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2
    stretch = 1 + (1 - (mean_c**7 / (mean_c**7 + 25.0**7)).sqrt()) / 2
    c1, c2 = torch.hypot(a1 * stretch, b1), torch.hypot(a2 * stretch, b2)
    h1, h2 = _hue(a1 * stretch, b1), _hue(a2 * stretch, b2)
    grey = c1 * c2 == 0

    turn = h2 - h1
    turn = turn - 360 * (turn > 180) + 360 * (turn < -180)
    turn = torch.where(grey, torch.zeros_like(turn), turn)
    total = h1 + h2
    apart = (h1 - h2).abs() > 180
    shift = torch.where(total < 360, 360.0, -360.0) * apart
    mean_h = torch.where(grey, total, (total + shift) / 2)

    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    t = (
        1
        - 0.17 * _cos(mean_h - 30)
        + 0.24 * _cos(2 * mean_h)
        + 0.32 * _cos(3 * mean_h + 6)
        - 0.20 * _cos(4 * mean_h - 63)
    )
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / (20 + (mean_l - 50) ** 2).sqrt()
    s_c, s_h = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    angle = 60 * torch.exp(-(((mean_h - 275) / 25) ** 2))
    rotation = -2 * (mean_c**7 / (mean_c**7 + 25.0**7)).sqrt() * torch.sin(torch.deg2rad(angle))
    dl, dc = (l2 - l1) / s_l, (c2 - c1) / s_c
    dh = 2 * (c1 * c2).sqrt() * torch.sin(torch.deg2rad(turn / 2)) / s_h
    return (dl**2 + dc**2 + dh**2 + rotation * dc * dh).clamp(min=0).sqrt()


def _hue(a: Tensor, b: Tensor) -> Tensor:
    """Hue angle in degrees, [0, 360)."""
    return torch.rad2deg(torch.atan2(b, a)) % 360


def _cos(degrees: Tensor) -> Tensor:
    return torch.cos(torch.deg2rad(degrees))
