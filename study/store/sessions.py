"""What a participant does to the data: consent, plates, trials, votes, questions, withdrawal.

Every step is one transaction. Where a vote log is configured, its line is written (durably)
before the transaction commits: if either fails, the step did not happen and can be repeated. A
step done twice changes nothing.
"""

from __future__ import annotations

import functools
import json
import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, delete, func, select, update

from study.records import DATA
from study.settings import StudyConfig
from study.stimuli.design import Trial, plan_session
from study.store import tables
from study.store.database import Database, RefusedStepError
from study.store.queries import (
    Ballot,
    OpenTrial,
    admission,
    ballot_state,
    insert_vote,
    live_counts,
    lock_participant,
    lock_planning,
    open_trial_row,
    progress,
)
from study.store.registry import erase_participant
from study.store.vote_log import VoteLog

people, trials, votes = tables.participants, tables.trials, tables.votes
_KNOWN_PLANS = 5000
_Plan = tuple[tuple[tuple[str, ...], int | None], ...]
_VOTING = ("trials", "questions", "done")


class Refusal(RefusedStepError):  # noqa: N818 - the normal answer to a step at the wrong time
    """A step that is not open to this participant now. `reason` is a short code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


P = ParamSpec("P")
T = TypeVar("T")


def _together(
    step: Callable[Concatenate[Sessions, Connection, P], T],
) -> Callable[Concatenate[Sessions, P], T]:
    """A step that waits for its transaction, which other participants' steps may share."""

    @functools.wraps(step)
    def submitted(self: Sessions, /, *args: P.args, **options: P.kwargs) -> T:
        return self.database.run(lambda connection: step(self, connection, *args, **options))

    return submitted


def _soon(
    step: Callable[Concatenate[Sessions, Connection, P], T],
) -> Callable[Concatenate[Sessions, P], Future[T]]:
    """The same without waiting."""

    @functools.wraps(step)
    def submitted(self: Sessions, /, *args: P.args, **options: P.kwargs) -> Future[T]:
        return self.database.submit(lambda connection: step(self, connection, *args, **options))

    return submitted


