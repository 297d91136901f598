"""The survey's export: complete, documented, safe to open, and as good as the database."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from study_simulation import Design, simulate_votes

from study.analysis.votes import StudyData, VotesError, checked_votes, from_database, from_export
from study.export import as_jsonl, for_spreadsheet, main, write_export
from study.records import ParticipantRecord, Stimulus
from study.report import main as report
from study.simulate import main as simulate

RATES = {"real": 0.87, "full": 0.77, "no-gan": 0.61}


def participant(name: str, **changes: object) -> ParticipantRecord:
    values: dict[str, object] = {
        "participant": name,
        "started_at": 1_750_000_000.25,
        "completed_at": None,
        "completed": False,
        "consent_version": "1",
        "consented_at": 1_750_000_001.0,
        "language": "en",
        "config_hash": "abc",
        "plates_shown": None,
        "plates_correct": None,
        "real_on_left": True,
        "seed": 3,
        "withdrawn": False,
        "source": "direct",
        "outcome": "in-progress",
        "answers": {},
    }
    return ParticipantRecord(**(values | changes))  # type: ignore[arg-type]


def people(*records: ParticipantRecord) -> pd.DataFrame:
    from dataclasses import asdict

    return pd.DataFrame([asdict(record) for record in records])


@pytest.fixture
def data() -> StudyData:
    votes = checked_votes(simulate_votes(Design(RATES, 6, 9, 12), seed=1), "test")
    persons = people(
        participant("p0000", answers={"remarks": "=HYPERLINK(1)", "age": "30"}),
        participant(
            "p0001",
            completed=True,
            completed_at=1_750_000_100.5,
            plates_shown=3,
            plates_correct=2,
            answers={"remarks": "fine, “nice”\nand more"},
        ),
    )
    stimuli = pd.DataFrame(
        [Stimulus("s1", "real", "real", "b1", None, "00", "CC0", "s1.png").__dict__]
    )
    return StudyData(votes, persons, stimuli, {"title": "T"}, "abc", "a test")


def test_an_export_read_again_is_the_same_study(data: StudyData, tmp_path: Path) -> None:
    write_export(data, tmp_path)
    again = from_export(tmp_path)
    pd.testing.assert_frame_equal(
        again.votes[list(data.votes.columns)], data.votes, check_dtype=False
    )
    assert again.config == data.config
    assert again.config_hash == "abc"
    assert list(again.participants["participant"]) == ["p0000", "p0001"]
    assert again.participants["plates_correct"].tolist()[1] == 2.0
    write_export(again, tmp_path / "second")
    for name in ("votes.csv", "stimuli.csv", "study.json"):
        assert (tmp_path / "second" / name).read_text() == (tmp_path / name).read_text()


def test_jsonl_has_every_row_with_json_types(data: StudyData) -> None:
    rows = [json.loads(line) for line in as_jsonl(data.votes).splitlines()]
    assert len(rows) == len(data.votes)
    assert isinstance(rows[0]["answer"], bool)
    assert isinstance(rows[0]["trial"], int)
    assert rows[0]["correct"] is None
    persons = [json.loads(line) for line in as_jsonl(data.participants).splitlines()]
    assert persons[0]["answers"] == {"remarks": "=HYPERLINK(1)", "age": "30"}
    assert persons[0]["completed_at"] is None
    assert persons[1]["plates_shown"] == 3


def test_csv_shows_exit_answers_and_iso_times_and_runs_no_formula(data: StudyData) -> None:
    table = for_spreadsheet(data.participants)
    assert table["answer_remarks"].tolist() == ["'=HYPERLINK(1)", "fine, “nice”\nand more"]
    assert table["answer_age"].tolist() == ["30", ""]
    assert table["started_utc"][0] == "2025-06-15T15:06:40.250000Z"
    assert pd.isna(table["completed_utc"][0])
    assert "answers" not in table


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.text(min_size=1, max_size=8).filter(str.strip), min_size=1, max_size=4))
def test_any_name_survives_the_way_through_csv(names: list[str]) -> None:
    import tempfile

    frame = pd.DataFrame(
        {
            "participant": [f"p{k}" for k in range(len(names))],
            "trial": 0,
            "kind": "method",
            "method": names,
            "base_image": "b",
            "stimulus": "s",
            "answer": True,
        }
    )
    usable = [name for name in names if name.isprintable() or "\t" in name]
    frame = frame[frame["method"].isin(usable)]
    votes = checked_votes(frame, "test")
    with tempfile.TemporaryDirectory() as folder:
        write_export(StudyData(votes, pd.DataFrame(), pd.DataFrame()), Path(folder))
        again = from_export(Path(folder))
        cells = pd.read_csv(Path(folder) / "votes.csv", dtype=str, keep_default_na=False)["method"]
    assert again.votes["method"].tolist() == votes["method"].tolist()
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)


def test_the_codebook_explains_every_column(data: StudyData, tmp_path: Path) -> None:
    write_export(data, tmp_path)
    text = (tmp_path / "codebook.md").read_text(encoding="utf-8")
    for table in (data.votes, data.participants, data.stimuli):
        for column in table.columns:
            assert f"| {column} | " in text
    assert "as in the file that was read" not in text


def test_checking_twice_changes_nothing() -> None:
    votes = checked_votes(simulate_votes(Design(RATES, 4, 6, 9, attention=1), seed=2), "test")
    pd.testing.assert_frame_equal(checked_votes(votes, "test"), votes)
    assert set(votes.loc[votes["kind"] == "attention", "correct"]) <= {True, False}


def test_a_minimal_table_gets_honest_defaults() -> None:
    frame = pd.DataFrame(
        [["p", "0", "method", "full", "b", "s", "1"]],
        columns=["participant", "trial", "kind", "method", "base_image", "stimulus", "answer"],
    )
    votes = checked_votes(frame, "test")
    assert votes["answer"].tolist() == [True]
    assert math.isnan(votes["rt_ms"][0])
    assert votes["correct"][0] is None
    with pytest.raises(VotesError, match="row 2: rt_ms is infinite"):
        checked_votes(frame.assign(rt_ms=np.inf), "test")


def test_database_export_and_report_agree(tmp_path: Path) -> None:
    """Simulated participants in a real database: export and database give the same report."""
    url = f"sqlite:///{tmp_path / 'study.sqlite'}"
    assert simulate(["--database-url", url, "--participants", "6", "--seed", "5"]) == 0
    stored = from_database(url)
    assert stored.votes["participant"].nunique() == 6
    assert set(stored.votes["kind"]) == {"real", "method", "practice", "attention"}
    assert main(["--database-url", url, "-o", str(tmp_path / "export")]) == 0
    for name, source in (
        ("a", ["--database-url", url]),
        ("b", ["--votes", str(tmp_path / "export")]),
    ):
        assert report([*source, "-o", str(tmp_path / name), "--resamples", "100"]) == 0
    for path in sorted((tmp_path / "a").glob("*.csv")):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    pages = [(tmp_path / name / "report.html").read_text(encoding="utf-8") for name in "ab"]
    assert "as declared in the study’s configuration" in pages[0]
    assert stored.config_hash in pages[0]
    assert stored.config_hash in pages[1]


def test_a_missing_database_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--database-url", f"sqlite:///{tmp_path / 'no.sqlite'}", "-o", str(tmp_path)])
    assert code == 2
    assert capsys.readouterr().err.startswith("study.export: no database file")
