"""The survey's power by simulation, against the closed form where there is one."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from study.power import Question, main, needed_participants, power_table, simulated_power
from study.rehearsal.simulation import Effects

INDEPENDENT = Effects(participant_sd=0.0, image_sd=0.0)


def closed_form(a: float, b: float, answers: int, alpha: float = 0.05) -> float:
    """Power of the two-sample test of proportions with independent answers."""
    error = math.sqrt((a * (1 - a) + b * (1 - b)) / answers)
    z = stats.norm.ppf(1 - alpha / 2)
    return float(stats.norm.sf(z - (a - b) / error) + stats.norm.cdf(-z - (a - b) / error))


@pytest.mark.parametrize(("participants", "rates"), [(40, (0.77, 0.65)), (80, (0.8, 0.7))])
def test_power_without_effects_is_the_closed_form(
    participants: int, rates: tuple[float, float]
) -> None:
    question = Question(rates, 10, 2, 60, effects=INDEPENDENT)
    power = simulated_power(question, participants, 120, seed=1)
    expected = closed_form(*rates, participants * 5)
    assert power.paired == pytest.approx(expected, abs=4 * power.error + 0.02)
    assert 0.0 < power.clustered <= power.paired + 0.05


def test_equal_rates_are_told_apart_as_rarely_as_the_level_says() -> None:
    power = simulated_power(Question((0.7, 0.7), 12, 2, 60), 40, 200, seed=2)
    assert 0.005 <= power.paired <= 0.10
    strict = simulated_power(Question((0.7, 0.7), 12, 2, 60, comparisons=10), 40, 200, seed=2)
    assert strict.paired < power.paired


def test_the_needed_number_has_the_power_and_a_third_of_it_has_not() -> None:
    question = Question((0.8, 0.6), 12, 2, 40)
    needed = needed_participants(question, 0.8, 60, seed=3)
    assert needed is not None
    assert needed.paired >= 0.8
    fewer = simulated_power(question, max(2, needed.participants // 3), 60, seed=3)
    assert fewer.paired < 0.75


def test_more_trials_need_fewer_participants() -> None:
    table = power_table(Question((0.8, 0.6), 8, 2, 60), [8, 32], [], target=0.8, runs=40, seed=0)
    assert table["participants"].iloc[0] > table["participants"].iloc[1]


def test_equal_questions_get_equal_answers() -> None:
    question = Question((0.8, 0.6), 8, 2, 40)
    assert simulated_power(question, 20, 25, 7) == simulated_power(question, 20, 25, 7)


def test_the_command_prints_and_writes_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "power.csv"
    arguments = ["--rates", "0.8", "0.5", "--trials", "8", "16", "--participants", "10", "20"]
    code = main(
        [*arguments, "--conditions", "4", "--images", "40", "--runs", "20", "-o", str(path)]
    )
    assert code == 0
    table = pd.read_csv(path)
    assert table["participants"].tolist() == [10, 20, 10, 20]
    assert table["answers_per_method"].tolist() == [20, 40, 40, 80]
    assert table["power"].between(0, 1).all()
    printed = capsys.readouterr().out
    assert printed.startswith("80.0 % against 50.0 %, 4 conditions, 40 scenes")
    assert len(printed.splitlines()) == 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rates", "1.2", "0.5"], "strictly between 0 and 1"),
        (["--trials", "300"], "different scenes"),
        (["--trials", "4"], "cannot show each"),
        (["--conditions", "1"], "--conditions"),
        (["--comparisons", "0"], "--comparisons"),
        (["--power", "1.5"], "--power"),
        (["--runs", "5"], "--runs"),
        (["--participants", "1"], "--participants"),
        (["--participant-sd", "-1"], "negative"),
        (["--rates", "0.5", "0.5"], "--participants"),
    ],
)
def test_wrong_arguments_are_explained(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("study.power: ")
