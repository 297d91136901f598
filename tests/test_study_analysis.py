"""The survey's statistics against independent references, edge cases and simulated truth."""

from __future__ import annotations

import functools
import itertools
import math

import krippendorff
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.special import expit, logit
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint
from study_simulation import PAPER_LIKE_RATES as RATES
from study_simulation import Design, simulate_votes

from study.analysis.contrasts import (
    Counts,
    bootstrap_differences,
    bootstrap_p,
    clustered_difference,
    criterion,
    d_prime,
    detectable_difference,
    detection,
    holm,
    loglinear,
    odds_ratio,
    paired_counts,
    paired_difference,
)
from study.analysis.evaluation import analyse, pictures, response_times
from study.analysis.intervals import (
    clustered_shares,
    share_interval,
    wilson,
)
from study.analysis.plan import ExclusionRules, Plan, excluded_participants, plan_from_config
from study.analysis.reliability import agreement, fit_logit, order_effect
from study.analysis.votes import checked_votes
from study.rehearsal.simulation import (
    AnswerModel,
    Effects,
    RawVotes,
    intercept_for,
    mean_rate,
    simulate_raw,
)
from study.settings import read_part

CONTRASTS = (("full", "no-class"), ("full", "no-gan"))
# wall-clock checks off: a busy machine is no reason to fail
CALM = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FAST = Plan(CONTRASTS, resamples=500)


def votes_of(design: Design | None = None, seed: int = 0) -> pd.DataFrame:
    return checked_votes(simulate_votes(design or Design(RATES, 24, 16, 30), seed=seed), "test")


def raw_votes(seed: int = 0, **design: object) -> RawVotes:
    given_design = {"rates": RATES, "participants": 30, "trials": 20, "images": 40} | design
    return simulate_raw(Design(**given_design), np.random.default_rng(seed))  # type: ignore[arg-type]


# --- intervals ------------------------------------------------------------------------------


@CALM
@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_that_of_statsmodels_and_solves_its_equation(counts: tuple[int, int]) -> None:
    yes, votes = counts
    low, high = wilson(yes, votes)
    expected = proportion_confint(yes, votes, method="wilson")
    assert (low, high) == pytest.approx(expected, abs=1e-12)
    # the ends are the p at which the score test is just significant
    for end in (low, high):
        if 0.0 < end < 1.0:
            score = (yes / votes - end) / math.sqrt(end * (1.0 - end) / votes)
            assert abs(score) == pytest.approx(stats.norm.ppf(0.975), rel=1e-6)


