"""How far a study is: counts for the admin page and the command line."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select

from study.store import tables
from study.store.assignment import votes_per_method
from study.store.database import Database, StorageError, current_study

people, trials, votes = tables.participants, tables.trials, tables.votes


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
        if study is None:
            raise StorageError("the database holds no study yet")
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
