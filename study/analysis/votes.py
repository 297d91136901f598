"""Where an analysis gets its answers: a study's database, an export folder, or a CSV file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from study.store.records import KINDS

REQUIRED = ("participant", "trial", "kind", "method", "base_image", "stimulus", "answer")
OPTIONAL: Mapping[str, Any] = {
    "correct": None,
    "rt_ms": float("nan"),
    "shown_at": float("nan"),
    "answered_at": float("nan"),
    "focus_lost": 0,
    "participant_completed": True,
    "config_hash": "",
}
"""Columns a CSV may leave out, with what is then assumed."""

FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r", "'")
"""A text in an exported CSV that begins with one of these has an apostrophe in front."""

_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no"}


class VotesError(ValueError):
    """Answers that cannot be analysed; the text names the file, the row and what to do."""


@dataclass(frozen=True)
class StudyData:
    """What a report or an export is made from.

    votes: columns as in `study.store.records.VoteRecord`, at least REQUIRED and OPTIONAL.
    participants, stimuli: as in `ParticipantRecord`, `StimulusRecord`; empty if unknown.
    source: where it came from, in words fit for a report (no passwords, no folders).
    """

    votes: pd.DataFrame
    participants: pd.DataFrame
    stimuli: pd.DataFrame
    config: Mapping[str, Any] = field(default_factory=dict)
    config_hash: str = ""
    source: str = ""


def from_database(database_url: str, version: str | None = None) -> StudyData:
    """One version of a study (default the current one) from its database.

    Raises:
        study.store.database.StorageError: no such database, study or version.
    """
    from study.store.database import load_records

    records = load_records(database_url, config_hash=version)
    return StudyData(
        checked_votes(records.votes_frame(), "the database"),
        records.participants_frame(),
        records.stimuli_frame(),
        records.config,
        records.config_hash,
        "the study's database",
    )


def from_export(path: Path) -> StudyData:
    """A folder written by `study.export`, or any CSV with the REQUIRED columns.

    Raises:
        VotesError: not readable, columns missing, or values that make no sense.
    """
    if path.is_dir():
        votes = _read_table(path / "votes.csv")
        study = _read_study(path / "study.json")
        return StudyData(
            checked_votes(votes, "votes.csv"),
            _optional_table(path / "participants.csv"),
            _optional_table(path / "stimuli.csv"),
            study.get("config", {}),
            str(study.get("config_hash", "")),
            f"the export {path.name}",
        )
    votes = checked_votes(_read_table(path), path.name)
    hashes = [value for value in votes["config_hash"].unique() if value]
    return StudyData(
        votes,
        pd.DataFrame(),
        pd.DataFrame(),
        {},
        hashes[0] if len(hashes) == 1 else "",
        f"the file {path.name}",
    )


def _read_table(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        return frame.map(_unmarked)
    except FileNotFoundError as error:
        raise VotesError(f"no file {path}") from error
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise VotesError(f"{path.name} is not a readable CSV file: {error}") from error


def _unmarked(value: str) -> str:
    marked = value.startswith("'") and value[1:].startswith(FORMULA_MARKS)
    return value[1:] if marked else value


def _optional_table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame()
    frame = _read_table(path)
    for column in ("plates_shown", "plates_correct", "started_at", "completed_at"):
        if column in frame:
            frame[column] = pd.to_numeric(frame[column], errors="coerce")
    for column in ("completed", "withdrawn"):
        if column in frame:
            frame[column] = _booleans(frame[column], column, path.name)
    return frame


def _read_study(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        study = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VotesError(f"{path.name} is not readable: {error}") from error
    if not isinstance(study, dict) or not isinstance(study.get("config", {}), dict):
        raise VotesError(f"{path.name} does not hold a study's configuration")
    return study


def checked_votes(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """The same votes with true types, in order of participant and trial.

    Raises:
        VotesError: a column is missing, or the first row whose value makes no sense.
    """
    missing = [column for column in REQUIRED if column not in frame]
    if missing:
        raise VotesError(f"{source}: no column {missing[0]!r}; needed are {', '.join(REQUIRED)}")
    votes = frame.copy()
    for column, default in OPTIONAL.items():
        if column not in votes:
            votes[column] = default
    for column in ("participant", "kind", "method", "base_image", "stimulus", "config_hash"):
        votes[column] = votes[column].astype(str)
    for column in ("participant", "method", "base_image", "stimulus"):
        _refuse(votes[column] == "", column, "empty", source)
    _refuse(~votes["kind"].isin(KINDS), "kind", f"none of {', '.join(KINDS)}", source)
    for column in ("answer", "participant_completed"):
        votes[column] = _booleans(votes[column], column, source)
    votes["correct"] = _optional_booleans(votes["correct"], source)
    for column in ("trial", "rt_ms", "shown_at", "answered_at", "focus_lost"):
        votes[column] = _numbers(votes[column], column, source)
    _refuse(votes["trial"].isna(), "trial", "empty", source)
    twice = votes.duplicated(["participant", "trial"])
    _refuse(twice, "trial", "there already for this participant", source)
    votes["trial"] = votes["trial"].astype(int)
    votes["focus_lost"] = votes["focus_lost"].fillna(0.0).astype(int)
    return votes.sort_values(["participant", "trial"], kind="stable", ignore_index=True)


def _refuse(wrong: pd.Series[bool], column: str, why: str, source: str) -> None:
    if wrong.any():
        row = int(wrong.to_numpy().argmax()) + 2  # as a spreadsheet counts, after the heading
        raise VotesError(f"{source}, row {row}: {column} is {why}")


def _numbers(values: pd.Series[Any], column: str, source: str) -> pd.Series[float]:
    numbers = pd.to_numeric(values.replace("", None), errors="coerce").astype(float)
    given = values.notna() & (values.astype(str) != "") & (values.astype(str) != "nan")
    _refuse(given & numbers.isna(), column, "not a number", source)
    _refuse(numbers.abs() == float("inf"), column, "infinite", source)
    return numbers


def _booleans(values: pd.Series[Any], column: str, source: str) -> pd.Series[bool]:
    text = values.astype(str).str.lower()
    _refuse(~text.isin(_TRUE | _FALSE), column, "neither true nor false", source)
    return text.isin(_TRUE)


def _optional_booleans(values: pd.Series[Any], source: str) -> pd.Series[Any]:
    text = values.astype(str).str.lower()
    empty = values.isna() | text.isin({"", "none", "nan", "<na>"})
    _refuse(~empty & ~text.isin(_TRUE | _FALSE), "correct", "neither true nor false", source)
    return pd.Series(
        [None if gap else value in _TRUE for gap, value in zip(empty, text, strict=True)],
        index=values.index,
        dtype=object,
    )


def read_source(arguments: argparse.Namespace) -> StudyData:
    """The study that the arguments name.

    Raises:
        VotesError, StorageError, ConfigError: in the user's words.
    """
    if arguments.database_url is not None:
        return from_database(arguments.database_url, arguments.version)
    return from_export(arguments.votes)


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that `read_source` reads."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--database-url", help="as given to study.serve")
    source.add_argument(
        "--votes", type=Path, metavar="PATH", help="a folder of study.export, or a votes CSV"
    )
    parser.add_argument(
        "--version", metavar="HASH", help="which version of the study (default the current one)"
    )