class Sessions:
    """Participants of one version of a study in one database."""

    def __init__(
        self,
        database: Database,
        config: StudyConfig,
        config_hash: str,
        candidates: list[Trial],
        log: VoteLog | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.database = database
        self.config = config
        self.config_hash = config_hash
        self.candidates = candidates
        self.log = log
        self.clock = clock
        groups = {entry.group for entry in candidates if entry.kind in DATA}
        self._plans: dict[str, _Plan] = {}
        self.shares = dict(config.methods) or dict.fromkeys(sorted(groups), 1.0)

    def plan(self, counts: Mapping[str, int], seed: int) -> list[Trial]:
        """The trials of one session.

        Raises:
            DesignError: the stimulus set does not fit the configuration.
        """
        return plan_session(
            self.candidates,
            shares=self.shares,
            trials=self.config.trials,
            practice=self.config.practice.trials,
            attention=self.config.attention.trials,
            counts=counts,
            seed=seed,
            exposures=self.config.exposure_ms or (),
        )

    # -- who is here ----------------------------------------------------------------------

    def find(self, participant: str) -> Any | None:
        """The row of a participant of this study, or None."""
        with self.database.read() as connection:
            return self._row(connection, participant)

    def find_recruit(self, external_hash: str) -> str | None:
        """The participant that a recruiter's hashed id already has here."""
        with self.database.read() as connection:
            return self._recruit(connection, external_hash)

    def admission(self) -> str | None:
        """Why nobody new is accepted now ("closed", "full"), or None."""
        with self.database.read() as connection:
            return admission(connection, self.config, self.config_hash, self.clock())

    def is_closed(self) -> bool:
        """Whether the study was closed."""
        with self.database.read() as connection:
            return self._is_closed(connection)

    # -- the steps of a session -----------------------------------------------------------

    @_together
    def begin(
        self,
        connection: Connection,
        participant: str,
        *,
        language: str,
        external_hash: str | None = None,
    ) -> None:
        """Record consent under a fresh random id; the same id again changes nothing.

        Raises:
            Refusal: "closed", "full", or "taken" (the recruit already has a session).
        """
        now = self.clock()
        seed = random.SystemRandom().randrange(2**31)
        lock_planning(connection)
        if self._row(connection, participant) is not None:
            return
        refused = admission(connection, self.config, self.config_hash, now)
        if refused is not None:
            raise Refusal(refused)
        if external_hash is not None and self._recruit(connection, external_hash) is not None:
            raise Refusal("taken")
        row = {
            "participant": participant,
            "config_hash": self.config_hash,
            "seed": seed,
            "language": language,
            "real_on_left": bool(random.Random(seed).getrandbits(1)),
            "source": "direct" if external_hash is None else "prolific",
            "external_hash": external_hash,
            "consent_version": self.config.consent.version,
            "consented_at": now,
            "started_at": now,
            "last_seen": now,
            "stage": "plates" if self.config.plates.count else "instructions",
            "outcome": "in-progress",
            "answers": "{}",
        }
        connection.execute(people.insert().values(**row))
        self._log_person(connection, participant)

    @_together
    def submit_plates(self, connection: Connection, participant: str, correct: int) -> None:
        """Record how many colour-vision plates were read correctly.

        Raises:
            Refusal: "step" when the plates are not open.
        """
        plates = self.config.plates
        self._require_stage(connection, participant, "plates")
        result = {"stage": "instructions"}
        if plates.screen_out and correct < plates.needed:
            result = {"stage": "screened", "outcome": "screened-out"}
        seen = {"plates_shown": plates.count, "plates_correct": correct}
        self._update(connection, participant, **seen, **result)

    @_together
    def start_trials(self, connection: Connection, participant: str) -> None:
        """Assign the pictures, least shown first, and open the first trial.

        Raises:
            Refusal: "step" when the instructions are not open.
        """
        lock_planning(connection)
        row = self._require_stage(connection, participant, "instructions")
        cutoff = self.clock() - 60 * self.config.expire_minutes
        counts = live_counts(connection, self.config_hash, cutoff)
        planned = [
            {"participant": participant, "trial": index, **asdict(trial)}
            for index, trial in enumerate(self.plan(counts, row.seed))
        ]
        # a plan of which only the log knew, from a server that was killed in this step
        connection.execute(delete(trials).where(trials.c.participant == participant))
        connection.execute(trials.insert(), planned)
        if self.log is not None:
            self.log.append(participant, [{"event": "plan", "rows": planned}])
        self._update(connection, participant, stage="trials")

    @_soon
    def open_trial_soon(self, connection: Connection, participant: str) -> OpenTrial | None:
        """The trial to answer now, opened if it was not; None after the last.

        Raises:
            Refusal: "step" when trials are not open to this participant.
        """
        lock_participant(connection, participant)
        found = progress(connection, self.config_hash, participant)
        if found is None or found[0] not in _VOTING:
            raise Refusal("step")
        return self._open(connection, participant, *found)

    def open_trial(self, participant: str) -> OpenTrial | None:
        """`open_trial_soon`, waited for."""
        return self.open_trial_soon(participant).result()

    def vote(self, participant: str, ballot: Ballot) -> tuple[bool | None, OpenTrial | None]:
        """`vote_soon`, waited for."""
        return self.vote_soon(participant, ballot).result()

    @_soon
    def vote_soon(
        self, connection: Connection, participant: str, ballot: Ballot
    ) -> tuple[bool | None, OpenTrial | None]:
        """Store an answer once and open the next trial.

        The same ballot again is acknowledged again and changes nothing.

        Returns:
            For a practice trial, whether the answer was right; the trial that follows.

        Raises:
            Refusal: "step" (no trials now), "trial" (another trial is open, or it has been
                answered already), "ballot" (the ballot's id was used for something else).
        """
        lock_participant(connection, participant)
        state = ballot_state(connection, self.config_hash, participant, ballot)
        if state is None or state.stage not in _VOTING:
            raise Refusal("step")
        known = (state.known_participant, state.known_trial)
        is_new = state.known_trial is None
        if not is_new and known != (participant, ballot.trial):
            raise Refusal("ballot")
        # pairs: the page says left or right, what is stored says which of the two methods
        answer = ballot.answer == (state.method_on_left is not False)
        if is_new:
            if state.opened_at is None or state.answered != ballot.trial:
                raise Refusal("trial")
            row = insert_vote(
                connection,
                ballot,
                answer=answer,
                participant=participant,
                config_hash=self.config_hash,
                shown_at=state.opened_at,
                answered_at=self.clock(),
            )
            if self.log is not None:
                self.log.append(participant, [{"event": "vote", "row": row}])
        following = self._open(
            connection, participant, state.stage, state.answered + is_new, state.last_seen
        )
        return answer == state.expected if state.kind == "practice" else None, following

    @_together
    def submit_answers(
        self, connection: Connection, participant: str, answers: Mapping[str, str]
    ) -> None:
        """Record the exit questions and complete the session.

        Raises:
            Refusal: "step" when the questions are not open.
        """
        self._require_stage(connection, participant, "questions")
        self._complete(connection, participant, answers=json.dumps(dict(answers)))

    @_together
    def withdraw(self, connection: Connection, participant: str) -> None:
        """Delete a participant's answers, trials and recruiter's id; a bare row remains.

        Raises:
            Refusal: "closed" when the study is closed, "step" when already withdrawn.
        """
        row = connection.execute(
            select(people.c.stage).where(people.c.participant == participant)
        ).one_or_none()
        if row is None or row.stage == "withdrawn":
            raise Refusal("step")
        if self._is_closed(connection):
            raise Refusal("closed")
        erase_participant(connection, participant, self.clock(), self.log)
        self._plans.pop(participant, None)

    # -- parts of the steps ---------------------------------------------------------------

    def _row(self, connection: Connection, participant: str, *, lock: bool = False) -> Any | None:
        query = select(people).where(
            people.c.participant == participant, people.c.config_hash == self.config_hash
        )
        return connection.execute(query.with_for_update() if lock else query).one_or_none()

    def _require_stage(self, connection: Connection, participant: str, stage: str) -> Any:
        row = self._row(connection, participant, lock=True)
        if row is None or row.stage != stage:
            raise Refusal("step")
        return row

    def _is_closed(self, connection: Connection) -> bool:
        query = select(tables.studies.c.is_closed).where(
            tables.studies.c.config_hash == self.config_hash
        )
        return bool(connection.execute(query).scalar_one())

    def _recruit(self, connection: Connection, external_hash: str) -> str | None:
        query = select(people.c.participant).where(
            people.c.config_hash == self.config_hash, people.c.external_hash == external_hash
        )
        return connection.execute(query).scalar_one_or_none()

    def _update(self, connection: Connection, participant: str, **values: Any) -> None:
        connection.execute(
            update(people)
            .where(people.c.participant == participant)
            .values(last_seen=self.clock(), **values)
        )
        self._log_person(connection, participant)

    def _log_person(self, connection: Connection, participant: str) -> None:
        if self.log is None:
            return
        row = self._row(connection, participant)
        assert row is not None
        self.log.append(participant, [{"event": "person", "row": dict(row._mapping)}])

    def _open(
        self,
        connection: Connection,
        participant: str,
        stage: str,
        answered: int,
        last_seen: float = 0.0,
    ) -> OpenTrial | None:
        """Open the first unanswered trial, or finish the trials when there is none."""
        config = self.config
        if answered >= config.practice.trials + config.trials + config.attention.trials:
            if stage == "trials":
                self._end_trials(connection, participant)
            return None
        open_trial_row(connection, participant, answered, self.clock(), last_seen)
        return self._view(participant, answered)

    def _view(self, participant: str, trial: int) -> OpenTrial:
        practice = self.config.practice.trials
        data = self.config.trials + self.config.attention.trials
        is_practice = trial < practice
        number = trial + 1 if is_practice else trial - practice + 1
        every = self.config.break_every
        return OpenTrial(
            trial=trial,
            practice=is_practice,
            number=number,
            total=practice if is_practice else data,
            is_break=bool(every and not is_practice and number > 1 and (number - 1) % every == 0),
            following=trial + 1 if trial + 1 < practice + data else None,
            exposure_ms=self._exposure(participant, trial),
        )

    def _end_trials(self, connection: Connection, participant: str) -> None:
        if self.config.questions:
            self._update(connection, participant, stage="questions")
        else:
            self._complete(connection, participant)

    def _complete(self, connection: Connection, participant: str, **values: Any) -> None:
        wrong = (
            select(func.count())
            .select_from(votes.join(trials))
            .where(
                trials.c.participant == participant,
                trials.c.kind == "attention",
                votes.c.answer != trials.c.expected,
            )
        )
        attention = self.config.attention
        failed = (
            attention.trials > 0 and connection.execute(wrong).scalar_one() >= attention.fail_after
        )
        self._update(
            connection,
            participant,
            stage="done",
            outcome="failed-attention" if failed else "completed",
            completed_at=self.clock(),
            **values,
        )

    def _exposure(self, participant: str, trial: int) -> int | None:
        times = self.config.exposure_ms or (None,)
        return times[0] if len(times) == 1 else self._planned(participant)[trial][1]

    def pictures_of(self, participant: str, trial: int) -> tuple[str, ...]:
        """The stimuli of a planned trial, from left to right (none: no such trial)."""
        plan = self._planned(participant)
        return plan[trial][0] if 0 <= trial < len(plan) else ()

    def is_known(self, participant: str) -> bool:
        """Whether a plan is in memory, so that `pictures_of` asks no database."""
        return participant in self._plans

    def _planned(self, participant: str) -> _Plan:
        """Pictures and exposure of every trial. A plan never changes, so memory may keep it."""
        plan = self._plans.get(participant)
        if plan is None:
            shown = (trials.c.stimulus, trials.c.against_stimulus, trials.c.method_on_left)
            query = select(*shown, trials.c.exposure_ms).order_by(trials.c.trial)
            with self.database.read() as connection:
                rows = connection.execute(query.where(trials.c.participant == participant))
                plan = tuple((_from_left(*row[:3]), row.exposure_ms) for row in rows)
            if plan:
                if len(self._plans) >= _KNOWN_PLANS:
                    self._plans.clear()
                self._plans[participant] = plan
        return plan


def _from_left(stimulus: str, against: str | None, on_left: bool | None) -> tuple[str, ...]:
    if not against:
        return (stimulus,)
    return (stimulus, against) if on_left else (against, stimulus)
