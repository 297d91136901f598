"""Where an analysis gets its answers: a study's database, an export folder, or a CSV file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from study.records import KINDS, NEEDED, ParticipantRecord, VoteRecord, described
from study.settings import StudyError

_COLUMNS = described(VoteRecord)
REQUIRED = tuple(entry.name for entry in _COLUMNS if entry.column.assumed is NEEDED)
"""Columns that a table of votes must have; what is assumed for the others, their field says."""

FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r", "'")
"""A text in an exported CSV that begins with one of these has an apostrophe in front."""

_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no"}


class VotesError(StudyError):
    """Answers that cannot be analysed; the text names the file, the row and what to do."""


@dataclass(frozen=True)
class StudyData:
    """What a report or an export is made from.

    votes: columns as in `study.records.VoteRecord`.
    participants, stimuli: as in `ParticipantRecord`, `Stimulus`; empty if unknown.
    source: where it came from, in words fit for a report (no passwords, no folders).
    """

    votes: pd.DataFrame
    participants: pd.DataFrame = field(default_factory=pd.DataFrame)
    stimuli: pd.DataFrame = field(default_factory=pd.DataFrame)
    config: Mapping[str, Any] = field(default_factory=dict)
    config_hash: str = ""
    source: str = ""


def from_database(database_url: str, version: str | None = None) -> StudyData:
    """One version of a study (default the current one) from its database.

    Raises:
        study.store.database.StorageError: no such database, study or version.
    """
    from study.store.registry import load_records

    records = load_records(database_url, config_hash=version)
    frames = records.frames()
    return StudyData(
        checked_votes(frames["votes"], "the database"),
        frames["participants"],
        frames["stimuli"],
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
    known = hashes[0] if len(hashes) == 1 else ""
    return StudyData(votes, config_hash=known, source=f"the file {path.name}")


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
    for entry in described(ParticipantRecord):
        if entry.name in frame and entry.type in {int, float}:
            frame[entry.name] = pd.to_numeric(frame[entry.name], errors="coerce")
        elif entry.name in frame and entry.type is bool:
            frame[entry.name] = _booleans(frame[entry.name], entry.name, path.name)
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
    for entry in _COLUMNS:
        name, assumed = entry.name, entry.column.assumed
        if name not in votes and assumed is None and entry.column.table and not entry.optional:
            continue  # nothing can be assumed, and no analysis asks
        if name not in votes:
            votes[name] = assumed
        if entry.type is str:
            votes[name] = votes[name].fillna("").astype(str)
            _refuse((votes[name] == "") & (assumed is NEEDED), name, "empty", source)
        elif entry.type is bool:
            votes[name] = _booleans(votes[name], name, source, optional=entry.optional)
        else:
            votes[name] = _numbers(votes[name], name, source)
    _refuse(~votes["kind"].isin(KINDS), "kind", f"none of {', '.join(KINDS)}", source)
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


def _booleans(
    values: pd.Series[Any], column: str, source: str, *, optional: bool = False
) -> pd.Series[Any]:
    """True, False and, if optional, None where nothing stands."""
    text = values.astype(str).str.lower()
    empty = (values.isna() | text.isin({"", "none", "nan", "<na>"})) & optional
    _refuse(~empty & ~text.isin(_TRUE | _FALSE), column, "neither true nor false", source)
    true = text.isin(_TRUE)
    return true.astype(object).mask(empty, None) if optional else true


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
