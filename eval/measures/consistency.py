"""How steady the colours of a clip are."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from chromagan.color import Rgb8

STEPS = (1, 2, 4)


def colour_consistency(frames: Iterable[Rgb8]) -> float:
    """CDC of a clip, mean over frame distances of 1, 2 and 4: 0 = the same colours throughout.

    The colour distribution consistency index of Liu et al., "Temporally Consistent Video
    Colorization with Deep Feature Propagation and Self-regularization Learning" (2021): the
    Jensen-Shannon divergence (nats) between the 256-bin histograms of R, G and B of two frames,
    mean over channels and pairs. Motion and cuts count, too: compare methods on the same clip, and
    with the clip's own number. Raises ValueError for fewer than five frames.
    """
    histograms = np.array([_histograms(frame) for frame in frames])
    if len(histograms) <= max(STEPS):
        raise ValueError(f"CDC needs at least {max(STEPS) + 1} frames, got {len(histograms)}")
    return float(np.mean([_divergence(histograms[s:], histograms[:-s]).mean() for s in STEPS]))


def _histograms(frame: Rgb8) -> npt.NDArray[np.float64]:
    """Shares of the 256 levels of each channel, `(3, 256)`."""
    counts = [np.bincount(frame[..., channel].ravel(), minlength=256) for channel in range(3)]
    return np.array(counts) / (frame.size / 3)


def _divergence(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Jensen-Shannon divergence along the last axis, in nats."""
    middle = (p + q) / 2

    def to_middle(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        ratio = np.divide(x, middle, out=np.ones_like(x), where=x > 0)
        total: npt.NDArray[np.float64] = (x * np.log(ratio)).sum(axis=-1)
        return total

    divergence: npt.NDArray[np.float64] = (to_middle(p) + to_middle(q)) / 2
    return divergence
