"""Which study a database runs (one version, never changed by accident), all it holds, its end.

Answers are deleted for good and everywhere: in the database and in the vote log.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, CursorResult, Table, delete, func, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from study.records import ParticipantRecord, Stimulus, StudyRecords, VoteRecord, described
from study.settings import StudyConfig, StudyError, hash_study
from study.stimuli.stimulus_set import StimulusSet
from study.store import tables
from study.store.database import Database, StorageError, reason_of
from study.store.queries import votes_per_method

if TYPE_CHECKING:
    from study.store.vote_log import VoteLog

people, trials, votes = tables.participants, tables.trials, tables.votes
studies = tables.studies


class ChangedStudyError(StudyError):
    """The database runs another configuration or stimulus set than the one given."""


def describe_study(config: StudyConfig, stimuli: StimulusSet) -> dict[str, Any]:
    """A study as plain JSON values, as the vote log keeps it."""
    return {
        "config_hash": hash_study(config, stimuli.manifest_sha256),
        "config": config.as_dict(),
        "stimuli": [asdict(entry) for entry in stimuli.stimuli],
        "created_at": time.time(),
    }


def register_study(
    database: Database,
    description: Mapping[str, Any],
    *,
    new_version: bool = False,
    again: bool = True,
) -> None:
    """Make the study of `describe_study` the current one of the database.

    Raises:
        ChangedStudyError: another study is running and `new_version` was not asked for.
    """
    chosen = str(description["config_hash"])
    try:
        with database.write() as connection:
            running = connection.execute(select(studies).where(studies.c.is_current)).one_or_none()
            if running is not None and running.config_hash != chosen and not new_version:
                raise ChangedStudyError(
                    f"the database runs study {running.config_hash[:12]}, but this configuration "
                    f"with its stimuli is {chosen[:12]}: answers would not be comparable. "
                    "Restore the configuration, use another --database-url, or start a new "
                    "version with --new-version (the answers so far are kept)"
                )
            store_study(connection, description)
            connection.execute(update(studies).values(is_current=studies.c.config_hash == chosen))
    except IntegrityError:
        if not again:
            raise
        # another worker registers the same study just now: it is there at the second look
        register_study(database, description, new_version=new_version, again=False)


def store_study(connection: Connection, description: Mapping[str, Any]) -> None:
    """Insert a study and its stimuli unless they are there."""
    chosen = description["config_hash"]
    known = select(studies.c.config_hash).where(studies.c.config_hash == chosen)
    if connection.execute(known).first() is not None:
        return
    connection.execute(
        studies.insert().values(
            config_hash=chosen,
            config=json.dumps(description["config"]),
            created_at=description["created_at"],
            is_current=False,
            is_closed=False,
        )
    )
    rows = [{**entry, "config_hash": chosen} for entry in description["stimuli"]]
    connection.execute(tables.stimuli.insert(), rows)


def current_study(connection: Connection) -> Any:
    """The row of `studies` that is running (or was last to run).

    Raises:
        StorageError: there is none.
    """
    query = select(studies).where(studies.c.is_current)
    study = connection.execute(query).one_or_none()
    if study is None:
        raise StorageError("the database holds no study yet")
    return study


def set_closed(database: Database, closed: bool) -> None:
    """Close or reopen the current study.

    Raises:
        StorageError: the database holds no study.
    """
    with database.write() as connection:
        running = studies.c.config_hash == current_study(connection).config_hash
        connection.execute(update(studies).where(running).values(is_closed=closed))


@dataclass(frozen=True)
class StudyStatus:
    """outcomes: participants by how their session stands. methods: data votes of each."""

    config_hash: str
    is_closed: bool
    outcomes: dict[str, int]
    methods: dict[str, int]
    votes: int
    last_vote_at: float | None
    participants: tuple[tuple[str, str, str, int], ...]
    """The latest participants: id, stage, outcome, votes."""


def study_status(database: Database, latest: int = 50) -> StudyStatus:
    """Counts of the current study.

    Raises:
        StorageError: the database holds no study.
    """
    with database.read() as connection:
        study = current_study(connection)
        chosen = study.config_hash
        outcomes = connection.execute(
            select(people.c.outcome, func.count())
            .where(people.c.config_hash == chosen)
            .group_by(people.c.outcome)
        ).all()
        number, last = connection.execute(
            select(func.count(), func.max(votes.c.answered_at)).where(votes.c.config_hash == chosen)
        ).one()
        rows = connection.execute(
            select(
                people.c.participant, people.c.stage, people.c.outcome, func.count(votes.c.vote_id)
            )
            .select_from(people.outerjoin(votes, votes.c.participant == people.c.participant))
            .where(people.c.config_hash == chosen)
            .group_by(people.c.participant)
            .order_by(people.c.started_at.desc())
            .limit(latest)
        ).all()
        return StudyStatus(
            config_hash=chosen,
            is_closed=bool(study.is_closed),
            outcomes={name: int(count) for name, count in outcomes},
            methods=dict(sorted(votes_per_method(connection, chosen).items())),
            votes=int(number),
            last_vote_at=last,
            participants=tuple((r[0], r[1], r[2], int(r[3])) for r in rows),
        )


def load_records(database_url: str, *, config_hash: str | None = None) -> StudyRecords:
    """Everything stored for one version of a study.

    Args:
        database_url: as given to `study.serve`.
        config_hash: the version, or its first characters; default the current one.

    Raises:
        StorageError: no such database, no study in it, or no (single) such version.
    """
    database = Database(database_url)
    try:
        database.require()
        with database.read() as connection:
            return _load(connection, config_hash)
    except SQLAlchemyError as error:
        raise StorageError(
            f"cannot read a study from {database.display}: {reason_of(error)}"
        ) from error
    finally:
        database.close()


def _load(connection: Connection, config_hash: str | None) -> StudyRecords:
    study = _find_study(connection, config_hash)

    def rows(table: Table, *order: str) -> CursorResult[Any]:
        query = select(table).where(table.c.config_hash == study.config_hash)
        return connection.execute(query.order_by(*(table.c[name] for name in order)))

    participants = (
        ParticipantRecord(
            **_filled(ParticipantRecord, row),
            completed=row.completed_at is not None,
            withdrawn=row.withdrawn_at is not None,
            answers=json.loads(row.answers),
        )
        for row in rows(tables.participants, "started_at", "participant")
    )
    pictures = rows(tables.stimuli, "stimulus")
    return StudyRecords(
        votes=_load_votes(connection, study.config_hash),
        participants=tuple(participants),
        stimuli=tuple(Stimulus(**_filled(Stimulus, row)) for row in pictures),
        config=json.loads(study.config),
        config_hash=study.config_hash,
    )


def _filled(record: type[Any], row: Any) -> dict[str, Any]:
    """The stored values of a record; a column added later is empty in old rows."""
    return {
        entry.name: getattr(row, entry.name)
        for entry in described(record)
        if entry.column.table and (entry.optional or getattr(row, entry.name) is not None)
    }


def _find_study(connection: Connection, config_hash: str | None) -> Any:
    if config_hash is None:
        return current_study(connection)
    version = studies.c.config_hash.startswith(config_hash, autoescape=True)
    found = connection.execute(select(studies).where(version)).all()
    if len(found) != 1:
        raise StorageError(f"{len(found)} versions of the study begin with {config_hash!r}")
    return found[0]


def _load_votes(connection: Connection, config_hash: str) -> tuple[VoteRecord, ...]:
    pictures, known = tables.stimuli, tables.metadata.tables
    columns = [known[e.column.table].c[e.name] for e in described(VoteRecord) if e.column.table]
    query = (
        select(*columns, trials.c.expected, people.c.completed_at)
        .select_from(votes.join(trials).join(people))
        .outerjoin(
            pictures,
            (pictures.c.stimulus == trials.c.stimulus)
            & (pictures.c.config_hash == people.c.config_hash),
        )
        .where(people.c.config_hash == config_hash)
        .order_by(people.c.started_at, people.c.participant, votes.c.trial)
    )
    return tuple(
        VoteRecord(
            **_filled(VoteRecord, row),
            correct=None if row.expected is None else row.answer == row.expected,
            participant_completed=row.completed_at is not None,
        )
        for row in connection.execute(query)
    )


def erase_participant(
    connection: Connection,
    participant: str,
    now: float,
    log: VoteLog | None = None,
    *,
    outcome: str = "withdrawn",
) -> bool:
    """Delete a participant's votes, trials and answers in a transaction; False if unknown.

    What remains says only that someone consented at some time and withdrew, or (outcome
    "erased") that the time of keeping is over.
    """
    row = connection.execute(
        select(people).where(people.c.participant == participant)
    ).one_or_none()
    if row is None:
        return False
    bare = {
        "seed": 0,
        "external_hash": None,
        "stage": "withdrawn",
        "outcome": outcome,
        "plates_shown": None,
        "plates_correct": None,
        "completed_at": None,
        "withdrawn_at": now,
        "answers": "{}",
    }
    connection.execute(delete(votes).where(votes.c.participant == participant))
    connection.execute(delete(trials).where(trials.c.participant == participant))
    connection.execute(update(people).where(people.c.participant == participant).values(**bare))
    if log is not None:
        log.erase(participant, {"event": "withdrawn", "row": {**row._mapping, **bare}})
    return True


def retention_ends(database: Database) -> dict[str, date]:
    """Until when the answers of each version of the study may be kept, where it says so."""
    with database.read() as connection:
        rows = connection.execute(select(studies.c.config_hash, studies.c.config))
        privacy = {version: json.loads(config).get("privacy") or {} for version, config in rows}
    named = {version: notice.get("retention_until") for version, notice in privacy.items()}
    return {version: date.fromisoformat(until) for version, until in named.items() if until}


def erase_study(
    database: Database, config_hash: str, now: float, log: VoteLog | None = None
) -> int:
    """Erase every participant of a version of the study; returns how many had answers."""
    query = select(people.c.participant).where(
        people.c.config_hash == config_hash, people.c.stage != "withdrawn"
    )
    with database.read() as connection:
        found = list(connection.execute(query).scalars())
    for participant in found:  # one by one: an interrupted purge goes on where it stopped
        with database.write() as connection:
            erase_participant(connection, participant, now, log, outcome="erased")
    return len(found)


def participant_of_code(database: Database, code: str, code_of: Callable[[str], str]) -> str | None:
    """The participant to whom a withdrawal code was shown, None if nobody.

    The code is a keyed hash of the id and is stored nowhere, so every id is tried: 10 µs each.
    """
    wanted = "".join(code.split()).upper().replace("-", "")
    with database.read() as connection:
        for participant in connection.execute(select(people.c.participant)).scalars():
            if code_of(participant).replace("-", "") == wanted:
                return str(participant)
    return None
