"""The list of a batch: one line per photograph with hashes, settings, seconds and errors.

CSV or JSON Lines, told by the file's suffix. Lines are added as results appear and survive a kill:
half a line at the end is dropped, and results that have none are entered from what they say of
themselves.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO

from chromagan.files import sha256_of
from chromagan.images.metadata.provenance import Provenance, provenance_of
from chromagan.inference.jobs import Job
from chromagan.inference.pipeline import Outcome

SUFFIXES = (".csv", ".jsonl")


@dataclass(frozen=True)
class Line:
    """One entry. `status` is `done`, `failed` or `skipped`; `error` says why it failed."""

    input: str
    output: str
    status: str
    input_sha256: str = ""
    output_sha256: str = ""
    network: str = ""
    network_sha256: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    date: str = ""
    notes: str = ""
    error: str = ""


_COLUMNS = [column.name for column in fields(Line)]


class Manifest:
    """Open for one run; `with` closes it. Raises `ValueError` for another suffix."""

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in SUFFIXES:
            raise ValueError(f"--manifest {path}: it must end in {' or '.join(SUFFIXES)}")
        self._csv = path.suffix.lower() == ".csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("r+b" if path.exists() else "x+b")
        self._done = self._known()

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def complete(self, job: Job) -> None:
        """Enter a result that exists and has no line: an earlier run was killed in between."""
        found = None if str(job.target) in self._done else provenance_of(job.target)
        if found is not None:
            self._add(self._line(job, found))

    def enter(self, outcome: Outcome) -> None:
        """Enter what became of a job."""
        job = outcome.job
        found = provenance_of(job.target) if not (outcome.error or outcome.skipped) else None
        if found is not None:
            self._add(self._line(job, found, outcome.seconds))
        else:
            status = "failed" if outcome.error else "skipped"
            reason = outcome.error or outcome.skipped or ""
            self._add(Line(str(job.source), str(job.target), status, error=reason))

    def _line(self, job: Job, found: Provenance, seconds: float | None = None) -> Line:
        return Line(
            input=str(job.source),
            output=str(job.target),
            status="done",
            input_sha256=found.original_sha256,
            output_sha256=sha256_of(job.target),
            network=found.network,
            network_sha256=found.network_sha256,
            settings=found.settings,
            seconds=seconds,
            date=found.date,
            notes="; ".join(found.notes),
        )

    def _add(self, line: Line) -> None:
        values = asdict(line)
        if line.seconds is not None:
            values["seconds"] = round(line.seconds, 3)
        if self._csv:
            values["settings"] = json.dumps(values["settings"], sort_keys=True)
            text = _csv_row([values[name] for name in _COLUMNS])
        else:
            text = json.dumps(values, ensure_ascii=False) + "\n"
        self._file.write(text.encode("utf-8", "backslashreplace"))  # names may be no UTF-8
        self._file.flush()
        if line.status == "done":
            self._done.add(line.output)

    def _known(self) -> set[str]:
        """The results that have a line; a line that was cut off is removed."""
        data = self._file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._file.seek(len(whole))
        self._file.truncate()
        if not whole and self._csv:
            self._file.write(_csv_row(_COLUMNS).encode())
        text = whole.decode("utf-8", "replace")
        rows = csv.DictReader(io.StringIO(text)) if self._csv else map(_json_row, text.splitlines())
        return {str(row.get("output")) for row in rows if row.get("status") == "done"}


def _csv_row(values: list[Any]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(
        "" if value is None else str(value).replace("\r", " ").replace("\n", " ")
        for value in values
    )
    return stream.getvalue()


def _json_row(text: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}
