"""Bring the database up to the vote log at start, and the log up to the database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select, update

from study.store import tables
from study.store.database import Database
from study.store.registry import erase_participant, store_study
from study.store.vote_log import VoteLog

people, trials, votes = tables.participants, tables.trials, tables.votes


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
        if event["event"] in {"person", "withdrawn"}:
            person = event["row"]
        elif event["event"] == "plan":
            plan = event["rows"]
        elif event["event"] == "vote":
            answers[event["row"]["trial"]] = event["row"]
    if person is None:
        return 0
    _restore_person(connection, participant, person)
    if person["stage"] == "withdrawn":
        return 0
    has_plan = select(func.count()).where(trials.c.participant == participant)
    if plan and not connection.execute(has_plan).scalar_one():
        connection.execute(trials.insert(), plan)
    known = set(
        connection.execute(
            select(votes.c.trial).where(votes.c.participant == participant)
        ).scalars()
    )
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
