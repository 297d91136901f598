"""What a participant does to the data: consent, plates, trials, votes, questions, withdrawal.

Every step is one transaction. Where a vote log is configured, its line is written (durably)
before the transaction commits: if either fails, the step did not happen and can be repeated. A
step done twice changes nothing.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, func, select, update

from study.settings import StudyConfig
from study.stimuli.design import Picture, plan_session
from study.store import tables
from study.store.assignment import admission, live_counts, lock_planning
from study.store.ballots import (
    Ballot,
    OpenTrial,
    Receipt,
    ballot_state,
    insert_vote,
    lock_participant,
    open_trial_row,
    progress,
)
from study.store.database import Database, RefusedStepError
from study.store.erasure import erase_participant
from study.store.vote_log import EventLog

people, trials, votes = tables.participants, tables.trials, tables.votes
_KNOWN_PLANS = 5000
_VOTING = ("trials", "questions", "done")


class Refusal(RefusedStepError):  # noqa: N818 - the normal answer to a step at the wrong time
    """A step that is not open to this participant now. `reason` is a short code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Sessions:
    """Participants of one version of a study in one database."""

    def __init__(
        self,
        database: Database,
        config: StudyConfig,
        config_hash: str,
        pictures: list[Picture],
        log: EventLog | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.database = database
        self.config = config
        self.config_hash = config_hash
        self.pictures = pictures
        self.log = log
        self.clock = clock
        methods = {entry.method for entry in pictures if entry.kind in {"real", "method"}}
        self._plans: dict[str, tuple[str, ...]] = {}
        self.shares = dict(config.methods) or dict.fromkeys(sorted(methods), 1.0)

    def plan(self, counts: Mapping[str, int], seed: int) -> list[Picture]:
        """The pictures of one session.

        Raises:
            DesignError: the stimulus set does not fit the configuration.
        """
        return plan_session(
            self.pictures,
            shares=self.shares,
            trials=self.config.trials,
            practice=self.config.practice.trials,
            attention=self.config.attention.trials,
            counts=counts,
            seed=seed,
        )

    # -- who is here ----------------------------------------------------------------------

    def find(self, participant: str) -> Any | None:
        """The row of a participant of this study, or None."""
        with self.database.read() as connection:
            return self._row(connection, participant)

    def find_recruit(self, external_hash: str) -> str | None:
        """The participant that a recruiter's hashed id already has here."""
        query = select(people.c.participant).where(
            people.c.config_hash == self.config_hash, people.c.external_hash == external_hash
        )
        with self.database.read() as connection:
            return connection.execute(query).scalar_one_or_none()

    def admission(self) -> str | None:
        """Why nobody new is accepted now ("closed", "full"), or None."""
        with self.database.read() as connection:
            return admission(connection, self.config, self.config_hash, self.clock())

    def is_closed(self) -> bool:
        """Whether the study was closed."""
        with self.database.read() as connection:
            return self._is_closed(connection)

    # -- the steps of a session -----------------------------------------------------------

    def begin(self, participant: str, *, language: str, external_hash: str | None = None) -> None:
        """Record consent under a fresh random id; the same id again changes nothing.

        Raises:
            Refusal: "closed", "full", or "taken" (the recruit already has a session).
        """
        now = self.clock()
        seed = random.SystemRandom().randrange(2**31)
        with self.database.write() as connection:
            lock_planning(connection)
            if self._row(connection, participant) is not None:
                return
            refused = admission(connection, self.config, self.config_hash, now)
            if refused is not None:
                raise Refusal(refused)
            if external_hash is not None and self._is_taken(connection, external_hash):
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

    def submit_plates(self, participant: str, correct: int) -> None:
        """Record how many colour-vision plates were read correctly.

        Raises:
            Refusal: "step" when the plates are not open.
        """
        plates = self.config.plates
        failed = plates.screen_out and correct < plates.needed
        with self.database.write() as connection:
            self._require_stage(connection, participant, "plates")
            values: dict[str, Any] = {"plates_shown": plates.count, "plates_correct": correct}
            if failed:
                values |= {"stage": "screened", "outcome": "screened-out"}
            else:
                values |= {"stage": "instructions"}
            self._update(connection, participant, **values)

    def start_trials(self, participant: str) -> None:
        """Assign the pictures, least shown first, and open the first trial.

        Raises:
            Refusal: "step" when the instructions are not open.
        """
        with self.database.write() as connection:
            lock_planning(connection)
            row = self._require_stage(connection, participant, "instructions")
            cutoff = self.clock() - 60 * self.config.expire_minutes
            counts = live_counts(connection, self.config_hash, cutoff)
            planned = [
                {
                    "participant": participant,
                    "trial": index,
                    "stimulus": picture.stimulus,
                    "kind": picture.kind,
                    "method": picture.method,
                    "base_image": picture.base_image,
                    "expected": picture.expected,
                }
                for index, picture in enumerate(self.plan(counts, row.seed))
            ]
            connection.execute(trials.insert(), planned)
            if self.log is not None:
                self.log.append(participant, [{"event": "plan", "rows": planned}])
            self._update(connection, participant, stage="trials")

    def open_trial(self, participant: str) -> OpenTrial | None:
        """The trial to answer now, opened if it was not; None after the last.

        Raises:
            Refusal: "step" when trials are not open to this participant.
        """

        def step(connection: Connection) -> OpenTrial | None:
            lock_participant(connection, participant)
            found = progress(connection, self.config_hash, participant)
            if found is None or found[0] not in _VOTING:
                raise Refusal("step")
            return self._open(connection, participant, *found)

        return self.database.write_together(step)

    def vote(self, participant: str, ballot: Ballot) -> tuple[Receipt, OpenTrial | None]:
        """Store an answer once and open the next trial.

        The same ballot again is acknowledged again and changes nothing.

        Raises:
            Refusal: "step" (no trials now), "trial" (another trial is open, or it has been
                answered already), "ballot" (the ballot's id was used for something else).
        """
        return self.database.write_together(
            lambda connection: self._vote(connection, participant, ballot)
        )

    def _vote(
        self, connection: Connection, participant: str, ballot: Ballot
    ) -> tuple[Receipt, OpenTrial | None]:
        lock_participant(connection, participant)
        state = ballot_state(
            connection, self.config_hash, participant, ballot.vote_id, ballot.trial
        )
        if state is None or state.stage not in _VOTING:
            raise Refusal("step")
        if state.known is not None and state.known != (participant, ballot.trial):
            raise Refusal("ballot")
        is_new = state.known is None
        if is_new:
            if state.opened_at is None or state.answered != ballot.trial:
                raise Refusal("trial")
            row = insert_vote(
                connection,
                ballot,
                participant=participant,
                config_hash=self.config_hash,
                shown_at=state.opened_at,
                answered_at=self.clock(),
            )
            if self.log is not None:
                self.log.append(participant, [{"event": "vote", "row": row}])
        following = self._open(connection, participant, state.stage, state.answered + is_new)
        correct = None
        if state.kind == "practice":
            correct = ballot.answer == bool(state.expected)
        return Receipt(is_new, correct), following

    def submit_answers(self, participant: str, answers: Mapping[str, str]) -> None:
        """Record the exit questions and complete the session.

        Raises:
            Refusal: "step" when the questions are not open.
        """
        with self.database.write() as connection:
            self._require_stage(connection, participant, "questions")
            self._complete(connection, participant, answers=json.dumps(dict(answers)))

    def withdraw(self, participant: str) -> None:
        """Delete a participant's answers, trials and recruiter's id; a bare row remains.

        Raises:
            Refusal: "closed" when the study is closed, "step" when already withdrawn.
        """
        with self.database.write() as connection:
            self._require_stage(
                connection, participant, "plates", "instructions", "trials", "questions", "done",
                "screened",
            )  # fmt: skip
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

    def _require_stage(self, connection: Connection, participant: str, *stages: str) -> Any:
        row = self._row(connection, participant, lock=True)
        if row is None or row.stage not in stages:
            raise Refusal("step")
        return row

    def _is_closed(self, connection: Connection) -> bool:
        query = select(tables.studies.c.is_closed).where(
            tables.studies.c.config_hash == self.config_hash
        )
        return bool(connection.execute(query).scalar_one())

    def _is_taken(self, connection: Connection, external_hash: str) -> bool:
        query = select(people.c.participant).where(
            people.c.config_hash == self.config_hash, people.c.external_hash == external_hash
        )
        return connection.execute(query).first() is not None

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
        self, connection: Connection, participant: str, stage: str, answered: int
    ) -> OpenTrial | None:
        """Open the first unanswered trial, or finish the trials when there is none."""
        config = self.config
        if answered >= config.practice.trials + config.trials + config.attention.trials:
            if stage == "trials":
                self._end_trials(connection, participant)
            return None
        open_trial_row(connection, participant, answered, self.clock())
        return self._view(answered)

    def _view(self, trial: int) -> OpenTrial:
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
        )

    def _end_trials(self, connection: Connection, participant: str) -> None:
        if self.config.questions:
            self._update(connection, participant, stage="questions")
        else:
            self._complete(connection, participant)

    def _complete(self, connection: Connection, participant: str, **values: Any) -> None:
        wrong = (
            select(func.count())
            .select_from(votes)
            .join(
                trials,
                (votes.c.participant == trials.c.participant) & (votes.c.trial == trials.c.trial),
            )
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

    def stimulus_of(self, participant: str, trial: int) -> str | None:
        """The stimulus id of a planned trial (None: no such trial).

        A plan never changes, so one that has been read is kept in memory.
        """
        plan = self.known_plan(participant)
        if plan is None:
            query = (
                select(trials.c.stimulus)
                .where(trials.c.participant == participant)
                .order_by(trials.c.trial)
            )
            with self.database.read() as connection:
                plan = tuple(connection.execute(query).scalars())
            if plan:
                if len(self._plans) >= _KNOWN_PLANS:
                    self._plans.clear()
                self._plans[participant] = plan
        return plan[trial] if 0 <= trial < len(plan) else None

    def known_plan(self, participant: str) -> tuple[str, ...] | None:
        """The stimuli of a plan that is in memory."""
        return self._plans.get(participant)
