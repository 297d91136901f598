"""Live counts behind the assignment: what is answered or on its way, and who may still enter."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import Connection, and_, func, or_, select

from study.records import DATA
from study.settings import StudyConfig
from study.stimuli.design import trial_key
from study.store import tables

_POSTGRES_PLAN_LOCK = 726_130_002
people, trials, votes = tables.participants, tables.trials, tables.votes


def lock_planning(connection: Connection) -> None:
    """One assignment at a time: SQLite's writers take turns anyway, PostgreSQL needs a lock."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_POSTGRES_PLAN_LOCK)))


def live_counts(connection: Connection, config_hash: str, cutoff: float) -> dict[str, int]:
    """How often each trial (`Trial.key`) is answered, or assigned to someone seen after `cutoff`.

    Participants who failed the attention trials or withdrew do not count: their places are
    given again.
    """
    answered = (votes.c.participant == trials.c.participant) & (votes.c.trial == trials.c.trial)
    query = (
        select(trials.c.stimulus, trials.c.against_stimulus, func.count())
        .select_from(
            trials.join(people, people.c.participant == trials.c.participant).outerjoin(
                votes, answered
            )
        )
        .where(
            people.c.config_hash == config_hash,
            people.c.outcome.in_(["in-progress", "completed"]),
            or_(votes.c.vote_id.is_not(None), people.c.last_seen > cutoff),
        )
        .group_by(trials.c.stimulus, trials.c.against_stimulus)
    )
    return {trial_key(*row[:2]): int(row[2]) for row in connection.execute(query)}


def admission(
    connection: Connection, config: StudyConfig, config_hash: str, now: float
) -> str | None:
    """Why nobody new is accepted ("closed", "full"), or None."""
    state = connection.execute(
        select(tables.studies.c.is_closed, tables.studies.c.is_current).where(
            tables.studies.c.config_hash == config_hash
        )
    ).one_or_none()
    if state is None or state.is_closed or not state.is_current:
        return "closed"
    cutoff = now - 60 * config.expire_minutes
    if config.stop.participants is not None:
        active = and_(people.c.outcome == "in-progress", people.c.last_seen > cutoff)
        query = select(func.count()).where(
            people.c.config_hash == config_hash, or_(people.c.outcome == "completed", active)
        )
        if connection.execute(query).scalar_one() >= config.stop.participants:
            return "full"
    if config.stop.votes_per_method is not None:
        counts = votes_per_method(connection, config_hash)
        methods = select(tables.stimuli.c.method).where(
            tables.stimuli.c.config_hash == config_hash,
            tables.stimuli.c.kind.in_(["real", "method"]),
        )
        named = {name for pair in config.pairs for name in pair} | set(config.methods)
        wanted = named or set(connection.execute(methods.distinct()).scalars())
        if min(counts.get(method, 0) for method in wanted) >= config.stop.votes_per_method:
            return "full"
    return None


def votes_per_method(connection: Connection, config_hash: str) -> dict[str, int]:
    """Data votes of each method from participants that were not excluded or withdrawn.

    A vote on a pair counts for both methods.
    """
    query = (
        select(trials.c.method, trials.c.against, func.count())
        .select_from(votes)
        .join(
            trials,
            (votes.c.participant == trials.c.participant) & (votes.c.trial == trials.c.trial),
        )
        .join(people, people.c.participant == votes.c.participant)
        .where(
            people.c.config_hash == config_hash,
            people.c.outcome.in_(["in-progress", "completed"]),
            trials.c.kind.in_(DATA),
        )
        .group_by(trials.c.method, trials.c.against)
    )
    counts: Counter[str] = Counter()
    for method, against, number in connection.execute(query):
        counts.update(dict.fromkeys(filter(None, (method, against)), int(number)))
    return dict(counts)
