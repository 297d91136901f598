"""The study's database: SQLite in WAL mode by default, PostgreSQL by URL.

What a participant does to the data lives in `study.store.sessions`, what a version of a study is
and holds in `study.store.registry`.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    IntegrityError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)

from study.settings import StudyError
from study.store import tables

T = TypeVar("T")
BUSY_TIMEOUT_MS = 3000
"""How long a SQLite transaction waits for another process before the page is told to retry."""
_POSTGRES_SCHEMA_LOCK = 726_130_001
_POSTGRES_LANES = 8


class StorageError(StudyError):
    """The database cannot be used as asked; the text says what to do."""


def reason_of(error: Exception) -> str:
    """One line: what the database said, not how it was asked."""
    return (str(getattr(error, "orig", None) or error).strip() or repr(error)).splitlines()[0]


class Refusal(Exception):  # noqa: N818 - the normal answer to a step at the wrong time
    """A step that is not open to this participant now. `reason` is a short code.

    No fault of the database; a step refuses before it writes.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class _Job:
    """A step that waits for its turn, and where its outcome goes."""

    step: Callable[[Connection], Any]
    future: Future[Any]
    result: Any = None
    error: Exception | None = None


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
        self._lanes = ThreadPoolExecutor(1 if self.is_sqlite else _POSTGRES_LANES, "study-writer")

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
                tables.add_missing_columns(connection)
        except SQLAlchemyError as error:
            raise StorageError(
                f"cannot open the database {self.display}: {reason_of(error)}"
            ) from error

    def require(self) -> None:
        """Open what there is, instead of making a new, empty SQLite file.

        Raises:
            StorageError: there is no such file.
        """
        if self.is_sqlite and not Path(str(self.url.database)).is_file():
            raise StorageError(f"no database file {self.url.database}")
        with self.write() as connection:
            tables.add_missing_columns(connection)

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

    def submit(self, step: Callable[[Connection], T]) -> Future[T]:
        """Run a step soon, in a transaction that it may share with other steps.

        On SQLite one thread writes, and takes all steps that wait together, so that many answers
        cost one commit to disk. The future is done after the commit. A step that fails does not
        disturb the others.
        """
        if not self.is_sqlite:
            return self._lanes.submit(self._write_alone, step)
        job = _Job(step, Future())
        self._waiting.append(job)
        self._lanes.submit(self._run_waiting)
        return job.future

    def run(self, step: Callable[[Connection], T]) -> T:
        """Run a step and wait for it; on PostgreSQL in this thread, so that answers keep theirs."""
        return self.submit(step).result() if self.is_sqlite else self._write_alone(step)

    def _write_alone(self, step: Callable[[Connection], T]) -> T:
        with self.write() as connection:
            return step(connection)

    def _run_waiting(self) -> None:
        taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
        jobs = [job for job in taken if job.future.set_running_or_notify_cancel()]
        if not jobs:
            return  # an earlier turn took them along
        with self._turn:
            failure = self._run_group(jobs)
            if failure is not None and len(jobs) > 1 and not isinstance(failure, OperationalError):
                for job in jobs:  # one of them is to blame: each for itself
                    self._run_group([job])
        for job in jobs:
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)

    def _run_group(self, jobs: list[_Job]) -> Exception | None:
        """One transaction for all; if it fails, nothing is stored and all have its error.

        A refusal is one job's result and disturbs no other; alone it needs no savepoint.
        """
        try:
            with self._writer.connect() as connection, connection.begin():
                for job in jobs:
                    job.result, job.error = None, None
                    try:
                        with nullcontext() if len(jobs) == 1 else connection.begin_nested():
                            job.result = job.step(connection)
                    except Refusal as refusal:
                        job.error = refusal
        except Exception as error:
            for job in jobs:
                job.error = error
            return error
        return None

    def secret(self) -> str:
        """The signing key kept in the database, made on first use (the same for all workers)."""
        query = select(tables.meta.c.value).where(tables.meta.c.key == "secret")
        with suppress(IntegrityError), self.write() as connection:  # another worker may be first
            if connection.execute(query).first() is None:
                row = {"key": "secret", "value": secrets.token_urlsafe(48)}
                connection.execute(tables.meta.insert().values(**row))
        with self.read() as connection:
            return str(connection.execute(query).scalar_one())

    def close(self) -> None:
        """Finish what was submitted and close all connections."""
        self._lanes.shutdown()
        self.engine.dispose()


def parse_url(url: str) -> URL:
    """A database URL; `postgres://` and `postgresql://` mean psycopg 3, a bare path SQLite.

    Raises:
        StorageError: not SQLite or PostgreSQL, or not a URL.
    """
    try:
        parsed = make_url(url if "://" in url else f"sqlite:///{url}")
    except ArgumentError as error:
        raise StorageError(f"--database-url: cannot read {url!r}") from error
    if parsed.drivername in {"postgres", "postgresql"}:
        return parsed.set(drivername="postgresql+psycopg")
    kind = parsed.get_backend_name()
    if kind not in {"sqlite", "postgresql"}:
        raise StorageError(
            f"--database-url: {kind} is not supported; "
            "use sqlite:///FILE or postgresql://USER@HOST/NAME"
        )
    if kind == "sqlite" and parsed.database in {None, "", ":memory:"}:
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
