"""An append-only log of everything acknowledged, in a second place, and its way back.

One JSON-lines file per participant, so that servers never share a file and a withdrawal can
erase one person's lines. A line torn by a crash was never acknowledged and is skipped. Together
with the studies' descriptions the log rebuilds an empty database (`replay`); `backfill` writes to
a new log what only the database has.

For hosts whose disk vanishes the log can be a dataset on the Hugging Face Hub: lines are written to
a local folder at once and uploaded together every few seconds, because the Hub takes commits, not
single lines. What was acknowledged since the last upload is lost when the host vanishes without a
shutdown; a mounted persistent folder or PostgreSQL has no such window.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select, update

from chromagan.files import complete_file
from study.settings import StudyError
from study.store import tables
from study.store.database import Database
from study.store.registry import erase_participant, store_study

people, trials, votes = tables.participants, tables.trials, tables.votes
Event = Mapping[str, Any]
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class VoteLogError(StudyError):
    """The log cannot be written or read; nothing was acknowledged."""


class VoteLog:
    """A log in a folder. Appends are durable (fsync) before they return."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        """Make the folder and prove that it can be written.

        Raises:
            VoteLogError: it cannot.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder) as probe:
                probe.write(b"\n")
        except OSError as error:
            raise VoteLogError(f"--vote-log {self.folder}: cannot be written ({error})") from error

    def append(self, participant: str, events: Sequence[Event]) -> None:
        """Add lines to a participant's file.

        Raises:
            VoteLogError: not written, or not completely; the caller has to try again.
        """
        text = "".join(json.dumps(event, ensure_ascii=True) + "\n" for event in events)
        path = self._path(participant)
        try:
            is_new = not path.exists()
            with path.open("ab+") as stream:
                stream.seek(max(0, stream.seek(0, os.SEEK_END) - 1))
                if stream.read(1) not in {b"", b"\n"}:
                    text = "\n" + text  # close a line that a crash has torn
                stream.write(text.encode())
                stream.flush()
                os.fsync(stream.fileno())
            if is_new:
                _sync_folder(self.folder)
        except OSError as error:
            raise VoteLogError(f"vote log: {error}") from error

    def erase(self, participant: str, tombstone: Event) -> None:
        """Replace a participant's lines by one.

        Raises:
            VoteLogError: the lines are still there.
        """
        self._replace(self._path(participant), json.dumps(tombstone) + "\n")

    def write_study(self, config_hash: str, description: Event) -> None:
        """Keep a study's configuration and stimuli, so that old versions can be replayed.

        Raises:
            VoteLogError: not written.
        """
        path = self.folder / f"study-{config_hash}.json"
        if not path.exists():
            self._replace(path, json.dumps(description) + "\n")

    def studies(self) -> Iterator[dict[str, Any]]:
        """The studies' descriptions."""
        for path in sorted(self.folder.glob("study-*.json")):
            yield json.loads(path.read_text(encoding="utf-8"))

    def participants(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Each participant's events, in the order written; torn lines are skipped."""
        for path in sorted(self.folder.glob("participant-*.jsonl")):
            events = []
            for line in path.read_bytes().split(b"\n"):
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                if isinstance(event, dict):
                    events.append(event)
            yield path.stem.removeprefix("participant-"), events

    def close(self) -> None:
        """Nothing is left open between calls."""

    def _path(self, participant: str) -> Path:
        if _NAME.fullmatch(participant) is None:
            raise VoteLogError("vote log: not a participant id")
        return self.folder / f"participant-{participant}.jsonl"

    def _replace(self, path: Path, text: str) -> None:
        try:
            with complete_file(path) as stream:
                stream.write(text.encode())
                stream.flush()
                os.fsync(stream.fileno())
            _sync_folder(self.folder)
        except OSError as error:
            raise VoteLogError(f"vote log: {error}") from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


SCHEME = "hf://datasets/"
UPLOAD_EVERY_S = 30.0


def open_log(target: str, api: Any = None) -> VoteLog:
    """A vote log in a folder, or in a (private) dataset `hf://datasets/OWNER/NAME[/FOLDER]`.

    Raises:
        VoteLogError: the address names no dataset.
    """
    if not target.startswith("hf://"):
        return VoteLog(Path(target))
    parts = target.removeprefix(SCHEME).split("/")
    if not target.startswith(SCHEME) or len(parts) < 2 or not all(parts):
        raise VoteLogError(f"--vote-log {target}: needs {SCHEME}OWNER/NAME or a folder")
    if api is None:
        from huggingface_hub import HfApi

        api = HfApi()
    return HubVoteLog(api, "/".join(parts[:2]), "/".join(parts[2:]) or "votes")


class HubVoteLog(VoteLog):
    """A folder log that a thread copies to a dataset repository."""

    def __init__(self, api: Any, repository: str, folder: str) -> None:
        self._spool = tempfile.TemporaryDirectory(prefix="study-votes-")
        super().__init__(Path(self._spool.name))
        self._api = api
        self._repository = repository
        self._remote = folder
        self._changed: set[str] = set()
        self._turn = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vote-log-upload", daemon=True)

    def prepare(self) -> None:
        """Fetch the log so far and start uploading.

        Raises:
            VoteLogError: the dataset cannot be reached or written.
        """
        super().prepare()
        try:
            self._api.create_repo(
                self._repository, repo_type="dataset", private=True, exist_ok=True
            )
            prefix = f"{self._remote}/"
            for name in self._api.list_repo_files(self._repository, repo_type="dataset"):
                if name.startswith(prefix) and "/" not in name.removeprefix(prefix):
                    local = self._api.hf_hub_download(
                        self._repository, name, repo_type="dataset", force_download=True
                    )
                    (self.folder / os.path.basename(name)).write_bytes(Path(local).read_bytes())
        except Exception as error:  # the client raises many kinds, all mean the same here
            raise VoteLogError(
                f"--vote-log {SCHEME}{self._repository}: cannot be used ({error}); "
                "is HF_TOKEN set with write access?"
            ) from error
        self._thread.start()

    def append(self, participant: str, events: Sequence[Event]) -> None:
        """Write locally and mark the file for the next upload."""
        super().append(participant, events)
        self._mark(self._path(participant))

    def _replace(self, path: Path, text: str) -> None:
        super()._replace(path, text)
        self._mark(path)

    def _mark(self, path: Path) -> None:
        with self._turn:
            self._changed.add(path.name)

    def upload(self) -> int:
        """Upload the changed files in one commit; returns how many. Failures are kept."""
        from huggingface_hub import CommitOperationAdd

        with self._turn:
            names, self._changed = sorted(self._changed), set()
        if not names:
            return 0
        try:
            operations = [
                CommitOperationAdd(f"{self._remote}/{name}", (self.folder / name).read_bytes())
                for name in names
            ]
            self._api.create_commit(
                self._repository,
                operations,
                commit_message=f"Votes of {len(names)} files",
                repo_type="dataset",
            )
        except Exception as error:  # keep them for the next time, whatever it was
            with self._turn:
                self._changed.update(names)
            print(f"study: the vote log could not be uploaded yet ({error})", file=sys.stderr)
            return 0
        return len(names)

    def _run(self) -> None:
        while not self._stop.wait(UPLOAD_EVERY_S):
            self.upload()

    def close(self) -> None:
        """Upload what is left and stop."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.upload()
        self._spool.cleanup()


def replay(database: Database, log: VoteLog) -> int:
    """Restore everything the log has and the database lacks.

    Returns:
        How many votes were restored. The last line about a thing wins: an earlier one may have
        been followed by a failed commit and a repetition.
    """
    restored = 0
    with database.write() as connection:
        for description in log.studies():
            store_study(connection, description)
    for participant, events in log.participants():
        with database.write() as connection:
            restored += _restore(connection, participant, events)
    return restored


def backfill(database: Database, log: VoteLog) -> int:
    """Write to the log what only the database has (a log configured later); returns votes."""
    logged = {
        participant: len({e["row"]["trial"] for e in events if e.get("event") == "vote"})
        for participant, events in log.participants()
    }
    with database.read() as connection:
        query = (
            select(people.c.participant, func.count(votes.c.vote_id))
            .select_from(people.outerjoin(votes, votes.c.participant == people.c.participant))
            .group_by(people.c.participant)
        )
        behind = [
            (participant, number)
            for participant, number in connection.execute(query)
            if logged.get(participant, -1) < number
        ]
        for participant, _ in behind:
            log.append(participant, _snapshot(connection, participant))
    return sum(number for _, number in behind)


def _restore(connection: Connection, participant: str, events: list[dict[str, Any]]) -> int:
    person: dict[str, Any] | None = None
    plan: list[dict[str, Any]] = []
    answers: dict[int, dict[str, Any]] = {}
    for event in events:
        match event["event"]:
            case "person" | "withdrawn":
                person = event["row"]
            case "plan":
                plan = event["rows"]
            case "vote":
                answers[event["row"]["trial"]] = event["row"]
    if person is None:
        return 0
    _restore_person(connection, participant, person)
    if person["stage"] == "withdrawn":
        return 0
    has_plan = select(func.count()).where(trials.c.participant == participant)
    if plan and not connection.execute(has_plan).scalar_one():
        connection.execute(trials.insert(), plan)
    stored = select(votes.c.trial).where(votes.c.participant == participant)
    known = set(connection.execute(stored).scalars())
    missing = [row for trial, row in sorted(answers.items()) if trial not in known]
    if missing:
        connection.execute(votes.insert(), missing)
    return len(missing)


def _restore_person(connection: Connection, participant: str, row: dict[str, Any]) -> None:
    query = select(people).where(people.c.participant == participant)
    stored = connection.execute(query).one_or_none()
    if stored is None:
        connection.execute(people.insert().values(**row))
    elif row["stage"] == "withdrawn" and stored.stage != "withdrawn":
        erase_participant(connection, participant, row["withdrawn_at"])
    elif stored.stage != "withdrawn" and stored.last_seen < row["last_seen"]:
        connection.execute(update(people).where(people.c.participant == participant).values(**row))


def _snapshot(connection: Connection, participant: str) -> list[dict[str, Any]]:
    person = connection.execute(select(people).where(people.c.participant == participant)).one()
    kind = "withdrawn" if person.stage == "withdrawn" else "person"
    events: list[dict[str, Any]] = [{"event": kind, "row": dict(person._mapping)}]
    query = select(trials).where(trials.c.participant == participant).order_by(trials.c.trial)
    plan = [dict(row._mapping) for row in connection.execute(query)]
    if plan:
        events.append({"event": "plan", "rows": plan})
    for row in connection.execute(select(votes).where(votes.c.participant == participant)):
        events.append({"event": "vote", "row": dict(row._mapping)})
    return events
