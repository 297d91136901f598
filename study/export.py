"""Export a study: votes, participants and stimuli as CSV and JSONL, with a codebook.

    python -m study.export --database-url sqlite:///study.sqlite -o export/

`python -m study.report --votes export/` makes the same report as from the database.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from chromagan.files import write_text
from study.analysis.votes import (
    FORMULA_MARKS,
    StudyData,
    add_source_arguments,
    read_source,
)
from study.records import RECORDS, described
from study.settings import StudyError

_TIMES = {
    entry.name
    for record in RECORDS.values()
    for entry in described(record)
    if entry.name.endswith("_at")
}


def write_export(data: StudyData, folder: Path) -> list[Path]:
    """Write everything into folder, which is made if needed; returns the files.

    Files: votes, participants and stimuli as .csv and .jsonl, study.json (configuration and its
    hash), codebook.md (every column). Times are UTC seconds in JSONL, with an ISO column beside
    them in CSV.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []

    def write(name: str, text: str) -> None:
        write_text(folder / name, text)
        written.append(folder / name)

    tables = {"votes": data.votes, "participants": data.participants, "stimuli": data.stimuli}
    for name, table in tables.items():
        if table.empty and not len(table.columns):
            continue  # a bare votes file knows neither participants nor stimuli
        write(f"{name}.csv", for_spreadsheet(table).to_csv(index=False, lineterminator="\n"))
        write(f"{name}.jsonl", as_jsonl(table))
    study = {"config_hash": data.config_hash, "config": data.config}
    write("study.json", json.dumps(study, indent=1, ensure_ascii=False, default=str) + "\n")
    write("codebook.md", codebook(tables))
    return written


def as_jsonl(table: pd.DataFrame) -> str:
    """One JSON object per row; missing values are null."""
    return "".join(
        json.dumps({name: _plain(value) for name, value in row.items()}, ensure_ascii=False) + "\n"
        for row in table.to_dict("records")
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict | list):
        return value
    return None if pd.isna(value) else value


def for_spreadsheet(table: pd.DataFrame) -> pd.DataFrame:
    """The table fit for CSV: exit questions in columns of their own, ISO times, safe texts.

    A text that begins like a formula gets an apostrophe in front, so that a spreadsheet does not
    run what a participant typed; the JSONL files keep the text as typed.
    """
    shown = table.copy()
    if "answers" in shown:
        answers = [dict(value) if isinstance(value, dict) else {} for value in shown["answers"]]
        shown = shown.drop(columns="answers")
        for question in sorted({key for row in answers for key in row}):
            shown[f"answer_{question}"] = [row.get(question, "") for row in answers]
    for name in _TIMES:
        if name in shown:
            seconds = pd.to_numeric(shown[name], errors="coerce")
            whole = (1e6 * seconds).round().astype("Int64")  # floats end below the microsecond
            stamps = pd.to_datetime(whole, unit="us", utc=True)
            iso = stamps.dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            beside = name.removesuffix("_at") + "_utc"
            shown = shown.drop(columns=beside, errors="ignore")
            place = list(shown.columns).index(name)
            shown.insert(place + 1, beside, iso)
    for column in shown.columns:
        if not pd.api.types.is_numeric_dtype(shown[column]):
            shown[column] = [_safe(value) for value in shown[column]]
    return shown


def _safe(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(FORMULA_MARKS):
        return "'" + value
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; 0 written, 2 not possible as asked."""
    parser = argparse.ArgumentParser(prog="study.export", description=__doc__.split("\n")[0])
    add_source_arguments(parser)
    parser.add_argument("-o", "--output", type=Path, default=Path("export"), metavar="DIR")
    arguments = parser.parse_args(argv)
    try:
        data = read_source(arguments)
        for path in write_export(data, arguments.output):
            print(path)
    except (StudyError, OSError) as error:
        print(f"study.export: {error}", file=sys.stderr)
        return 2
    return 0


_HEAD = """# Codebook

CSV: UTF-8, commas, empty for missing; columns NAME_utc repeat NAME_at as ISO 8601; a text that
begins with =, +, -, @, ' or a tab has an apostrophe in front. JSONL: one object per line, texts
as typed. study.json: the study's configuration and the hash that identifies it. No addresses and
no recruiter identifiers are exported; exit answers are what participants typed, so read them
before you publish them.
"""
_UTC = "the same as the column before, as ISO 8601"
_UNKNOWN = "as in the file that was read"


def codebook(tables: Mapping[str, pd.DataFrame]) -> str:
    """Markdown that explains every column of the tables that there are."""
    parts = [_HEAD]
    for name, table in tables.items():
        if not len(table.columns):
            continue
        known = {entry.name: entry.column.meaning for entry in described(RECORDS[name])}
        parts.append(f"\n## {name} ({len(table)} rows)\n\n| column | meaning |\n|---|---|\n")
        for column in map(str, table.columns):
            meaning = known.get(column, _UTC if column.endswith("_utc") else _UNKNOWN)
            parts.append(f"| {column} | {meaning} |\n")
    return "".join(parts)


if __name__ == "__main__":
    raise SystemExit(main())
