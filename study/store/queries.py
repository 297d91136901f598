"""The statements behind the steps of a session: who may enter, what was assigned, the votes.

Those of a vote are prepared once: this is the path that every answer takes. Trials are answered
strictly in order, so the open trial is the number of votes so far.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, insert, or_, select, update

from study.records import DATA, SENT_BY_PAGE
from study.settings import StudyConfig
from study.stimuli.design import trial_key
from study.store import tables

people, trials, votes = tables.participants, tables.trials, tables.votes
_POSTGRES_PLAN_LOCK = 726_130_002
_PRESENT_S = 10.0  # presence is kept to this precision: it decides about minutes


@dataclass(frozen=True)
class Ballot:
    """One answer as the page sends it.

    answer: True for realistic; pairs: True for the picture on the left. page: circumstances, by
    the names of `study.records.SENT_BY_PAGE`.
    """

    vote_id: str
    trial: int
    answer: bool
    page: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OpenTrial:
    """The one trial a participant may answer now, and the picture to load ahead.

    number, total: position among the practice trials or among the others, from 1.
    is_break: a pause is due before it. following: the trial after it, None at the end.
    exposure_ms: how long its picture is visible, None: until the answer.
    """

    trial: int
    practice: bool
    number: int
    total: int
    is_break: bool
    following: int | None
    exposure_ms: int | None = None

    @classmethod
    def at(cls, trial: int, config: StudyConfig, exposure_ms: int | None) -> OpenTrial:
        """Trial `trial` of a session of this study, counted from 0."""
        practice, data = config.practice.trials, config.trials + config.attention.trials
        is_practice = trial < practice
        number = trial + 1 if is_practice else trial - practice + 1
        every = config.break_every
        return cls(
            trial=trial,
            practice=is_practice,
            number=number,
            total=practice if is_practice else data,
            is_break=bool(every and not is_practice and number > 1 and (number - 1) % every == 0),
            following=trial + 1 if trial + 1 < practice + data else None,
            exposure_ms=exposure_ms,
        )


Plan = tuple[tuple[tuple[str, ...], int | None], ...]
"""Of each trial of a session: the pictures from left to right, and the exposure."""

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
        trials.c.method_on_left,
        people.c.last_seen,
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
_COUNTS = people.c.outcome.in_(["in-progress", "completed"])
"""Who was not excluded and did not withdraw."""
_SEEN = (
    update(people)
    .where(people.c.participant == bindparam("who"))
    .values(last_seen=bindparam("now"))
)


def participant_row(
    connection: Connection, config_hash: str, participant: str, *, lock: bool = False
) -> Any | None:
    """The row of a participant of this study, or None."""
    query = select(people).where(
        people.c.participant == participant, people.c.config_hash == config_hash
    )
    return connection.execute(query.with_for_update() if lock else query).one_or_none()


def recruited(connection: Connection, config_hash: str, external_hash: str) -> str | None:
    """The participant that a recruiter's hashed id already has in this study."""
    query = select(people.c.participant).where(
        people.c.config_hash == config_hash, people.c.external_hash == external_hash
    )
    return connection.execute(query).scalar_one_or_none()


def lock_participant(connection: Connection, participant: str) -> None:
    """One step of a participant at a time (SQLite's writers take turns anyway)."""
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK, {"who": participant})


def voting_state(
    connection: Connection, config_hash: str, participant: str, vote_id: str = "", trial: int = -1
) -> Any | None:
    """What is known when a ballot arrives; None without such a participant in this study.

    stage, last_seen: the participant's. answered: votes so far. known_participant, known_trial:
    of an earlier vote with the same id. opened_at, kind, expected, method_on_left: of the
    ballot's trial (None: no such trial).
    """
    asked = {
        "who": participant,
        "study": config_hash,
        "ballot": vote_id,
        "which_trial": trial,
    }
    return connection.execute(_STATE, asked).one_or_none()


def insert_vote(connection: Connection, ballot: Ballot, **stored: Any) -> dict[str, Any]:
    """Store a vote; returns the row. stored: the columns that the server knows."""
    page = {entry.name: ballot.page.get(entry.name, entry.default) for entry in SENT_BY_PAGE}
    row = {"vote_id": ballot.vote_id, "trial": ballot.trial, **page, **stored}
    connection.execute(_INSERT, row)
    return row


def open_trial_row(
    connection: Connection, participant: str, trial: int, now: float, last_seen: float
) -> None:
    """Stamp a trial as shown (the first time only) and its participant as present."""
    connection.execute(_OPEN, {"who": participant, "which_trial": trial, "now": now})
    if now - last_seen > _PRESENT_S:
        connection.execute(_SEEN, {"who": participant, "now": now})


def lock_planning(connection: Connection) -> None:
    """One assignment at a time: SQLite's writers take turns anyway, PostgreSQL needs a lock."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_POSTGRES_PLAN_LOCK)))


def live_counts(connection: Connection, config_hash: str, cutoff: float) -> dict[str, int]:
    """How often each trial (`Trial.key`) is answered, or assigned to someone seen after `cutoff`.

    Participants who failed the attention trials or withdrew do not count: their places are
    given again.
    """
    query = (
        select(trials.c.stimulus, trials.c.against_stimulus, func.count())
        .select_from(trials.join(people).outerjoin(votes))
        .where(
            people.c.config_hash == config_hash,
            _COUNTS,
            or_(votes.c.vote_id.is_not(None), people.c.last_seen > cutoff),
        )
        .group_by(trials.c.stimulus, trials.c.against_stimulus)
    )
    return {trial_key(*row[:2]): int(row[2]) for row in connection.execute(query)}


def is_closed(connection: Connection, config_hash: str) -> bool:
    """Whether the study was closed."""
    query = select(tables.studies.c.is_closed).where(tables.studies.c.config_hash == config_hash)
    return bool(connection.execute(query).scalar_one())


def plan_of(connection: Connection, participant: str) -> Plan:
    """What was assigned to a participant (nothing: no trials yet, or no more)."""
    query = select(trials).where(trials.c.participant == participant).order_by(trials.c.trial)
    plan = []
    for row in connection.execute(query):
        shown = (row.stimulus, row.against_stimulus) if row.against_stimulus else (row.stimulus,)
        is_turned = not row.method_on_left
        plan.append((shown[::-1] if is_turned else shown, row.exposure_ms))
    return tuple(plan)


def fails_attention(connection: Connection, config: StudyConfig, participant: str) -> bool:
    """Whether a participant answered too many attention trials wrongly."""
    if not config.attention.trials:
        return False
    wrong = (
        select(func.count())
        .select_from(votes.join(trials))
        .where(
            trials.c.participant == participant,
            trials.c.kind == "attention",
            votes.c.answer != trials.c.expected,
        )
    )
    return bool(connection.execute(wrong).scalar_one() >= config.attention.fail_after)


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
        .select_from(votes.join(trials).join(people))
        .where(people.c.config_hash == config_hash, _COUNTS, trials.c.kind.in_(DATA))
        .group_by(trials.c.method, trials.c.against)
    )
    counts: Counter[str] = Counter()
    for method, against, number in connection.execute(query):
        counts.update(dict.fromkeys(filter(None, (method, against)), int(number)))
    return dict(counts)
