"""Simulated participants with known rates: the truth against which the analysis is checked.

The probability that person p calls picture b of method m realistic, at position t in [0, 1] of
the session, is logit⁻¹(μ_m + u_p + v_b + w_mb + fatigue·(t − ½)) with independent normal effects
of people (u), scenes (v) and pictures (w). μ_m is chosen so that the *average* over people and
pictures is exactly the configured rate, because that average is what a study reports; the
logistic of the average logit is a different number.

`AnswerModel` answers one trial at a time and depends on names alone, so it serves simulated
participants over HTTP in any order. `simulate_votes` draws a whole study at once.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtri

Floats = npt.NDArray[np.float64]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(61)


def mean_rate(intercept: float, sd: float) -> float:
    """E[logit⁻¹(intercept + sd·Z)], Z standard normal, by 61-point Gauss–Hermite quadrature."""
    return float(_WEIGHTS @ expit(intercept + sd * _NODES) / _WEIGHTS.sum())


@functools.lru_cache(maxsize=1024)
def intercept_for(rate: float, sd: float) -> float:
    """The μ with `mean_rate(μ, sd) == rate`; rate strictly between 0 and 1."""
    if not 0.0 < rate < 1.0:
        raise ValueError(f"a simulated rate must lie strictly between 0 and 1, not {rate}")
    reach = abs(float(logit(rate))) * (1.0 + sd) + 8.0 * sd + 1.0
    return float(brentq(lambda mu: mean_rate(mu, sd) - rate, -reach, reach, xtol=1e-12))


@dataclass(frozen=True)
class Effects:
    """Standard deviations on the logit scale, and the rest of a simulated participant.

    participant_sd, image_sd: effects shared by all answers of a person, to a scene.
    picture_sd: effect of one method's result on one scene (interaction).
    fatigue: change of the logit from the first to the last trial.
    careless: share of participants who answer by coin, quickly.
    rt_median_ms, rt_log_sd: response times are log-normal.
    """

    participant_sd: float = 0.8
    image_sd: float = 0.8
    picture_sd: float = 0.0
    fatigue: float = 0.0
    careless: float = 0.0
    rt_median_ms: float = 1400.0
    rt_log_sd: float = 0.45

    def __post_init__(self) -> None:
        spreads = (self.participant_sd, self.image_sd, self.picture_sd, self.rt_log_sd)
        if min(spreads) < 0.0:
            raise ValueError("standard deviations must not be negative")
        if not 0.0 <= self.careless <= 1.0:
            raise ValueError(f"the careless share must lie in [0, 1], not {self.careless}")

    @property
    def total_sd(self) -> float:
        """Standard deviation of the sum of all effects on one answer (fatigue apart)."""
        return math.hypot(self.participant_sd, self.image_sd, self.picture_sd)


@dataclass(frozen=True)
class AnswerModel:
    """Answers to single trials that depend only on the seed and on names.

    The same seed, participant, method and scene always give the same answer, whatever was asked
    before, so a repeated run or a resumed participant is reproducible.
    """

    rates: Mapping[str, float]
    effects: Effects = field(default_factory=Effects)
    seed: int = 0

    def __post_init__(self) -> None:
        for rate in self.rates.values():
            intercept_for(rate, self.effects.total_sd)

    def careless(self, participant: str) -> bool:
        return self._uniform("careless", participant) < self.effects.careless

    def answer(self, participant: str, method: str, base_image: str, position: float = 0.5) -> bool:
        """Whether a picture is called "realistic"; position in the session, from 0 to 1."""
        if method not in self.rates:
            raise KeyError(f"no simulated rate for method {method!r}; known: {sorted(self.rates)}")
        e = self.effects
        chance = 0.5
        if not self.careless(participant):
            chance = float(
                expit(
                    intercept_for(self.rates[method], e.total_sd)
                    + e.participant_sd * self._normal("participant", participant)
                    + e.image_sd * self._normal("image", base_image)
                    + e.picture_sd * self._normal("picture", method, base_image)
                    + e.fatigue * (position - 0.5)
                )
            )
        return self._uniform("answer", participant, method, base_image) < chance

    def preference(self, participant: str, method: str, against: str, base_image: str) -> bool:
        """Whether `method` is preferred on one scene: Bradley-Terry on the rates' logits.

        Effects of people and scenes cancel between two pictures, those of pictures do not.
        """
        chance = 0.5
        if not self.careless(participant):
            lead = [
                float(logit(self.rates[name]))
                + self.effects.picture_sd * self._normal("picture", name, base_image)
                for name in (method, against)
            ]
            chance = float(expit(lead[0] - lead[1]))
        names = (participant, *sorted((method, against)), base_image)
        is_first = method < against
        return (self._uniform("pair", *names) < (chance if is_first else 1 - chance)) is is_first

    def rt_ms(self, participant: str, *trial: str) -> float:
        """A log-normal response time; careless participants are about eight times faster."""
        median = self.effects.rt_median_ms / (8.0 if self.careless(participant) else 1.0)
        spread = self.effects.rt_log_sd * self._normal("rt", participant, *trial)
        return median * math.exp(spread)

    def passes_attention(self, participant: str, trial: str) -> bool:
        """Whether an attention trial is answered as expected: 97 %, or a coin if careless."""
        chance = 0.5 if self.careless(participant) else 0.97
        return self._uniform("attention", participant, trial) < chance

    def _uniform(self, *key: str) -> float:
        text = "\0".join((str(self.seed), *key)).encode()
        number = int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 11
        return (number + 0.5) / 2.0**53

    def _normal(self, *key: str) -> float:
        return float(ndtri(self._uniform(*key)))


@dataclass(frozen=True)
class Design:
    """A study to simulate: who sees how much.

    trials: data trials per participant. images: scenes in the pool; each participant sees a
    scene at most once, methods are balanced within a participant to ±1.
    """

    rates: Mapping[str, float]
    participants: int = 62
    trials: int = 50
    images: int = 200
    effects: Effects = field(default_factory=Effects)

    def __post_init__(self) -> None:
        if self.participants < 1 or self.trials < 1:
            raise ValueError("a study needs at least one participant and one trial")
        if self.trials > self.images:
            raise ValueError(
                f"{self.trials} trials need as many different scenes; the pool has {self.images}"
            )
        if not self.rates:
            raise ValueError("a study needs at least one method")


@dataclass(frozen=True)
class RawVotes:
    """A simulated study as integer codes, all arrays of one length: the fast form."""

    participant: npt.NDArray[np.int64]
    position: npt.NDArray[np.int64]
    method: npt.NDArray[np.int64]
    image: npt.NDArray[np.int64]
    answer: npt.NDArray[np.bool_]
    careless: npt.NDArray[np.bool_]


def simulate_raw(design: Design, rng: np.random.Generator) -> RawVotes:
    """Draw one study; people, scenes and pictures are drawn anew."""
    e, methods = design.effects, list(design.rates)
    people, trials, count = design.participants, design.trials, len(methods)
    scenes = rng.permuted(np.tile(np.arange(design.images), (people, 1)), axis=1)[:, :trials]
    # each person starts the rotation elsewhere, so that left-over trials even out over people
    rotation = (np.arange(trials)[None, :] + rng.integers(count, size=(people, 1))) % count
    shown = rng.permuted(rotation, axis=1)
    mu = np.array([intercept_for(rate, e.total_sd) for rate in design.rates.values()])
    person = e.participant_sd * rng.standard_normal((people, 1))
    scene = e.image_sd * rng.standard_normal(design.images)
    picture = e.picture_sd * rng.standard_normal((count, design.images))
    position = np.arange(trials) / max(trials - 1, 1) - 0.5
    chance = expit(
        mu[shown] + person + scene[scenes] + picture[shown, scenes] + e.fatigue * position
    )
    careless = rng.random(people) < e.careless
    chance = np.where(careless[:, None], 0.5, chance)
    answers = rng.random((people, trials)) < chance
    return RawVotes(
        np.repeat(np.arange(people), trials),
        np.tile(np.arange(trials), people),
        shown.ravel(),
        scenes.ravel(),
        answers.ravel(),
        np.repeat(careless, trials),
    )
