"""The study's database: SQLite in WAL mode by default, PostgreSQL by URL.

`Database` gives read and write transactions; `load_records` gives everything that was stored to
the analysis. What a participant does to the data lives in `study.store.sessions`.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    IntegrityError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)

from study.store import tables
from study.store.records import ParticipantRecord, StimulusRecord, StudyRecords, VoteRecord

T = TypeVar("T")
BUSY_TIMEOUT_MS = 3000
"""How long a SQLite transaction waits for another process before the page is told to retry."""
_POSTGRES_SCHEMA_LOCK = 726_130_001


class StorageError(RuntimeError):
    """The database cannot be used as asked; the text says what to do."""


class RefusedStepError(Exception):
    """A step found that it may not change anything; no fault of the database."""


@dataclass
class _Job:
    """A step that waits for its turn. result, error: valid once done."""

    step: Callable[[Connection], Any]
    result: Any = None
    error: Exception | None = None
    done: bool = False

    def run(self, connection: Connection) -> None:
        """Run; a refusal is this job's result, every other error is the whole group's."""
        self.result, self.error = None, None
        try:
            with connection.begin_nested():
                self.result = self.step(connection)
        except RefusedStepError as error:
            self.error = error


class Database:
    """One engine with short transactions; safe for threads and for several processes.

    Write transactions of one process take turns by a lock, because SQLite has a single writer
    and waiting on a lock is fair and prompt where its busy handler sleeps.
    """

    def __init__(self, url: str) -> None:
        self.url = parse_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        try:
            self.engine = _create_engine(self.url)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise StorageError(f"--database-url: {error}") from error
        self._writer = self.engine.execution_options(study_write=True)
        self._turn = threading.Lock() if self.is_sqlite else nullcontext()
        self._waiting: deque[_Job] = deque()

    def create(self) -> None:
        """Create missing tables.

        Raises:
            StorageError: the database cannot be reached or written.
        """
        try:
            with self.write() as connection:
                if not self.is_sqlite:
                    connection.execute(select(func.pg_advisory_xact_lock(_POSTGRES_SCHEMA_LOCK)))
                tables.metadata.create_all(connection)
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise StorageError(f"cannot open the database {self.display}: {reason}") from error

    def require(self) -> None:
        """Fail instead of making a new, empty SQLite file.

        Raises:
            StorageError: there is no such file.
        """
        if self.is_sqlite and not Path(str(self.url.database)).is_file():
            raise StorageError(f"no database file {self.url.database}")

    @property
    def display(self) -> str:
        """The URL without its password."""
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction for reading."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction for writing, committed at the end, rolled back on any error."""
        with self._turn, self._writer.connect() as connection, connection.begin():
            yield connection

    def write_together(self, step: Callable[[Connection], T]) -> T:
        """Run a step in a transaction that it may share with other threads' steps.

        On SQLite whoever holds the writer's turn also runs the steps that wait behind it, so
        that many answers cost one commit to disk. A step returns (or raises) only after the
        commit. A step that fails does not disturb the others.
        """
        if not self.is_sqlite:
            with self.write() as connection:
                return step(connection)
        job = _Job(step)
        self._waiting.append(job)
        with self._turn:
            if not job.done:
                self._run_waiting()
        if job.error is not None:
            raise job.error
        return cast(T, job.result)

    def _run_waiting(self) -> None:
        jobs = [self._waiting.popleft() for _ in range(len(self._waiting))]
        failure = self._run_group(jobs)
        if failure is not None and len(jobs) > 1 and not isinstance(failure, OperationalError):
            for job in jobs:  # one of them is to blame: each for itself
                self._run_group([job])
        for job in jobs:
            job.done = True

    def _run_group(self, jobs: list[_Job]) -> Exception | None:
        """One transaction for all; if it fails, nothing is stored and all have its error."""
        try:
            with self._writer.connect() as connection, connection.begin():
                for job in jobs:
                    job.run(connection)
        except Exception as error:
            for job in jobs:
                job.error = error
            return error
        return None

    def secret(self) -> str:
        """The signing key kept in the database, made on first use (the same for all workers)."""
        query = select(tables.meta.c.value).where(tables.meta.c.key == "secret")
        with self.read() as connection:
            found = connection.execute(query).scalar_one_or_none()
        if found is not None:
            return str(found)
        try:
            with self.write() as connection:
                row = {"key": "secret", "value": secrets.token_urlsafe(48)}
                connection.execute(tables.meta.insert().values(**row))
        except IntegrityError:
            pass  # another worker was first
        with self.read() as connection:
            return str(connection.execute(query).scalar_one())

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def parse_url(url: str) -> URL:
    """A database URL; `postgres://` and `postgresql://` mean psycopg 3, a bare path SQLite.

    Raises:
        StorageError: not SQLite or PostgreSQL, or not a URL.
    """
    text = url if "://" in url else f"sqlite:///{url}"
    try:
        parsed = make_url(text)
    except ArgumentError as error:
        raise StorageError(f"--database-url: cannot read {url!r}") from error
    if parsed.drivername in {"postgres", "postgresql"}:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise StorageError(
            f"--database-url: {parsed.get_backend_name()} is not supported; "
            "use sqlite:///FILE or postgresql://USER@HOST/NAME"
        )
    if parsed.get_backend_name() == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise StorageError(
            "--database-url: a study needs a file, for example sqlite:///study.sqlite"
        )
    return parsed


