"""What the number of a step decides: its phase, its rate and its random draws.

A resumed run is the same run because of it: nothing random lives from one step to the next.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import torch

from chromagan.config import Phase, TrainConfig

Purpose = Literal["order", "crop", "luminance", "critic", "network"]
_NUMBERS: dict[Purpose, int] = {"order": 1, "crop": 2, "luminance": 3, "critic": 4, "network": 5}


class Place(NamedTuple):
    """A step inside its phase."""

    phase: Phase
    number: int
    """Which phase of the run."""
    step: int
    """Step inside the phase."""

    @property
    def trains_generator(self) -> bool:
        return self.phase.name != "critic"

    @property
    def trains_critic(self) -> bool:
        return self.phase.name != "generator"


def phases_of(config: TrainConfig, steps_per_epoch: int) -> tuple[Phase, ...]:
    """The phases of a run; one with both networks where none were asked for."""
    steps = config.max_steps or max(1, round(config.epochs * steps_per_epoch))
    return config.planned_phases or (Phase("both", steps),)


def place_of(step: int, phases: tuple[Phase, ...]) -> Place:
    """The place of a step of the run; what lies beyond the end belongs to the last phase."""
    for number, phase in enumerate(phases):
        if step < phase.steps or number == len(phases) - 1:
            return Place(phase, number, step)
        step -= phase.steps
    raise AssertionError("a run has at least one phase")


def rate_factor(place: Place, config: TrainConfig) -> float:
    """What all rates are multiplied by: warm-up, schedule and the phase's own rate."""
    scale = 1.0 if place.phase.lr is None else place.phase.lr / config.lr
    warm = min(1.0, (place.step + 1) / config.warmup) if config.warmup else 1.0
    if config.schedule == "constant":
        return scale * warm
    progress = min(1.0, place.step / max(1, place.phase.steps))
    return scale * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


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