@pytest.mark.parametrize("yes_votes", [(0, 0), (3, 2), (-1, 4)])
def test_a_share_of_nothing_is_refused(yes_votes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not a share"):
        wilson(*yes_votes)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_clustered_covariance_is_the_sandwich_of_statsmodels_logit(seed: int) -> None:
    raw = raw_votes(seed)
    fit = clustered_shares(raw.answer, raw.method, raw.participant, raw.image, 4)
    design = (raw.method[:, None] == np.arange(4)).astype(float)
    groups = np.stack([raw.participant, raw.image], axis=1)
    model = sm.Logit(raw.answer.astype(float), design)
    reference = model.fit(disp=0, cov_type="cluster", cov_kwds={"groups": groups})
    slope = np.diag(1.0 / (fit.values * (1.0 - fit.values)))
    assert logit(fit.values) == pytest.approx(reference.params, abs=1e-6)
    assert slope @ fit.two_way @ slope == pytest.approx(reference.cov_params(), rel=1e-5, abs=1e-9)
    for groups_one, ours in ((raw.participant, fit.by_participant), (raw.image, fit.by_image)):
        one = model.fit(disp=0, cov_type="cluster", cov_kwds={"groups": groups_one})
        assert slope @ ours @ slope == pytest.approx(one.cov_params(), rel=1e-5, abs=1e-9)


def test_clustered_interval_is_the_one_written_out_by_hand() -> None:
    raw = raw_votes(3)
    chosen = raw.method == 1
    y, people, images = raw.answer[chosen], raw.participant[chosen], raw.image[chosen]
    n, share = len(y), y.mean()

    def by(group: list[object]) -> float:
        sums: dict[object, float] = {}
        for key, answer in zip(group, y, strict=True):
            sums[key] = sums.get(key, 0.0) + (float(answer) - share) / n
        g = len(sums)
        return g / (g - 1) * (n - 1) / (n - 1) * sum(value**2 for value in sums.values())

    one_way = by(list(people)), by(list(images))
    two_way = sum(one_way) - by(list(zip(people, images, strict=True)))
    error = math.sqrt(max(two_way, *one_way, share * (1 - share) / n)) / (share * (1 - share))
    t = stats.t.ppf(0.975, min(len(set(people)), len(set(images))) - 1)
    estimate = share_interval(y, people, images)
    assert estimate.value == pytest.approx(share)
    assert estimate.low == pytest.approx(expit(logit(share) - t * error))
    assert estimate.high == pytest.approx(expit(logit(share) + t * error))


def test_independent_answers_give_about_the_naive_interval() -> None:
    raw = raw_votes(
        1, rates={"m": 0.7}, participants=200, trials=40, images=400, effects=Effects(0.0, 0.0)
    )
    estimate = share_interval(raw.answer, raw.participant, raw.image)
    low, high = wilson(int(raw.answer.sum()), len(raw.answer))
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.high - estimate.low == pytest.approx(high - low, rel=0.2)


def test_repeating_every_answer_of_a_person_does_not_narrow_the_interval() -> None:
    # 20 people, each giving one answer, on one picture each; then each answer fifty times
    answer = np.array([True] * 13 + [False] * 7)
    people, images = np.arange(20), np.arange(20)
    once = share_interval(answer, people, images)
    often = share_interval(np.repeat(answer, 50), np.repeat(people, 50), np.repeat(images, 50))
    assert once.low is not None
    assert often.low == pytest.approx(once.low, abs=0.01)
    assert wilson(650, 1000)[0] > often.low + 0.1


@pytest.mark.parametrize("everyone_says", [True, False])
def test_separation_gives_an_exact_interval_and_says_so(everyone_says: bool) -> None:
    answer = np.full(60, everyone_says)
    estimate = share_interval(answer, np.arange(60) % 12, np.arange(60) % 30)
    one_sided = 0.025 ** (1 / 12)  # (p)^12 = 0.025
    assert "no logit model" in estimate.note
    assert estimate.value == float(everyone_says)
    if everyone_says:
        assert estimate.low == pytest.approx(one_sided)
        assert estimate.high == 1.0
    else:
        assert estimate.low == 0.0
        assert estimate.high == pytest.approx(1.0 - one_sided)


# --- comparisons ----------------------------------------------------------------------------


@CALM
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=6))
def test_holm_is_closed_testing_with_bonferroni(thousandths: list[int]) -> None:
    p_values = [k / 1000 for k in thousandths]
    indices = range(len(p_values))
    # a hypothesis falls when every family that contains it falls by Bonferroni's test
    families = [family for size in indices for family in itertools.combinations(indices, size + 1)]
    expected = [
        max(
            min(1.0, len(family) * min(p_values[j] for j in family))
            for family in families
            if k in family
        )
        for k in indices
    ]
    assert holm(p_values) == pytest.approx(expected, abs=1e-12)


def test_holm_is_that_of_statsmodels() -> None:
    p_values = [0.04, 0.001, 0.03, 0.6, 0.012, 0.03]
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_paired_bootstrap_has_the_spread_of_the_paired_differences() -> None:
    rng = np.random.default_rng(5)
    each = np.full(40, 10)
    counts = Counts(rng.binomial(10, 0.7, 40), each, rng.binomial(10, 0.6, 40), each)
    draws = bootstrap_differences(counts, 20_000, np.random.default_rng(0))
    # with equal numbers of answers, the bootstrap law of the mean is known exactly
    per_person = (counts.yes_a - counts.yes_b) / 10
    assert draws.mean() == pytest.approx(per_person.mean(), abs=0.002)
    assert draws.std() == pytest.approx(per_person.std() / math.sqrt(40), rel=0.03)
    estimate, p = paired_difference(counts, resamples=20_000)
    assert estimate.value == pytest.approx(per_person.mean())
    normal = stats.norm.ppf(0.975) * per_person.std() / math.sqrt(40)
    assert estimate.low == pytest.approx(per_person.mean() - normal, abs=0.01)
    assert p == pytest.approx(
        2 * stats.norm.sf(per_person.mean() / (per_person.std() / math.sqrt(40))), abs=0.01
    )


