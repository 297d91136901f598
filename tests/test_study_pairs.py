"""Two pictures, one question: assignment, page to database, Bradley-Terry, calibration."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path

import choix
import httpx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from study_simulation import PairDesign, expected_wins, simulate_pairs
from study_site import STEADY, make_study, opened, served
from test_study_server import submit, to_trials, vote_body

from study.analysis.evaluation import analyse
from study.analysis.pairs import compare_pairs, fit_bradley_terry, refit
from study.analysis.plan import Plan
from study.analysis.votes import checked_votes
from study.records import DATA, REAL, Stimulus
from study.rehearsal.simulation import AnswerModel
from study.report import main as report
from study.simulate import simulate_directly
from study.stimuli.design import pair_trials, plan_session
from study.store.registry import load_records

METHODS = ["a", "b", REAL]


def stimuli(scenes: int) -> list[Stimulus]:
    found = []
    for scene in range(scenes):
        for method in METHODS:
            kind = "real" if method == REAL else "method"
            found.append(Stimulus(f"{method}-{scene}", kind, method, f"s{scene}"))  # type: ignore[arg-type]
        found.append(Stimulus(f"check-{scene}", "attention", "fake", f"s{scene}", False))
        for real in (True, False):
            name = f"warm-{scene}-{real}"
            found.append(Stimulus(name, "practice", f"practice-{real}", f"w{scene}", real))
    return found


@STEADY
@given(trials=st.integers(1, 24), seed=st.integers(0, 2**31))
def test_sides_exposures_and_pairs_are_balanced_within_a_person(trials: int, seed: int) -> None:
    candidates = pair_trials(stimuli(30))
    groups = {entry.group for entry in candidates if entry.kind == "pair"}
    assert len(groups) == 3
    plan = plan_session(
        candidates,
        shares=dict.fromkeys(groups, 1.0),
        trials=trials,
        practice=3,
        attention=2,
        counts={},
        seed=seed,
        exposures=(100, 500),
    )
    scenes = [entry.base_image for entry in plan]
    assert len(set(scenes)) == len(scenes)
    assert [entry.kind for entry in plan[:3]] == ["practice"] * 3
    assert all(entry.expected is True for entry in plan if entry.kind != "pair")
    data = [entry for entry in plan if entry.kind == "pair"]
    per_group = Counter(entry.group for entry in data)
    assert max(per_group.values()) - min(per_group[g] for g in groups) <= 1
    for group in groups:
        for name, levels in (("method_on_left", (True, False)), ("exposure_ms", (100, 500))):
            dealt = Counter(getattr(entry, name) for entry in data if entry.group == group)
            assert abs(dealt[levels[0]] - dealt[levels[1]]) <= 1


def test_only_the_named_pairs_meet() -> None:
    candidates = pair_trials(stimuli(4), [("b", REAL)])
    assert {entry.group for entry in candidates if entry.kind == "pair"} == {f"b : {REAL}"}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    return make_study(folder, task="pairs", exposure_ms=[200, 600])


def test_what_a_person_sees_on_the_left_is_what_is_stored(config: Path, tmp_path: Path) -> None:
    """Always answering "left": the stored answer is right whichever method was on which side."""
    url = f"sqlite:///{tmp_path / 'v.sqlite'}"
    with opened(config, database_url=url) as survey, served(survey) as site:
        by_bytes = {survey.stimuli.read(s.stimulus): s for s in survey.stimuli.stimuli}
        with httpx.Client(base_url=site, follow_redirects=True, timeout=60) as client:
            trial = to_trials(client)
            assert "Which of the two" in client.get("/trials").text
            assert client.post("/api/vote", json=vote_body(trial)).status_code == 422
            left = {}
            while trial is not None:
                assert trial["exposure"] in (200, 600)
                shown = [by_bytes[client.get(str(p)).content] for p in trial["pictures"]]  # type: ignore[attr-defined]
                assert shown[0].base_image == shown[1].base_image
                left[trial["index"]] = shown[0]
                body = vote_body(trial, answer="left")
                trial = client.post("/api/vote", json=body).json()["trial"]
            page = submit(client, client.get("/"), device="1", remarks="")
            assert page.url.path == "/thanks"
    votes = load_records(url).votes
    assert len(votes) == len(left) == 10
    for vote in votes:
        chosen = vote.stimulus if vote.answer else vote.against_stimulus
        assert chosen == left[vote.trial].stimulus
        if vote.kind == "pair":
            assert vote.correct is None
        else:
            assert vote.correct is (left[vote.trial].kind == "real" or left[vote.trial].expected)


def test_a_simulated_study_of_pairs_is_reported(config: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'v.sqlite'}"
    model = AnswerModel({REAL: 0.9, "weak-colours": 0.6, "grey-tint": 0.2})
    with opened(config, database_url=url) as survey:
        simulate_directly(survey.sessions, survey.stimuli, model, 30, start=1e9)
    assert report(["--database-url", url, "-o", str(tmp_path), "--resamples", "100"]) == 0
    strengths = pd.read_csv(tmp_path / "strengths.csv")
    assert list(strengths["method"]) == [REAL, "weak-colours", "grey-tint"]
    pairs = pd.read_csv(tmp_path / "pairs.csv")
    assert pairs["answers"].sum() == 180
    assert (tmp_path / "by-exposure.csv").exists()
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Which of two pictures looks more realistic" in page
    assert "How often each method passes for real" not in page
    assert r"\textbf{[ethics board and approval number]}" in (tmp_path / "methods.tex").read_text()
    json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))


# --- Bradley-Terry ----------------------------------------------------------------------------


def test_two_methods_are_their_log_odds_and_more_are_the_textbook_fit() -> None:
    two = fit_bradley_terry(np.array([[0.0, 30.0], [10.0, 0.0]]))
    assert two is not None
    assert two[0] - two[1] == pytest.approx(np.log(3))
    rng = np.random.default_rng(0)
    wins = rng.integers(5, 40, (4, 4)).astype(float)
    np.fill_diagonal(wins, 0.0)
    ours = fit_bradley_terry(wins)
    assert ours is not None
    # at the maximum, expected and observed wins of every method are the same (Ford 1957)
    chance = expit(ours[:, None] - ours[None, :])
    np.fill_diagonal(chance, 0.0)
    assert (chance * (wins + wins.T)).sum(axis=1) == pytest.approx(wins.sum(axis=1), rel=1e-6)
    listed = [
        (i, j) for i, j in itertools.permutations(range(4), 2) for _ in range(int(wins[i, j]))
    ]
    assert ours == pytest.approx(choix.opt_pairwise(4, listed), abs=1e-4)


def test_many_fits_at_once_are_those_of_choix_one_by_one() -> None:
    rng = np.random.default_rng(1)
    wins = rng.integers(3, 30, (50, 4, 4)).astype(float)
    wins[:, range(4), range(4)] = 0.0
    many = refit(wins, np.zeros(4))
    for one, fit in zip(wins, many, strict=True):
        assert fit == pytest.approx(fit_bradley_terry(one), abs=1e-6)
    wins[7, 2] = 0.0  # the third never wins: no maximum
    assert np.abs(refit(wins, np.zeros(4))).max() < 12.0


def pair_votes(seed: int, **design: object) -> pd.DataFrame:
    return checked_votes(simulate_pairs(PairDesign(**design), seed=seed), "test")  # type: ignore[arg-type]


def test_naming_a_pair_the_other_way_round_changes_nothing() -> None:
    votes = pair_votes(1, participants=20, trials=12, images=30)
    turned = votes.assign(
        method=votes["against"],
        against=votes["method"],
        stimulus=votes["against_stimulus"],
        against_stimulus=votes["stimulus"],
        answer=~votes["answer"],
        method_on_left=[not left for left in votes["method_on_left"]],
    )
    first, second = compare_pairs(votes, resamples=100), compare_pairs(turned, resamples=100)
    assert first is not None
    assert second is not None
    assert first.strengths == second.strengths
    assert first.pairs == second.pairs
    assert first.left == second.left


def test_pairs_that_cannot_be_ranked_give_a_reason() -> None:
    votes = pair_votes(2, participants=10, trials=8, images=20)
    always = votes.assign(answer=votes["method"] < votes["against"])
    result = analyse(always, Plan((("full", "no-gan"),), resamples=100)).everyone.pairs
    assert result is not None
    assert "cannot be estimated" in result.note
    assert all(entry.strength.value is None and entry.strength.note for entry in result.strengths)
    assert result.contrasts[0].p is None
    one = compare_pairs(votes[votes["participant"] == "p0000"], resamples=100)
    assert one is not None
    assert all(entry.strength.low is None for entry in one.strengths)
    assert compare_pairs(votes.head(0)) is None


def test_practice_is_no_data_and_sides_are_what_constant_answers_are_about() -> None:
    votes = pair_votes(3, participants=12, trials=12, images=30)
    leftist = votes["participant"] == "p0003"
    votes.loc[leftist, "answer"] = votes.loc[leftist, "method_on_left"].astype(bool)
    result = analyse(votes, Plan(resamples=100))
    assert result.excluded == {"p0003": ["constant answers"]}
    assert set(votes["kind"]) <= set(DATA)


@pytest.mark.slow
def test_strengths_are_covered_as_often_as_their_intervals_say() -> None:
    """300 studies of 62 people: 95 % intervals cover the true strengths in [0.93, 0.97]."""
    runs, design = 300, PairDesign(participants=62, trials=36, images=120)
    truth = fit_bradley_terry(expected_wins(design))
    assert truth is not None
    names = list(design.rates)
    covered = total = 0
    for run in range(runs):
        found = compare_pairs(
            checked_votes(simulate_pairs(design, seed=run), "test"), resamples=1000, seed=run
        )
        assert found is not None
        for entry in found.strengths:
            if entry.method == found.reference:
                continue
            true = truth[names.index(entry.method)] - truth[names.index(found.reference)]
            assert entry.strength.low is not None
            assert entry.strength.high is not None
            covered += entry.strength.low <= true <= entry.strength.high
            total += 1
    print(f"coverage of strengths over {runs} studies: {covered / total:.3f}")
    assert 0.93 <= covered / total <= 0.97
