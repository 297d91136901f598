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
from dataclasses import asdict, dataclass, field
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, delete, select, update

from study.records import DATA
from study.settings import StudyConfig
from study.stimuli.design import Trial, plan_session
from study.store import queries, tables
from study.store.database import Database, Refusal
from study.store.queries import Ballot, OpenTrial, Plan
from study.store.registry import erase_participant
from study.store.vote_log import VoteLog

people, trials = tables.participants, tables.trials
_KNOWN_PLANS = 5000
_VOTING = ("trials", "questions", "done")


Outcome = tuple[bool | None, OpenTrial | None]
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


@dataclass(eq=False)
class Sessions:
    """Participants of one version of a study in one database."""

    database: Database
    config: StudyConfig
    config_hash: str
    candidates: list[Trial]
    log: VoteLog | None = None
    clock: Callable[[], float] = time.time
    _plans: dict[str, Plan] = field(default_factory=dict, init=False)

    def plan(self, counts: Mapping[str, int], seed: int) -> list[Trial]:
        """The trials of one session.

        Raises:
            DesignError: the stimulus set does not fit the configuration.
        """
        groups = {entry.group for entry in self.candidates if entry.kind in DATA}
        return plan_session(
            self.candidates,
            shares=self.config.methods or dict.fromkeys(sorted(groups), 1.0),
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
            return queries.participant_row(connection, self.config_hash, participant)

    def find_recruit(self, external_hash: str) -> str | None:
        """The participant that a recruiter's hashed id already has here."""
        with self.database.read() as connection:
            return queries.recruited(connection, self.config_hash, external_hash)

    def admission(self) -> str | None:
        """Why nobody new is accepted now ("closed", "full"), or None."""
        with self.database.read() as connection:
            return queries.admission(connection, self.config, self.config_hash, self.clock())

    def is_closed(self) -> bool:
        """Whether the study was closed."""
        with self.database.read() as connection:
            return queries.is_closed(connection, self.config_hash)

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
        queries.lock_planning(connection)
        if queries.participant_row(connection, self.config_hash, participant) is not None:
            return
        refused = queries.admission(connection, self.config, self.config_hash, now)
        if refused is not None:
            raise Refusal(refused)
        if external_hash and queries.recruited(connection, self.config_hash, external_hash):
            raise Refusal("taken")
        row = people.insert().values(
            participant=participant,
            config_hash=self.config_hash,
            seed=seed,
            language=language,
            real_on_left=bool(random.Random(seed).getrandbits(1)),
            source="direct" if external_hash is None else "prolific",
            external_hash=external_hash,
            consent_version=self.config.consent.version,
            consented_at=now,
            started_at=now,
            last_seen=now,
            stage="plates" if self.config.plates.count else "instructions",
            outcome="in-progress",
            answers="{}",
        )
        connection.execute(row)
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
        queries.lock_planning(connection)
        row = self._require_stage(connection, participant, "instructions")
        cutoff = self.clock() - 60 * self.config.expire_minutes
        counts = queries.live_counts(connection, self.config_hash, cutoff)
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

    def open_trial(self, participant: str) -> OpenTrial | None:
        """`open_trial_soon`, waited for."""
        return self.open_trial_soon(participant).result()

    def open_trial_soon(self, participant: str) -> Future[OpenTrial | None]:
        """The trial to answer now, opened if it was not; None after the last.

        Raises (in the future):
            Refusal: "step" when trials are not open to this participant.
        """
        return self.database.submit(lambda connection: self._open_now(connection, participant))

    def _open_now(self, connection: Connection, participant: str) -> OpenTrial | None:
        queries.lock_participant(connection, participant)
        state = queries.voting_state(connection, self.config_hash, participant)
        if state is None or state.stage not in _VOTING:
            raise Refusal("step")
        return self._open(connection, participant, state, state.answered)

    def vote(self, participant: str, ballot: Ballot) -> Outcome:
        """`vote_soon`, waited for."""
        return self.vote_soon(participant, ballot).result()

    def vote_soon(self, participant: str, ballot: Ballot) -> Future[Outcome]:
        """Store an answer once and open the next trial.

        The same ballot again is acknowledged again and changes nothing.

        Returns:
            For a practice trial, whether the answer was right; the trial that follows.

        Raises (in the future):
            Refusal: "step" (no trials now), "trial" (another trial is open, or it has been
                answered already), "ballot" (the ballot's id was used for something else).
        """
        return self.database.submit(lambda connection: self._vote(connection, participant, ballot))

    def _vote(self, connection: Connection, participant: str, ballot: Ballot) -> Outcome:
        queries.lock_participant(connection, participant)
        asked = (self.config_hash, participant, ballot.vote_id, ballot.trial)
        state = queries.voting_state(connection, *asked)
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
            row = queries.insert_vote(
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
        following = self._open(connection, participant, state, state.answered + is_new)
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
        query = select(people.c.stage).where(people.c.participant == participant)
        if connection.execute(query).scalar_one_or_none() in {None, "withdrawn"}:
            raise Refusal("step")
        if queries.is_closed(connection, self.config_hash):
            raise Refusal("closed")
        erase_participant(connection, participant, self.clock(), self.log)
        self._plans.pop(participant, None)

    # -- parts of the steps ---------------------------------------------------------------

    def _require_stage(self, connection: Connection, participant: str, stage: str) -> Any:
        row = queries.participant_row(connection, self.config_hash, participant, lock=True)
        if row is None or row.stage != stage:
            raise Refusal("step")
        return row

    def _update(self, connection: Connection, participant: str, **values: Any) -> None:
        connection.execute(
            update(people)
            .where(people.c.participant == participant)
            .values(last_seen=self.clock(), **values)
        )
        self._log_person(connection, participant)

    def _log_person(self, connection: Connection, participant: str) -> None:
        if self.log is not None:
            row = queries.participant_row(connection, self.config_hash, participant)
            assert row is not None
            self.log.append(participant, [{"event": "person", "row": dict(row._mapping)}])

    def _open(
        self, connection: Connection, participant: str, state: Any, answered: int
    ) -> OpenTrial | None:
        """Open the first unanswered trial, or finish the trials when there is none."""
        config = self.config
        if answered >= config.practice.trials + config.trials + config.attention.trials:
            if state.stage == "trials" and config.questions:
                self._update(connection, participant, stage="questions")
            elif state.stage == "trials":
                self._complete(connection, participant)
            return None
        queries.open_trial_row(connection, participant, answered, self.clock(), state.last_seen)
        times = config.exposure_ms or (None,)
        exposure = times[0] if len(times) == 1 else self._planned(participant)[answered][1]
        return OpenTrial.at(answered, config, exposure)

    def _complete(self, connection: Connection, participant: str, **values: Any) -> None:
        failed = queries.fails_attention(connection, self.config, participant)
        end = {
            "outcome": "failed-attention" if failed else "completed",
            "completed_at": self.clock(),
        }
        self._update(connection, participant, stage="done", **end, **values)

    def pictures_of(self, participant: str, trial: int) -> tuple[str, ...]:
        """The stimuli of a planned trial, from left to right (none: no such trial)."""
        plan = self._planned(participant)
        return plan[trial][0] if 0 <= trial < len(plan) else ()

    def is_known(self, participant: str) -> bool:
        """Whether a plan is in memory, so that `pictures_of` asks no database."""
        return participant in self._plans

    def _planned(self, participant: str) -> Plan:
        """A plan never changes, so memory may keep it."""
        plan = self._plans.get(participant)
        if plan is None:
            with self.database.read() as connection:
                plan = queries.plan_of(connection, participant)
            if plan:
                if len(self._plans) >= _KNOWN_PLANS:
                    self._plans.clear()
                self._plans[participant] = plan
        return plan