def test_a_shared_habit_cancels_in_the_paired_comparison_only() -> None:
    # half of the people say yes nearly always, half nearly never, to both methods alike
    high, low, each = np.full(20, 9), np.full(20, 1), np.full(40, 10)
    yes_b = np.concatenate([high, low])
    counts = Counts(yes_b + np.arange(40) % 2, each, yes_b, each)
    estimate, p = paired_difference(counts)
    assert estimate.value == pytest.approx(0.05)
    assert estimate.low is not None
    assert estimate.low > 0.0
    assert p is not None
    assert p < 0.001
    unpaired = math.sqrt(2 * np.var(yes_b / 10) / 40)
    assert estimate.value < 1.96 * unpaired  # the unpaired test would see nothing


def test_bootstrap_p_is_never_zero_and_is_one_without_difference() -> None:
    assert bootstrap_p(np.full(999, 0.1)) == pytest.approx(2 / 1000)
    assert bootstrap_p(np.concatenate([np.full(500, 0.1), np.full(500, -0.1)])) == 1.0


def test_paired_counts_keeps_those_who_judged_both() -> None:
    answer = np.array([True, False, True, True])
    is_a = np.array([True, False, True, True])
    counts = paired_counts(answer, is_a, np.array([7, 7, 9, 9]))
    assert counts.participants == 1
    assert [
        int(part[0]) for part in (counts.yes_a, counts.votes_a, counts.yes_b, counts.votes_b)
    ] == [1, 1, 0, 1]


def test_clustered_difference_is_that_of_a_linear_model_in_statsmodels() -> None:
    raw = raw_votes(4)
    chosen = raw.method < 2
    y, is_a = raw.answer[chosen], raw.method[chosen] == 0
    people, images = raw.participant[chosen], raw.image[chosen]
    estimate, p = clustered_difference(y, is_a, people, images)
    design = np.stack([np.ones(len(y)), is_a.astype(float)], axis=1)
    model = sm.OLS(y.astype(float), design)

    def error(groups: np.ndarray) -> float:
        fit = model.fit(cov_type="cluster", cov_kwds={"groups": groups})
        return float(fit.bse[1])

    widest = max(error(np.stack([people, images], axis=1)), error(people), error(images))
    degrees = min(len(set(people)), len(set(images))) - 1
    reach = stats.t.ppf(0.975, degrees) * widest
    assert estimate.value == pytest.approx(y[is_a].mean() - y[~is_a].mean())
    assert estimate.low == pytest.approx(estimate.value - reach)
    assert p == pytest.approx(2 * stats.t.sf(abs(estimate.value) / widest, degrees))


# --- signal detection, agreement, order -----------------------------------------------------


def test_d_prime_and_criterion_by_the_book() -> None:
    # Macmillan and Creelman: H = .84, F = .16 give d′ ≈ 2 and no bias
    assert float(d_prime(0.8413447, 0.1586553)) == pytest.approx(2.0, abs=1e-5)
    assert float(criterion(0.8413447, 0.1586553)) == pytest.approx(0.0, abs=1e-6)
    assert float(criterion(0.9, 0.8)) < 0.0
    assert float(loglinear(10, 10)) == pytest.approx(10.5 / 11)


