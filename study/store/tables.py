"""The survey's tables (SQLAlchemy Core), the same for SQLite and PostgreSQL.

Times are seconds since 1970-01-01 UTC. Rows of `votes` are only ever inserted; two constraints
make an answer idempotent: the client's own id is the key, and a trial has at most one vote.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
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
)

metadata = MetaData()

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
    Column("stimulus", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("method", String(128), nullable=False),
    Column("base_image", String(255), nullable=False),
    Column("expected", Boolean),  # the right answer of practice and attention pictures
    Column("sha256", String(64), nullable=False),
    Column("licence", Text, nullable=False),
    Column("file", String(255), nullable=False),
)

participants = Table(
    "participants",
    metadata,
    Column("participant", String(64), primary_key=True),
    Column("config_hash", ForeignKey("studies.config_hash"), nullable=False),
    Column("seed", Integer, nullable=False),
    Column("language", String(16), nullable=False),
    Column("real_on_left", Boolean, nullable=False),
    Column("source", String(16), nullable=False),
    Column("external_hash", String(64)),  # keyed hash of the recruiter's participant id
    Column("consent_version", String(64), nullable=False),
    Column("consented_at", Double, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("outcome", String(24), nullable=False),
    Column("plates_shown", Integer),
    Column("plates_correct", Integer),
    Column("completed_at", Double),
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
    Column("stimulus", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("method", String(128), nullable=False),
    Column("base_image", String(255), nullable=False),
    Column("expected", Boolean),
    Column("opened_at", Double),
    UniqueConstraint("participant", "base_image", name="one_scene_once"),
)

votes = Table(
    "votes",
    metadata,
    Column("vote_id", String(36), primary_key=True),
    Column("participant", String(64), nullable=False),
    Column("trial", Integer, nullable=False),
    Column("answer", Boolean, nullable=False),
    Column("rt_ms", Double),
    Column("shown_at", Double, nullable=False),
    Column("answered_at", Double, nullable=False),
    Column("focus_lost", Integer, nullable=False),
    Column("viewport_width", Integer),
    Column("viewport_height", Integer),
    Column("pixel_ratio", Double),
    Column("config_hash", String(64), nullable=False),
    UniqueConstraint("participant", "trial", name="one_vote_per_trial"),
    ForeignKeyConstraint(
        ["participant", "trial"], ["trials.participant", "trials.trial"], ondelete="CASCADE"
    ),
)
