"""Standard errors and bootstrap intervals against scipy and closed forms."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from eval.measures.protocol import estimate, paired_difference

samples = st.lists(st.floats(-50, 50), min_size=2, max_size=60)


@given(samples)
@settings(max_examples=30, deadline=None)
def test_mean_and_standard_error_are_scipys(values: list[float]) -> None:
    result = estimate(values, draws=100)
    assert result.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert result.se == pytest.approx(float(stats.sem(values)), abs=1e-9)
    assert result.median == pytest.approx(np.median(values), abs=1e-9)
    assert result.n == len(values)
    assert min(values) - 1e-9 <= result.low <= result.high <= max(values) + 1e-9


def test_the_interval_agrees_with_scipys_bootstrap() -> None:
    values = np.random.default_rng(1).gamma(3, 2, 80)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=6000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    ours = estimate(values, seed=5, draws=6000)
    assert ours.low == pytest.approx(theirs.low, abs=0.08)
    assert ours.high == pytest.approx(theirs.high, abs=0.08)


def test_images_without_a_value_do_not_count() -> None:
    values = [1.0, math.nan, 3.0, math.nan, 5.0]
    result = estimate(values)
    assert (result.mean, result.n, result.median) == (3.0, 3, 3.0)
    assert 1 <= result.low <= result.high <= 5


def test_too_few_images_have_no_interval_and_json_says_null() -> None:
    one, none = estimate([2.5]), estimate([math.nan])
    assert one.as_dict() == {
        "mean": 2.5,
        "se": None,
        "low": None,
        "high": None,
        "n": 1,
        "median": 2.5,
    }
    assert none.as_dict()["mean"] is None
    assert none.n == 0
    json.dumps(none.as_dict(), allow_nan=False)


def test_pairing_removes_what_images_have_in_common() -> None:
    generator = np.random.default_rng(0)
    difficulty = generator.normal(20, 6, 200)
    first = difficulty + 0.5 + generator.normal(0, 0.3, 200)
    second = difficulty + generator.normal(0, 0.3, 200)
    apart, together = estimate(first), paired_difference(first, second)
    assert together.mean == pytest.approx(float(np.mean(first) - np.mean(second)))
    assert together.high - together.low < (apart.high - apart.low) / 5
    assert 0.3 < together.low < together.high < 0.7


def test_one_seed_gives_one_interval_and_draws_the_same_images_for_all() -> None:
    values = np.random.default_rng(3).normal(size=50)
    assert estimate(values, seed=7) == estimate(values, seed=7)
    assert estimate(values, seed=7) != estimate(values, seed=8)
    shifted = estimate(values + 4, seed=7)
    assert shifted.low - estimate(values, seed=7).low == pytest.approx(4)
