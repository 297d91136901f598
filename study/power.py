"""How many participants does a difference need? Answered by simulated studies.

    python -m study.power --rates 0.77 0.71 --trials 50 --conditions 8

Every simulated study is analysed as the report analyses a real one: paired participant bootstrap
over the shares of two methods (primary), and the two-way clustered test beside it.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from study.analysis.contrasts import (
    bootstrap_differences,
    bootstrap_p,
    clustered_difference,
    paired_counts,
)
from study.rehearsal.simulation import Design, Effects, simulate_raw

RESAMPLES = 999
MOST_PARTICIPANTS = 5_000
_ROUNDS = 6


@dataclass(frozen=True)
class Question:
    """rates: the two shares of “realistic” to tell apart. conditions: methods that share the
    trials, photographs included. comparisons: planned ones; each is tested at 5 % divided by
    their number, Holm's first step."""

    rates: tuple[float, float] = (0.77, 0.71)
    trials: int = 50
    conditions: int = 8
    images: int = 200
    comparisons: int = 1
    effects: Effects = field(default_factory=Effects)

    def __post_init__(self) -> None:
        if self.conditions < 2:
            raise ValueError("--conditions: two methods are at least two conditions")
        if self.comparisons < 1:
            raise ValueError("--comparisons: at least one")
        if self.trials < self.conditions:
            raise ValueError(
                f"--trials: {self.trials} trials cannot show each of {self.conditions} conditions"
            )
        for rate in self.rates:
            if not 0.0 < rate < 1.0:
                raise ValueError(f"--rates: a share lies strictly between 0 and 1, not {rate}")
        self.design(1)

    @property
    def alpha(self) -> float:
        """Level of each test."""
        return 0.05 / self.comparisons

    def design(self, participants: int) -> Design:
        """The study to simulate; the other conditions only take up trials."""
        names = ("a", "b", *(f"other-{k}" for k in range(self.conditions - 2)))
        values = (*self.rates, *([self.rates[1]] * (self.conditions - 2)))
        rates = dict(zip(names, values, strict=True))
        return Design(rates, participants, self.trials, self.images, effects=self.effects)


@dataclass(frozen=True)
class Power:
    """Shares of simulated studies whose test rejects. paired: new people, same pictures;
    clustered: new people and pictures. error: Monte-Carlo standard error of paired."""

    participants: int
    runs: int
    paired: float
    clustered: float

    @property
    def error(self) -> float:
        """√(p(1−p)/runs)."""
        return math.sqrt(self.paired * (1.0 - self.paired) / self.runs)


def simulated_power(question: Question, participants: int, runs: int, seed: int) -> Power:
    """Power of both tests by simulation; equal arguments give equal results."""
    rng = np.random.default_rng([seed, participants, question.trials])
    design, rejected = question.design(participants), np.zeros(2)
    for _ in range(runs):
        raw = simulate_raw(design, rng)
        chosen = raw.method < 2
        answer, is_a, people = raw.answer[chosen], raw.method[chosen] == 0, raw.participant[chosen]
        counts = paired_counts(answer, is_a, people)
        if counts.participants > 1:
            draws = bootstrap_differences(counts, RESAMPLES, rng)
            rejected[0] += bootstrap_p(draws) < question.alpha
        _, p = clustered_difference(answer, is_a, people, raw.image[chosen])
        rejected[1] += p is not None and p < question.alpha
    return Power(participants, runs, float(rejected[0] / runs), float(rejected[1] / runs))


def needed_participants(question: Question, target: float, runs: int, seed: int) -> Power | None:
    """About the fewest participants with the target power (primary test); None if hopeless.

    The standard error falls with the root of the participants, so from a simulated power β at P
    the next guess is P·((z_{1−α/2} + z_target)/(z_{1−α/2} + z_β))²; every guess is simulated.
    """
    z_alpha = float(stats.norm.ppf(1.0 - question.alpha / 2.0))
    wanted = z_alpha + float(stats.norm.ppf(target))
    participants, best = 60, None
    for _ in range(_ROUNDS):
        power = simulated_power(question, participants, runs, seed)
        if power.paired >= target and (best is None or participants < best.participants):
            best = power
        bounded = min(max(power.paired, 0.5 / runs), 1.0 - 0.5 / runs)
        shift = max(z_alpha + float(stats.norm.ppf(bounded)), 0.2)
        guess = max(4, math.ceil(participants * min(max((wanted / shift) ** 2, 0.1), 10.0)))
        if abs(guess - participants) <= 0.03 * participants and best is not None:
            break
        if guess > MOST_PARTICIPANTS and participants == MOST_PARTICIPANTS:
            break
        participants = min(guess, MOST_PARTICIPANTS)
    return best