def _create_engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_size=10, max_overflow=20, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin below, not in the driver
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # an acknowledged vote survives a power cut
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # a writer asks for the lock at once: upgrading later fails instead of waiting
        writing = connection.get_execution_options().get("study_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def current_study(connection: Connection) -> Any | None:
    """The row of `studies` that is running (or was last to run)."""
    query = select(tables.studies).where(tables.studies.c.is_current)
    return connection.execute(query).one_or_none()


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
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise StorageError(f"cannot read a study from {database.display}: {reason}") from error
    finally:
        database.close()


def _load(connection: Connection, config_hash: str | None) -> StudyRecords:
    study = _find_study(connection, config_hash)
    chosen = study.config_hash
    people = tables.participants
    rows = connection.execute(
        select(people)
        .where(people.c.config_hash == chosen)
        .order_by(people.c.started_at, people.c.participant)
    ).all()
    participants = tuple(_participant(row) for row in rows)
    pictures = connection.execute(
        select(tables.stimuli)
        .where(tables.stimuli.c.config_hash == chosen)
        .order_by(tables.stimuli.c.stimulus)
    ).all()
    return StudyRecords(
        votes=_load_votes(connection, chosen),
        participants=participants,
        stimuli=tuple(
            StimulusRecord(
                row.stimulus,
                row.kind,
                row.method,
                row.base_image,
                row.sha256,
                row.licence,
                row.file,
            )
            for row in pictures
        ),
        config=json.loads(study.config),
        config_hash=chosen,
    )


def _find_study(connection: Connection, config_hash: str | None) -> Any:
    if config_hash is None:
        study = current_study(connection)
        if study is None:
            raise StorageError("the database holds no study yet")
        return study
    query = select(tables.studies).where(
        tables.studies.c.config_hash.startswith(config_hash, autoescape=True)
    )
    found = connection.execute(query).all()
    if len(found) != 1:
        raise StorageError(f"{len(found)} versions of the study begin with {config_hash!r}")
    return found[0]


def _load_votes(connection: Connection, config_hash: str) -> tuple[VoteRecord, ...]:
    votes, trials, people = tables.votes, tables.trials, tables.participants
    query = (
        select(votes, trials, people.c.real_on_left, people.c.completed_at)
        .join(
            trials,
            (trials.c.participant == votes.c.participant) & (trials.c.trial == votes.c.trial),
        )
        .join(people, people.c.participant == votes.c.participant)
        .where(people.c.config_hash == config_hash)
        .order_by(people.c.started_at, people.c.participant, votes.c.trial)
    )
    return tuple(
        VoteRecord(
            vote_id=row.vote_id,
            participant=row.participant,
            trial=row.trial,
            kind=row.kind,
            method=row.method,
            base_image=row.base_image,
            stimulus=row.stimulus,
            answer=bool(row.answer),
            correct=None if row.expected is None else bool(row.answer) == bool(row.expected),
            rt_ms=row.rt_ms,
            shown_at=row.shown_at,
            answered_at=row.answered_at,
            focus_lost=row.focus_lost,
            viewport_width=row.viewport_width,
            viewport_height=row.viewport_height,
            pixel_ratio=row.pixel_ratio,
            real_on_left=bool(row.real_on_left),
            participant_completed=row.completed_at is not None,
            config_hash=config_hash,
        )
        for row in connection.execute(query)
    )


def _participant(row: Any) -> ParticipantRecord:
    return ParticipantRecord(
        participant=row.participant,
        started_at=row.started_at,
        completed_at=row.completed_at,
        completed=row.completed_at is not None,
        consent_version=row.consent_version,
        consented_at=row.consented_at,
        language=row.language,
        config_hash=row.config_hash,
        plates_shown=row.plates_shown,
        plates_correct=row.plates_correct,
        real_on_left=bool(row.real_on_left),
        seed=row.seed,
        withdrawn=row.withdrawn_at is not None,
        source=row.source,
        outcome=row.outcome,
        answers=json.loads(row.answers),
    )
