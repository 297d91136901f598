"""Deleting a participant's answers, for good and everywhere."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select, update

from study.store import tables
from study.store.vote_log import EventLog

people, trials, votes = tables.participants, tables.trials, tables.votes


def erase_participant(
    connection: Connection, participant: str, now: float, log: EventLog | None = None
) -> bool:
    """Delete a participant's votes, trials and answers in a transaction; False if unknown.

    What remains says only that someone consented at some time and withdrew.
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
        "outcome": "withdrawn",
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
