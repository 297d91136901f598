"""The statements behind a vote, prepared once: this is the path that every answer takes.

Trials are answered strictly in order, so the open trial is the number of votes so far.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from study.store import tables

people, trials, votes = tables.participants, tables.trials, tables.votes


@dataclass(frozen=True)
class Ballot:
    """One answer as the page sends it. answer: True for realistic."""

    vote_id: str
    trial: int
    answer: bool
    rt_ms: float | None = None
    focus_lost: int = 0
    viewport_width: int | None = None
    viewport_height: int | None = None
    pixel_ratio: float | None = None


@dataclass(frozen=True)
class OpenTrial:
    """The one trial a participant may answer now, and the picture to load ahead.

    number, total: position among the practice trials or among the others, from 1.
    is_break: a pause is due before it. following: the trial after it, None at the end.
    """

    trial: int
    practice: bool
    number: int
    total: int
    is_break: bool
    following: int | None


@dataclass(frozen=True)
class Receipt:
    """An acknowledged vote. correct: for practice trials, whether the answer was right."""

    is_new: bool
    correct: bool | None


@dataclass(frozen=True)
class BallotState:
    """What the database knows when a ballot arrives.

    stage: the participant's. answered: votes so far. known: participant and trial of an earlier
    vote with the same id. opened_at, kind, expected: of the ballot's trial (None: no such trial).
    """

    stage: str
    answered: int
    known: tuple[str, int] | None
    opened_at: float | None
    kind: str | None
    expected: bool | None


_answered = (
    select(func.count())
    .where(votes.c.participant == bindparam("who"))
    .correlate(None)
    .scalar_subquery()
)
_LOCK = select(people.c.stage).where(people.c.participant == bindparam("who")).with_for_update()
_STATE = (
    select(
        people.c.stage,
        _answered.label("answered"),
        votes.c.participant.label("known_participant"),
        votes.c.trial.label("known_trial"),
        trials.c.opened_at,
        trials.c.kind,
        trials.c.expected,
    )
    .select_from(
        people.outerjoin(
            trials,
            (trials.c.participant == people.c.participant)
            & (trials.c.trial == bindparam("which_trial")),
        ).outerjoin(votes, votes.c.vote_id == bindparam("ballot"))
    )
    .where(people.c.participant == bindparam("who"), people.c.config_hash == bindparam("study"))
)
_PROGRESS = select(people.c.stage, _answered.label("answered")).where(
    people.c.participant == bindparam("who"), people.c.config_hash == bindparam("study")
)
_INSERT = insert(votes)
_OPEN = (
    update(trials)
    .where(
        trials.c.participant == bindparam("who"),
        trials.c.trial == bindparam("which_trial"),
        trials.c.opened_at.is_(None),
    )
    .values(opened_at=bindparam("now"))
)
_SEEN = (
    update(people)
    .where(people.c.participant == bindparam("who"))
    .values(last_seen=bindparam("now"))
)


def lock_participant(connection: Connection, participant: str) -> None:
    """One step of a participant at a time (SQLite's writers take turns anyway)."""
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK, {"who": participant})


def ballot_state(
    connection: Connection, config_hash: str, participant: str, vote_id: str, trial: int
) -> BallotState | None:
    """What is known about a ballot; None without such a participant in this study."""
    row = connection.execute(
        _STATE,
        {"who": participant, "study": config_hash, "ballot": vote_id, "which_trial": trial},
    ).one_or_none()
    if row is None:
        return None
    known = None if row.known_trial is None else (row.known_participant, row.known_trial)
    return BallotState(row.stage, row.answered, known, row.opened_at, row.kind, row.expected)


def progress(connection: Connection, config_hash: str, participant: str) -> tuple[str, int] | None:
    """Stage and number of votes of a participant of this study."""
    row = connection.execute(_PROGRESS, {"who": participant, "study": config_hash}).one_or_none()
    return None if row is None else (row.stage, int(row.answered))


def insert_vote(
    connection: Connection,
    ballot: Ballot,
    *,
    participant: str,
    config_hash: str,
    shown_at: float,
    answered_at: float,
) -> dict[str, Any]:
    """Store a vote; returns the row."""
    row = {
        "vote_id": ballot.vote_id,
        "participant": participant,
        "trial": ballot.trial,
        "answer": ballot.answer,
        "rt_ms": ballot.rt_ms,
        "shown_at": shown_at,
        "answered_at": answered_at,
        "focus_lost": ballot.focus_lost,
        "viewport_width": ballot.viewport_width,
        "viewport_height": ballot.viewport_height,
        "pixel_ratio": ballot.pixel_ratio,
        "config_hash": config_hash,
    }
    connection.execute(_INSERT, row)
    return row


def open_trial_row(connection: Connection, participant: str, trial: int, now: float) -> None:
    """Stamp a trial as shown (the first time only) and its participant as present."""
    connection.execute(_OPEN, {"who": participant, "which_trial": trial, "now": now})
    connection.execute(_SEEN, {"who": participant, "now": now})