@CALM
@given(st.integers(0, 40), st.integers(0, 40))
def test_detection_is_finite_for_any_counts(hits: int, alarms: int) -> None:
    each = np.array([20, 20])
    counts = Counts(
        np.array([hits // 2, hits - hits // 2]),
        each,
        np.array([alarms // 2, alarms - alarms // 2]),
        each,
    )
    result = detection("m", counts, resamples=100)
    expected = stats.norm.ppf((hits + 0.5) / 41) - stats.norm.ppf((alarms + 0.5) / 41)
    assert result.d_prime.value == pytest.approx(expected)


def test_odds_ratio_is_that_of_the_two_by_two_table() -> None:
    raw = raw_votes(6)
    chosen = raw.method < 2
    y, codes = raw.answer[chosen], raw.method[chosen]
    fit = clustered_shares(y, codes, raw.participant[chosen], raw.image[chosen], 2)
    table = [[int((y & (codes == k)).sum()), int((~y & (codes == k)).sum())] for k in (0, 1)]
    estimate = odds_ratio(fit, np.bincount(codes))
    assert estimate.value == pytest.approx(table[0][0] * table[1][1] / (table[0][1] * table[1][0]))
    assert estimate.low is not None
    assert estimate.high is not None
    # an interval for a ratio is symmetric about it on the logarithmic scale
    assert estimate.low * estimate.high == pytest.approx(estimate.value**2)


@CALM
@given(st.lists(st.lists(st.booleans(), min_size=0, max_size=6), min_size=1, max_size=12))
def test_alpha_is_that_of_the_krippendorff_package(units: list[list[bool]]) -> None:
    yes = np.array([sum(unit) for unit in units])
    votes = np.array([len(unit) for unit in units])
    kept = votes >= 2
    pooled = {answer for unit in units if len(unit) >= 2 for answer in unit}
    ours = agreement(yes, votes).value
    if len(pooled) < 2:
        assert ours is None
        return
    counts = np.stack([yes, votes - yes], axis=1)[kept]
    expected = krippendorff.alpha(value_counts=counts, level_of_measurement="nominal")
    assert ours == pytest.approx(expected)


def test_alpha_ends() -> None:
    assert agreement(np.array([3, 0, 3]), np.array([3, 3, 3])).value == 1.0
    assert "no picture" in agreement(np.array([1, 0]), np.array([1, 1])).note
    assert "not defined" in agreement(np.array([2, 2]), np.array([2, 2])).note


def test_order_fit_is_that_of_statsmodels() -> None:
    raw = raw_votes(7, effects=Effects(fatigue=-2.0))
    position = raw.position / raw.position.max()
    design = np.column_stack([position, *(raw.method == m for m in range(4))]).astype(float)
    ours = fit_logit(design, raw.answer, raw.participant, raw.image)
    assert ours is not None
    groups = np.stack([raw.participant, raw.image], axis=1)
    reference = sm.Logit(raw.answer.astype(float), design).fit(
        disp=0, cov_type="cluster", cov_kwds={"groups": groups}
    )
    assert ours.values == pytest.approx(reference.params, abs=1e-6)
    assert ours.two_way == pytest.approx(reference.cov_params(), rel=1e-5, abs=1e-9)


def test_fatigue_is_found_with_its_sign_and_its_size() -> None:
    raw = raw_votes(8, participants=300, effects=Effects(0.0, 0.0, fatigue=-1.5))
    effect = order_effect(
        raw.answer,
        raw.method,
        raw.position / raw.position.max(),
        raw.participant,
        raw.image,
        np.full(len(raw.answer), np.nan),
    )
    assert effect.odds_ratio.low is not None
    assert effect.odds_ratio.high is not None
    assert effect.odds_ratio.low < math.exp(-1.5) < effect.odds_ratio.high
    assert effect.odds_ratio.high < 0.5
    assert effect.p is not None
    assert effect.p < 1e-6
    assert effect.halves[0] > effect.halves[1]  # type: ignore[operator]
    assert effect.rt_halves == (None, None)


def test_response_times_are_quartiles_of_the_known_ones() -> None:
    times = np.array([100.0, 200.0, 300.0, 400.0, np.nan])
    found = response_times(times, np.array([True, True, False, False, True]))
    assert (found.answers, found.lower, found.median, found.upper) == (4, 175.0, 250.0, 325.0)
    assert (found.realistic, found.not_realistic) == (150.0, 350.0)


# --- exclusions and plan --------------------------------------------------------------------


def session(person: str, answers: list[bool], **changes: object) -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "participant": person,
            "trial": range(len(answers)),
            "kind": "method",
            "method": "full",
            "base_image": [f"b{k}" for k in range(len(answers))],
            "stimulus": [f"s{k}" for k in range(len(answers))],
            "answer": answers,
            "rt_ms": 900.0,
        }
    )
    return rows.assign(**changes)


def attention(person: str, correct: list[bool]) -> pd.DataFrame:
    rows = session(person, [not value for value in correct], kind="attention", method="attention")
    return rows.assign(trial=rows["trial"] + 100, correct=correct)


def test_each_rule_excludes_whom_it_names() -> None:
    mixed = [True, False] * 6
    votes = checked_votes(
        pd.concat(
            [
                session("good", mixed),
                attention("good", [True, True, False]),
                session("sleeper", mixed),
                attention("sleeper", [False, True, False]),
                session("hasty", mixed, rt_ms=[100.0] * 3 + [900.0] * 9),
                session("constant", [True] * 12),
                session("short", [True] * 9),
                session("left", mixed, participant_completed=False),
                session("colour", mixed),
            ]
        ).fillna({"participant_completed": True}),
        "test",
    )
    people = pd.DataFrame(
        {"participant": ["colour", "good"], "plates_shown": [4, None], "plates_correct": [1, None]}
    )
    rules = ExclusionRules(plates_missed=3)
    assert excluded_participants(votes, rules, people) == {
        "colour": ["missed colour plates"],
        "constant": ["constant answers"],
        "hasty": ["too fast"],
        "left": ["incomplete"],
        "sleeper": ["failed attention trials"],
    }
    off = ExclusionRules(
        failed_attention=None, fast_ms=None, constant_answers=False, incomplete=False
    )
    assert excluded_participants(votes, off, people) == {}


@pytest.mark.parametrize(
    ("mapping", "names"),
    [
        ({"failed_atention": 2}, "failed_atention"),
        ({"fast_share": 1.5}, "fast_share"),
        ({"failed_attention": 0}, "failed_attention"),
        ({"fast_ms": "quick"}, "fast_ms"),
        ({"incomplete": 1}, "incomplete"),
    ],
)
def test_a_rule_that_makes_no_sense_is_named(mapping: dict[str, object], names: str) -> None:
    with pytest.raises(ValueError, match=names):
        read_part(ExclusionRules, mapping, "analysis.exclusions")


def test_the_plan_comes_from_the_configuration() -> None:
    plan = plan_from_config(
        {
            "analysis": {
                "contrasts": [["full", "no-gan"], "full:no-class", {"method": "a", "against": "b"}],
                "exclusions": {"fast_ms": None},
            }
        },
        [],
    )
    assert plan.contrasts == (("full", "no-gan"), ("full", "no-class"), ("a", "b"))
    assert plan.contrasts_declared
    assert plan.rules == ExclusionRules(fast_ms=None)
    default = plan_from_config({}, ["real", "no-gan", "full", "zhang"])
    assert default.contrasts == (("full", "no-gan"),)
    assert not default.contrasts_declared


def test_attention_failures_of_the_survey_are_the_default_rule() -> None:
    plan = plan_from_config({"attention": {"trials": 6, "fail_after": 3}}, [])
    assert plan.rules.failed_attention == 3


@pytest.mark.parametrize(
    "analysis",
    [
        "full:no-gan",
        {"contrasts": "full:no-gan"},
        {"contrasts": [["full"]]},
        {"contrasts": [["full", "full"]]},
        {"contrasts": [["a", "b"], ["a", "b"]]},
        {"exclusions": ["fast"]},
        {"contrast": [["a", "b"]]},
    ],
)
def test_a_malformed_plan_is_refused(analysis: object) -> None:
    with pytest.raises(ValueError, match="analysis"):
        plan_from_config({"analysis": analysis}, [])


# --- the whole analysis ---------------------------------------------------------------------


def test_counts_and_shares_are_those_of_the_table() -> None:
    votes = votes_of()
    result = analyse(votes, FAST).everyone
    for name, group in votes.groupby("method"):
        entry = result.method(str(name))
        assert entry is not None
        assert entry.votes == len(group)
        assert entry.participants == group["participant"].nunique()
        assert entry.images == group["base_image"].nunique()
        assert entry.share.value == pytest.approx(group["answer"].mean())
    assert result.methods[0].method == "real"
    shares = [entry.share.value for entry in result.methods[1:]]
    assert shares == sorted(shares, reverse=True)  # type: ignore[type-var]


def test_the_order_of_rows_and_the_names_of_people_change_nothing() -> None:
    votes = votes_of()
    shuffled = votes.sample(frac=1.0, random_state=1)
    first, second = analyse(votes, FAST), analyse(shuffled, FAST)
    assert first.main.methods == second.main.methods
    assert first.main.contrasts == second.main.contrasts
    assert first.main.order == second.main.order
    pd.testing.assert_frame_equal(first.main.pictures, second.main.pictures)


def test_practice_and_attention_trials_are_no_data() -> None:
    votes = votes_of(Design(RATES, 24, 16, 30, attention=3))
    practice = votes[votes["kind"] == "method"].assign(kind="practice", answer=False)
    practice["trial"] += 1000
    result = analyse(pd.concat([votes, practice], ignore_index=True), FAST)
    plain = analyse(votes[votes["kind"] != "attention"], FAST)
    assert result.everyone.methods == plain.everyone.methods


def test_exclusions_change_the_main_result_only() -> None:
    votes = votes_of(Design(RATES, 40, 24, 60, attention=4, effects=Effects(careless=0.3)), 2)
    result = analyse(votes, FAST)
    assert result.excluded
    kept = votes[~votes["participant"].isin(result.excluded)]
    assert result.main.participants == 40 - len(result.excluded)
    assert result.everyone.participants == 40
    real = result.main.method("real")
    assert real is not None
    assert real.share.value == pytest.approx(kept.loc[kept["method"] == "real", "answer"].mean())


def test_versus_real_agrees_with_the_shares() -> None:
    result = analyse(votes_of(), FAST).main
    real, full = result.method("real"), result.method("full")
    assert real is not None
    assert full is not None
    versus = full.versus_real
    assert versus is not None
    assert real.versus_real is None
    assert versus.difference.value == pytest.approx(full.share.value - real.share.value)  # type: ignore[operator]
    odds = [e.share.value / (1 - e.share.value) for e in (full, real)]  # type: ignore[operator]
    assert versus.odds_ratio.value == pytest.approx(odds[0] / odds[1])
    # the loglinear correction is all that differs from the plain d′
    plain = stats.norm.ppf(real.share.value) - stats.norm.ppf(full.share.value)
    assert versus.detection.d_prime.value == pytest.approx(plain, abs=0.05)


def test_friedman_needs_methods_and_people() -> None:
    enough = analyse(votes_of(Design(RATES, 24, 16, 30)), FAST).everyone
    assert enough.omnibus is not None
    assert enough.omnibus[2] == 24
    few = analyse(votes_of(Design({"full": 0.7, "no-gan": 0.6}, 24, 16, 30)), FAST).everyone
    assert few.omnibus is None
    assert "three methods" in few.omnibus_note


def test_detectable_difference_is_the_textbook_one() -> None:
    comparison = analyse(votes_of(Design(RATES, 60, 40, 80)), FAST).main.contrasts[0]
    assert comparison.paired.low is not None
    assert comparison.paired.high is not None
    error = (comparison.paired.high - comparison.paired.low) / 2 / 1.959964
    assert detectable_difference(comparison, 1) == pytest.approx(2.801585 * error, rel=1e-5)
    assert detectable_difference(comparison, 4) == pytest.approx((2.497705 + 0.841621) * error)


@functools.cache
def edge_cases() -> dict[str, pd.DataFrame]:
    votes = votes_of()
    full, real = votes["method"] == "full", votes["method"] == "real"
    people, images = votes["participant"], votes["base_image"]
    return {
        "nothing": votes.head(0),
        "one vote": votes.head(1),
        "one participant": votes[people == "p0003"],
        "two participants": votes[people.isin(["p0003", "p0004"])],
        "one picture": votes[images == "b0001"],
        "one method": votes[full],
        "one method and real": votes[full | real],
        "no real photographs": votes[~real],
        "only real photographs": votes[real],
        "all yes": votes.assign(answer=True),
        "all no": votes.assign(answer=False),
        "yes to real only": votes.assign(answer=real),
        "one method all yes": votes.assign(answer=votes["answer"] | full),
        "every person constant": votes.assign(answer=people.isin(["p0003", "p0004"])),
        "every scene constant": votes.assign(answer=images < "b0015"),
        "answers follow position": votes.assign(answer=votes["trial"] > 7),
        "no times": votes.assign(rt_ms=np.nan, answered_at=np.nan, shown_at=np.nan),
        "nobody finished": votes.assign(participant_completed=False),
        "disjoint people": votes[full == people.isin([f"p{k:04d}" for k in range(12)])],
        "practice only": votes.assign(kind="practice"),
    }


@pytest.mark.parametrize("name", list(edge_cases()))
def test_thin_data_gives_reasons_and_never_an_error(name: str) -> None:
    votes = edge_cases()[name]
    result = analyse(votes, FAST)
    for part in (result.main, result.everyone):
        estimates = [entry.share for entry in part.methods]
        estimates += [entry.agreement for entry in part.methods]
        estimates += [e for c in part.contrasts for e in (c.paired, c.clustered)]
        for entry in part.methods:
            if entry.versus_real is not None:
                versus = entry.versus_real
                estimates += [versus.difference, versus.odds_ratio, versus.detection.d_prime]
        estimates.append(part.order.odds_ratio)
        for estimate in estimates:
            ends = (estimate.value, estimate.low, estimate.high)
            assert all(end is None or math.isfinite(end) for end in ends)
            if estimate.value is None or estimate.low is None:
                assert estimate.note
            elif estimate.high is not None:
                assert estimate.low <= estimate.value <= estimate.high
        for comparison in part.contrasts:
            assert (comparison.p is None) == (comparison.p_holm is None)
    if name in {"nothing", "practice only"}:
        assert "no answers yet" in result.notes[0]
        assert result.main.methods == ()
    if name == "nobody finished":
        assert "leave no answers" in result.notes[0]
        assert result.everyone.votes > 0
    if name == "no real photographs":
        assert "No real photographs" in " ".join(result.notes)
    if name == "disjoint people":
        assert result.main.contrasts[0].participants == 0
        assert result.main.contrasts[0].clustered.value is not None


@CALM
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from(["real", "full", "no-class"]),
            st.integers(0, 3),
            st.booleans(),
        ),
        max_size=14,
    )
)
def test_any_handful_of_votes_is_analysed(rows: list[tuple[int, str, int, bool]]) -> None:
    frame = pd.DataFrame(
        [
            {
                "participant": f"p{person}",
                "trial": trial,
                "kind": "real" if method == "real" else "method",
                "method": method,
                "base_image": f"b{image}",
                "stimulus": f"{method}-{image}",
                "answer": answer,
            }
            for trial, (person, method, image, answer) in enumerate(rows)
        ],
        columns=["participant", "trial", "kind", "method", "base_image", "stimulus", "answer"],
    )
    result = analyse(checked_votes(frame, "test"), Plan(CONTRASTS[:1], resamples=100))
    assert sum(entry.votes for entry in result.everyone.methods) == len(rows)


