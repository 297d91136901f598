"""Deleting participants' answers, for good and everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date

from sqlalchemy import Connection, delete, select, update

from study.store import tables
from study.store.database import Database
from study.store.vote_log import VoteLog

people, trials, votes = tables.participants, tables.trials, tables.votes


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
        rows = connection.execute(select(tables.studies.c.config_hash, tables.studies.c.config))
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