def power_table(
    question: Question,
    trials: Sequence[int],
    participants: Sequence[int],
    *,
    target: float,
    runs: int,
    seed: int,
) -> pd.DataFrame:
    """One row per design: the given numbers of participants, or the needed one if none given."""
    rows = []
    for count in trials:
        asked = replace(question, trials=count)
        found: list[Power | None] = [
            simulated_power(asked, people, runs, seed) for people in participants
        ]
        found = found or [needed_participants(asked, target, runs, seed)]
        rows += [
            {
                "trials": count,
                "participants": power.participants,
                "answers_per_method": round(power.participants * count / asked.conditions),
                "power": power.paired,
                "monte_carlo_error": power.error,
                "power_new_pictures": power.clustered,
            }
            for power in found
            if power is not None
        ]
    return pd.DataFrame(rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; 0 answered, 1 no number of participants suffices, 2 wrong arguments."""
    arguments = _parser().parse_args(argv)
    try:
        effects = Effects(arguments.participant_sd, arguments.image_sd, arguments.picture_sd)
        question = Question(
            tuple(arguments.rates),
            min(arguments.trials),
            arguments.conditions,
            arguments.images,
            arguments.comparisons,
            effects,
        )
        for count in arguments.trials:
            replace(question, trials=count)
        if not 0.0 < arguments.power < 1.0 or arguments.runs < 20:
            raise ValueError("--power lies between 0 and 1, and --runs is at least 20")
        if any(count < 2 for count in arguments.participants):
            raise ValueError("--participants: at least 2")
    except ValueError as error:
        print(f"study.power: {error}", file=sys.stderr)
        return 2
    if question.rates[0] == question.rates[1]:
        print("The two shares are equal: what follows is the false-positive rate, not power.")
        if not arguments.participants:
            print("study.power: give --participants to see it", file=sys.stderr)
            return 2
    table = power_table(
        question,
        arguments.trials,
        arguments.participants,
        target=arguments.power,
        runs=arguments.runs,
        seed=arguments.seed,
    )
    if table.empty:
        print(f"No study of up to {MOST_PARTICIPANTS} participants has power {arguments.power}.")
        return 1
    _show(table, question, arguments.runs)
    if arguments.output is not None:
        table.to_csv(arguments.output, index=False)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="study.power", description=__doc__.split("\n")[0])
    parser.add_argument("--rates", type=float, nargs=2, default=[0.77, 0.71], metavar="SHARE")
    parser.add_argument("--trials", type=int, nargs="+", default=[50], help="data trials each")
    parser.add_argument(
        "--participants",
        type=int,
        nargs="*",
        default=[],
        help="numbers to evaluate; without it the needed number is searched",
    )
    parser.add_argument("--conditions", type=int, default=8, help="methods incl. photographs")
    parser.add_argument("--images", type=int, default=200, help="scenes in the pool")
    parser.add_argument("--comparisons", type=int, default=1, help="planned comparisons")
    parser.add_argument("--participant-sd", type=float, default=0.8, help="logit scale")
    parser.add_argument("--image-sd", type=float, default=0.8, help="logit scale")
    parser.add_argument(
        "--picture-sd", type=float, default=0.0, help="method × scene effect, logit scale"
    )
    parser.add_argument("--power", type=float, default=0.8, help="wanted power")
    parser.add_argument("--runs", type=int, default=300, help="simulated studies per design")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, metavar="CSV")
    return parser


def _show(table: pd.DataFrame, question: Question, runs: int) -> None:
    a, b = question.rates
    print(
        f"{100 * a:.1f} % against {100 * b:.1f} %, {question.conditions} conditions, "
        f"{question.images} scenes, level {question.alpha:.3g}, {runs} simulated studies each"
    )
    shown = table.drop(columns="monte_carlo_error")
    shown["power"] = [
        f"{power:.2f} ± {error:.2f}"
        for power, error in zip(table["power"], table["monte_carlo_error"], strict=True)
    ]
    shown.columns = [name.replace("_", " ") for name in shown.columns]
    print(shown.to_string(index=False, float_format="{:.2f}".format))


if __name__ == "__main__":
    raise SystemExit(main())