def test_pictures_add_up() -> None:
    votes = votes_of()
    table = pictures(votes)
    assert table["votes"].sum() == len(votes)
    assert table["yes"].sum() == votes["answer"].sum()
    assert not table.duplicated("stimulus").any()


# --- the simulator --------------------------------------------------------------------------


@CALM
@given(st.floats(0.02, 0.98), st.floats(0.0, 2.5))
def test_intercept_gives_the_rate_on_average(rate: float, sd: float) -> None:
    mu = intercept_for(rate, sd)
    assert mean_rate(mu, sd) == pytest.approx(rate, abs=1e-9)
    z = np.linspace(-10.0, 10.0, 4001)
    mean = integrate.simpson(stats.norm.pdf(z) * expit(mu + sd * z), x=z)
    assert mean == pytest.approx(rate, abs=1e-4)


def test_a_simulated_study_has_the_design_and_the_rates() -> None:
    design = Design(RATES, 400, 40, 200, effects=Effects(picture_sd=0.3))
    votes = votes_of(design, 3)
    assert not votes.duplicated(["participant", "base_image"]).any()
    per_person = votes.groupby(["participant", "method"]).size()
    assert per_person.min() == per_person.max() == 10
    for method, rate in RATES.items():
        assert votes.loc[votes["method"] == method, "answer"].mean() == pytest.approx(
            rate, abs=0.04
        )


