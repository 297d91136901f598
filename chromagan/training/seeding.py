"""Every random draw of a run: a seed, what is drawn, and where. Nothing else is state.

A resumed run is the same run because of it: no generator lives from one step to the next.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

Purpose = Literal["order", "crop", "luminance", "critic", "network"]
_NUMBERS: dict[Purpose, int] = {"order": 1, "crop": 2, "luminance": 3, "critic": 4, "network": 5}


def numpy_draws(seed: int, purpose: Purpose, *place: int) -> np.random.Generator:
    """NumPy's generator for one place, independent of all others."""
    # numpy takes a short key for the same key with zeros behind it: hence the length
    return np.random.default_rng((seed, _NUMBERS[purpose], len(place), *place))


def torch_draws(seed: int, purpose: Purpose, *place: int) -> torch.Generator:
    """The same for torch, on the CPU."""
    return torch.Generator().manual_seed(torch_seed(seed, purpose, *place))


def torch_seed(seed: int, purpose: Purpose, *place: int) -> int:
    """A number for `torch.manual_seed`, which layers such as dropout draw from."""
    return int(numpy_draws(seed, purpose, *place).integers(2**63))
