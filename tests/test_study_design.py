"""Assignment: shares, balance, no scene twice, attention spread."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from study_site import STEADY

from study.stimuli.design import DesignError, Trial, plan_session, share_trials


def pool(methods: list[str], scenes: int, attention: int = 0, practice: int = 0) -> list[Trial]:
    pictures = [
        Trial(f"{method}-{scene}", "real" if method == "real" else "method", method, f"s{scene}")
        for method in methods
        for scene in range(scenes)
    ]
    pictures += [
        Trial(f"check-{scene}", "attention", "inverted", f"s{scene}", False)
        for scene in range(attention)
    ]
    pictures += [
        Trial(f"warm-{scene}-{real}", "practice", "practice", f"w{scene}", real)
        for scene in range(practice)
        for real in (True, False)
    ]
    return pictures


@STEADY
@given(
    trials=st.integers(1, 24),
    attention=st.integers(0, 4),
    practice=st.integers(0, 6),
    weights=st.lists(st.floats(0.1, 10), min_size=1, max_size=5),
    seed=st.integers(0, 2**31),
)
def test_a_session_has_its_shares_and_no_scene_twice(
    trials: int, attention: int, practice: int, weights: list[float], seed: int
) -> None:
    names = ["real", "a", "b", "c", "d"][: len(weights)]
    shares = dict(zip(names, weights, strict=True))
    pictures = pool(names, 30, attention=8, practice=6)
    plan = plan_session(
        pictures,
        shares=shares,
        trials=trials,
        practice=practice,
        attention=attention,
        counts={},
        seed=seed,
    )
    kinds = [picture.kind for picture in plan]
    assert kinds[:practice] == ["practice"] * practice
    assert kinds.count("attention") == attention
    assert len(plan) == practice + trials + attention
    scenes = [picture.base_image for picture in plan]
    assert len(set(scenes)) == len(scenes)
    shown = Counter(picture.method for picture in plan if picture.kind in {"real", "method"})
    total = sum(weights)
    for name, weight in shares.items():
        assert abs(shown[name] - trials * weight / total) < 1 + 1e-6
    warm = Counter(picture.expected for picture in plan[:practice])
    assert abs(warm[True] - warm[False]) <= 1


def test_participants_together_see_every_picture_equally_often() -> None:
    names = ["real", "a", "b", "c"]
    pictures = pool(names, 20)
    counts: Counter[str] = Counter()
    for seed in range(40):
        plan = plan_session(
            pictures,
            shares=dict.fromkeys(names, 1.0),
            trials=8,
            practice=0,
            attention=0,
            counts=counts,
            seed=seed,
        )
        counts.update(picture.stimulus for picture in plan)
    # 40 people × 8 trials over 80 pictures: exactly 4 each
    assert {counts[picture.stimulus] for picture in pictures} == {4}


def test_a_picture_that_lags_behind_is_taken_first() -> None:
    pictures = pool(["real", "a"], 10)
    counts = {picture.stimulus: 5 for picture in pictures}
    counts["a-7"] = 1
    for seed in range(10):
        plan = plan_session(
            pictures,
            shares={"real": 1, "a": 1},
            trials=4,
            practice=0,
            attention=0,
            counts=counts,
            seed=seed,
        )
        assert "a-7" in {picture.stimulus for picture in plan}


def test_the_seed_decides_and_orders_differ_between_seeds() -> None:
    pictures = pool(["real", "a"], 20)

    def order(seed: int) -> list[str]:
        plan = plan_session(
            pictures,
            shares={"real": 1, "a": 1},
            trials=10,
            practice=0,
            attention=0,
            counts={},
            seed=seed,
        )
        return [picture.stimulus for picture in plan]

    assert order(5) == order(5)
    assert len({tuple(order(seed)) for seed in range(8)}) == 8


@STEADY
@given(trials=st.integers(1, 60), checks=st.integers(1, 6), seed=st.integers(0, 1000))
def test_checks_are_spread_and_never_come_first(trials: int, checks: int, seed: int) -> None:
    pictures = pool(["real"], 70, attention=20)
    plan = plan_session(
        pictures,
        shares={"real": 1.0},
        trials=trials,
        practice=0,
        attention=checks,
        counts={},
        seed=seed,
    )
    places = [index for index, picture in enumerate(plan) if picture.kind == "attention"]
    assert places[0] >= 1
    if trials >= 4 * checks:  # one in each stretch
        data_before = [place - rank for rank, place in enumerate(places)]
        stretch = trials / checks
        for rank, before in enumerate(data_before):
            assert int(rank * stretch) < before <= int((rank + 1) * stretch)


@STEADY
@given(trials=st.integers(0, 100), seed=st.integers(0, 99))
def test_rounding_goes_to_the_method_seen_least(trials: int, seed: int) -> None:
    shares = {"a": 1.0, "b": 1.0, "c": 1.0}
    quota = share_trials(shares, trials, {"a": 9, "b": 0, "c": 9}, random.Random(seed))
    assert sum(quota.values()) == trials
    assert quota["b"] == max(quota.values())


def test_an_incomplete_grid_is_matched_when_a_matching_exists() -> None:
    # scene s0 exists for a only, s1 for b only: the only plan uses both
    pictures = [Trial("a0", "method", "a", "s0"), Trial("b1", "method", "b", "s1")]
    plan = plan_session(
        pictures,
        shares={"a": 1, "b": 1},
        trials=2,
        practice=0,
        attention=0,
        counts={},
        seed=0,
    )
    assert {picture.stimulus for picture in plan} == {"a0", "b1"}


@pytest.mark.parametrize(
    ("trials", "attention", "practice", "words"),
    [(11, 0, 0, "base images"), (9, 2, 0, "base images"), (4, 0, 9, "practice")],
)
def test_too_few_pictures_are_named(trials: int, attention: int, practice: int, words: str) -> None:
    pictures = pool(["real", "a"], 10, attention=3, practice=2)
    with pytest.raises(DesignError, match=words):
        plan_session(
            pictures,
            shares={"real": 1, "a": 1},
            trials=trials,
            practice=practice,
            attention=attention,
            counts={},
            seed=0,
        )