def test_the_answer_model_depends_on_names_alone_and_has_the_rates() -> None:
    model = AnswerModel(RATES, Effects(careless=0.2), seed=4)
    asked = [("p1", "full", "b1"), ("p2", "no-gan", "b1"), ("p1", "real", "b2")]
    forwards = [(model.answer(*question), model.rt_ms(*question)) for question in asked]
    again = AnswerModel(RATES, Effects(careless=0.2), seed=4)
    backwards = [(again.answer(*question), again.rt_ms(*question)) for question in reversed(asked)]
    assert forwards == backwards[::-1]
    plain = AnswerModel(RATES, seed=1)
    names = itertools.product([f"p{k}" for k in range(60)], [f"b{k}" for k in range(60)])
    answers = [plain.answer(person, "no-gan", scene) for person, scene in names]
    assert np.mean(answers) == pytest.approx(0.61, abs=0.05)
    careless = [model.careless(f"p{k}") for k in range(2000)]
    assert np.mean(careless) == pytest.approx(0.2, abs=0.03)
    with pytest.raises(KeyError, match="zhang"):
        model.answer("p1", "zhang", "b1")


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_impossible_rates_are_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        AnswerModel({"full": rate})


# --- calibration ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("picture_sd", [0.0, 0.5])
def test_intervals_cover_and_comparisons_err_as_often_as_they_say(picture_sd: float) -> None:
    """300 studies: 95 % intervals cover in [0.93, 0.97], false positives lie in [0.02, 0.08]."""
    runs, rates = 300, {"real": 0.87, "full": 0.77, "twin": 0.77, "no-gan": 0.61}
    design = Design(rates, 62, 48, 200, effects=Effects(picture_sd=picture_sd))
    rng = np.random.default_rng(2026)
    covered, naive, wrong, wrong_clustered = 0, 0, 0, 0
    for run in range(runs):
        raw = simulate_raw(design, rng)
        for code, rate in enumerate(rates.values()):
            chosen = raw.method == code
            answer = raw.answer[chosen]
            estimate = share_interval(answer, raw.participant[chosen], raw.image[chosen])
            assert estimate.low is not None
            assert estimate.high is not None
            covered += estimate.low <= rate <= estimate.high
            low, high = wilson(int(answer.sum()), len(answer))
            naive += low <= rate <= high
        pair = (raw.method == 1) | (raw.method == 2)
        answer, is_a = raw.answer[pair], raw.method[pair] == 1
        counts = paired_counts(answer, is_a, raw.participant[pair])
        _, p = paired_difference(counts, resamples=1999, seed=run)
        _, p_clustered = clustered_difference(answer, is_a, raw.participant[pair], raw.image[pair])
        assert p is not None
        assert p_clustered is not None
        wrong += p < 0.05
        wrong_clustered += p_clustered < 0.05
    figures = {
        "coverage": covered / (4 * runs),
        "naive coverage": naive / (4 * runs),
        "false positives, paired": wrong / runs,
        "false positives, clustered": wrong_clustered / runs,
    }
    print(picture_sd, figures)
    assert 0.93 <= figures["coverage"] <= 0.97, figures
    assert figures["naive coverage"] < 0.92, figures
    assert figures["false positives, clustered"] <= 0.08, figures
    if picture_sd == 0.0:
        assert 0.02 <= figures["false positives, paired"] <= 0.08, figures
