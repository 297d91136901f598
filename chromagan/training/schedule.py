"""Where in a run a step lies: its phase, and the rate there."""

from __future__ import annotations

import math
from typing import NamedTuple

from chromagan.config import Phase, TrainConfig


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
