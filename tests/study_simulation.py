"""Whole simulated studies as tables of votes, for the tests of analysis and report."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, logit

from study.records import REAL
from study.rehearsal import simulation
from study.rehearsal.simulation import Floats, RawVotes, mean_rate, simulate_raw

PAPER_LIKE_RATES: Mapping[str, float] = {REAL: 0.87, "full": 0.77, "no-class": 0.71, "no-gan": 0.61}
"""Of the size that studies of this kind report."""


@dataclass(frozen=True)
class Design(simulation.Design):
    """attention: attention trials per participant, on top."""

    attention: int = 0


def simulate_votes(design: Design, *, seed: int = 0) -> pd.DataFrame:
    """One study as a votes table with the columns of `study.records.VoteRecord`."""
    rng = np.random.default_rng(seed)
    raw = simulate_raw(design, rng)
    e, n = design.effects, len(raw.answer)
    median = np.where(raw.careless, e.rt_median_ms / 8.0, e.rt_median_ms)
    names = np.array(list(design.rates), dtype=object)[raw.method]
    rows = pd.DataFrame(
        {
            "participant": [f"p{code:04d}" for code in raw.participant],
            "trial": raw.position,
            "kind": np.where(names == REAL, "real", "method"),
            "method": names,
            "base_image": [f"b{code:04d}" for code in raw.image],
            "answer": raw.answer,
            "correct": None,
            "rt_ms": median * np.exp(e.rt_log_sd * rng.standard_normal(n)),
        }
    )
    if design.attention:
        rows = pd.concat([rows, _attention_rows(design, raw, rng)], ignore_index=True)
    rows = rows.sort_values(["participant", "trial"], kind="stable", ignore_index=True)
    rows.insert(0, "vote_id", [f"v{code:06d}" for code in range(len(rows))])
    rows.insert(6, "stimulus", rows["method"] + "-" + rows["base_image"])
    start = 1_750_000_000.0 + 600.0 * rows["participant"].str[1:].astype(int)
    rows["answered_at"] = start + 6.0 * (rows["trial"] + 1)
    rows["shown_at"] = rows["answered_at"] - rows["rt_ms"] / 1000.0
    return rows.assign(config_hash="simulated")


def _attention_rows(design: Design, raw: RawVotes, rng: np.random.Generator) -> pd.DataFrame:
    """Attention trials after the data trials: an obvious fake, "not realistic" is expected."""
    people, each = design.participants, design.attention
    careless = raw.careless.reshape(people, design.trials)[:, 0]
    correct = rng.random((people, each)) < np.where(careless, 0.5, 0.97)[:, None]
    return pd.DataFrame(
        {
            "participant": np.repeat([f"p{code:04d}" for code in range(people)], each),
            "trial": np.tile(design.trials + np.arange(each), people),
            "kind": "attention",
            "method": "attention",
            "base_image": np.tile([f"a{code:04d}" for code in range(each)], people),
            "answer": ~correct.ravel(),
            "correct": correct.ravel(),
            "rt_ms": 900.0 * np.exp(0.3 * rng.standard_normal(people * each)),
        }
    )


@dataclass(frozen=True)
class PairDesign:
    """A study of pairs to simulate; every two methods meet equally often, up to rounding.

    rates: the methods; their strengths are the logits. taste_sd: how differently people like a
    method; quality_sd: how differently it does on scenes (both on the logit scale).
    """

    rates: Mapping[str, float] = field(default_factory=lambda: dict(PAPER_LIKE_RATES))
    participants: int = 62
    trials: int = 36
    images: int = 120
    taste_sd: float = 0.4
    quality_sd: float = 0.4

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Who meets whom, as positions in `rates`."""
        return list(itertools.combinations(range(len(self.rates)), 2))


def expected_wins(design: PairDesign) -> Floats:
    """How often i beats j over all people and scenes, (K, K): the truth that a study estimates."""
    strengths = logit(np.array(list(design.rates.values())))
    spread = math.sqrt(2.0) * math.hypot(design.taste_sd, design.quality_sd)
    wins = np.zeros((len(strengths), len(strengths)))
    for a, b in design.pairs:
        wins[a, b] = mean_rate(float(strengths[a] - strengths[b]), spread)
        wins[b, a] = 1.0 - wins[a, b]
    return wins


def simulate_pairs(design: PairDesign, *, seed: int = 0) -> pd.DataFrame:
    """One study of pairs as a votes table; people, scenes and pictures are drawn anew."""
    rng = np.random.default_rng(seed)
    people, trials, pairs = design.participants, design.trials, np.array(design.pairs)
    count = len(design.rates)
    scenes = rng.permuted(np.tile(np.arange(design.images), (people, 1)), axis=1)[:, :trials]
    rotation = np.arange(trials)[None, :] + rng.integers(len(pairs), size=(people, 1))
    met = pairs[rng.permuted(rotation % len(pairs), axis=1)]
    taste = design.taste_sd * rng.standard_normal((people, count))
    quality = design.quality_sd * rng.standard_normal((design.images, count))
    strengths = logit(np.array(list(design.rates.values())))
    person = np.arange(people)[:, None]

    def utility(method: npt.NDArray[np.int64]) -> Floats:
        total: Floats = strengths[method] + taste[person, method] + quality[scenes, method]
        return total

    chance = expit(utility(met[..., 0]) - utility(met[..., 1]))
    names = np.array(list(design.rates), dtype=object)
    scene = [f"b{code:04d}" for code in scenes.ravel()]
    rows = pd.DataFrame(
        {
            "participant": [f"p{code:04d}" for code in np.repeat(np.arange(people), trials)],
            "trial": np.tile(np.arange(trials), people),
            "kind": "pair",
            "method": names[met[..., 0].ravel()],
            "against": names[met[..., 1].ravel()],
            "base_image": scene,
            "answer": (rng.random((people, trials)) < chance).ravel(),
            "method_on_left": rng.random(people * trials) < 0.5,
        }
    )
    rows["stimulus"] = rows["method"] + "-" + rows["base_image"]
    rows["against_stimulus"] = rows["against"] + "-" + rows["base_image"]
    return rows
