"""The survey's tables (SQLAlchemy Core), the same for SQLite and PostgreSQL.

Columns that a record has are described there (`study.records`); what only the survey needs while
it runs is added here. Rows of `votes` are only ever inserted; two constraints make an answer
idempotent: the client's own id is the key, and a trial has at most one vote.
"""

from __future__ import annotations

from dataclasses import MISSING
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    inspect,
)
from sqlalchemy.schema import CreateColumn

from study.records import ParticipantRecord, Stimulus, VoteRecord, described

metadata = MetaData()
_TYPES: dict[type, Any] = {bool: Boolean, int: Integer, float: Double}


def _columns(record: type[Any], table: str, *, key: str = "") -> list[Column[Any]]:
    """The columns of a record that belong into a table; what has a default may be missing."""
    return [
        Column(
            entry.name,
            _TYPES.get(entry.type)
            or (String(entry.column.length) if entry.column.length else Text()),
            primary_key=entry.name == key,
            nullable=entry.optional or entry.default not in {MISSING, 0},
        )
        for entry in described(record)
        if entry.column.table == table
    ]


meta = Table(
    "meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

studies = Table(
    "studies",
    metadata,
    Column("config_hash", String(64), primary_key=True),
    Column("config", Text, nullable=False),  # JSON of the YAML as loaded
    Column("created_at", Double, nullable=False),
    Column("is_current", Boolean, nullable=False),
    Column("is_closed", Boolean, nullable=False),
)

stimuli = Table(
    "stimuli",
    metadata,
    Column("config_hash", ForeignKey("studies.config_hash"), primary_key=True),
    *_columns(Stimulus, "stimuli", key="stimulus"),
)

participants = Table(
    "participants",
    metadata,
    *_columns(ParticipantRecord, "participants", key="participant"),
    ForeignKeyConstraint(["config_hash"], ["studies.config_hash"]),
    Column("external_hash", String(64)),  # keyed hash of the recruiter's participant id
    Column("last_seen", Double, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("withdrawn_at", Double),
    Column("answers", Text, nullable=False),  # JSON: exit questions
    UniqueConstraint("config_hash", "external_hash", name="one_session_per_recruit"),
    Index("participants_by_study", "config_hash", "last_seen"),
)

trials = Table(
    "trials",
    metadata,
    Column(
        "participant", ForeignKey("participants.participant", ondelete="CASCADE"), primary_key=True
    ),
    Column("trial", Integer, primary_key=True),
    *_columns(VoteRecord, "trials"),
    Column("expected", Boolean),
    Column("opened_at", Double),
    UniqueConstraint("participant", "base_image", name="one_scene_once"),
)

votes = Table(
    "votes",
    metadata,
    *_columns(VoteRecord, "votes", key="vote_id"),
    UniqueConstraint("participant", "trial", name="one_vote_per_trial"),
    ForeignKeyConstraint(
        ["participant", "trial"], ["trials.participant", "trials.trial"], ondelete="CASCADE"
    ),
)


def add_missing_columns(connection: Connection) -> None:
    """Bring a database of an earlier release up to date; every later column may be empty."""
    known = inspect(connection)
    for table in metadata.sorted_tables:
        if not known.has_table(table.name):
            continue
        present = {column["name"] for column in known.get_columns(table.name)}
        for column in table.columns:
            if column.name not in present:
                clause = CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {clause}")
