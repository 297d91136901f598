"""Hue and chroma histograms: from colours (training) and to colours (Larsson et al. 2016).

Hue is that of HSV as a share of the circle; chroma is max(R, G, B) - min(R, G, B).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

BINS = 32
FADING = 0.03  # below this mean hue vector the hue is uncertain, and chroma fades


def hue_and_chroma(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """R'G'B' (..., 3, H, W) in [0, 1] -> hue in [0, 1), chroma in [0, 1], each (..., H, W).

    Hue is 0 where chroma is 0.
    """
    red, green, blue = rgb.unbind(-3)
    value, brightest = rgb.max(dim=-3)
    chroma = value - rgb.amin(dim=-3)
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    sector = torch.stack((green - blue, blue - red, red - green), dim=-3) / safe.unsqueeze(-3)
    sector = sector.gather(-3, brightest.unsqueeze(-3)).squeeze(-3) + 2 * brightest
    return torch.where(chroma > 0, (sector / 6) % 1.0, torch.zeros_like(sector)), chroma


def hsv_to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Planes (H, W) in [0, 1] -> R'G'B' (3, H, W): the usual hexcone."""
    offsets = torch.tensor([5.0, 3.0, 1.0]).to(hue)[:, None, None]
    k = (offsets + hue * 6) % 6
    ramp = torch.minimum(k, 4 - k).clamp(0, 1)
    return value * (1 - saturation * ramp)


def median_chroma(histogram: Tensor) -> Tensor:
    """(32, H, W) -> (H, W): centre of the bin in which the running sum reaches one half."""
    below = (histogram.cumsum(dim=0) < 0.5).sum(dim=0)
    return (below + 0.5) / BINS


def expected_hue(histogram: Tensor) -> tuple[Tensor, Tensor]:
    """(32, H, W) -> hue in [0, 1) of the mean vector on the circle, and the fading factor.

    The factor is min(|Σ p e^{iθ}| / 32 / 0.03, 1): the authors average over the bins.
    """
    angles = (torch.arange(BINS) + 0.5) / BINS * 2 * math.pi
    angles = angles.to(histogram)[:, None, None]
    x, y = (histogram * angles.cos()).sum(dim=0), (histogram * angles.sin()).sum(dim=0)
    hue = (torch.atan2(y, x) / (2 * math.pi)) % 1.0
    return hue, (torch.hypot(x, y) / BINS / FADING).clamp(max=1)


def histograms_to_rgb(histograms: Tensor, grey: Tensor) -> Tensor:
    """(64, H, W): hue then chroma, and grey (1, H, W) in [0, 1] -> R'G'B' (3, H, W) in [0, 1].

    V = grey + C/2 and S = 2C / (2 grey + C), then all three channels are shifted so that their
    mean is the grey again, and cut to [0, 1].
    """
    hue, fading = expected_hue(histograms[:BINS])
    chroma = median_chroma(histograms[BINS:]) * fading
    level = grey[0]
    saturation = 2 * chroma / (2 * level + chroma).clamp(min=1e-12)
    rgb = hsv_to_rgb(hue, saturation.clamp(0, 1), (level + chroma / 2).clamp(0, 1))
    return (rgb - rgb.mean(dim=0, keepdim=True) + grey).clamp(0, 1)
