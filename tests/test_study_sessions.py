"""Sessions on real databases: one vote per trial, resume, withdrawal, logs, locks, versions."""

from __future__ import annotations

import json
import sqlite3
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from study_postgres import missing_programs, postgres_server
from study_site import make_study, opened

from study.records import StudyRecords
from study.store import database as storage
from study.store.database import Database, Refusal, StorageError
from study.store.queries import Ballot
from study.store.registry import ChangedStudyError, load_records, set_closed
from study.store.sessions import Sessions
from study.store.vote_log import VoteLog, VoteLogError, backfill, replay
from study.web.survey import Survey, SurveyOptions, open_survey


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    missing = missing_programs()
    if missing:
        pytest.skip(f"NO POSTGRESQL TESTED: {', '.join(missing)} not on the PATH")
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(params=["sqlite", "postgresql"])
def survey(request: pytest.FixtureRequest, config: Path, tmp_path: Path) -> Iterator[Survey]:
    url = f"sqlite:///{tmp_path / 'votes.sqlite'}"
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres_url")
        name = f"test_{uuid.uuid4().hex}"
        maintenance = Database(server)
        with maintenance.engine.connect() as connection:
            plain = connection.execution_options(isolation_level="AUTOCOMMIT")
            plain.execute(text(f"CREATE DATABASE {name}"))
        maintenance.close()
        url = server.rsplit("/", 1)[0] + f"/{name}"
    with opened(config, database_url=url) as made:
        yield made


def records_of(survey: Survey) -> StudyRecords:
    return load_records(survey.database.url.render_as_string(hide_password=False))


def enter(sessions: Sessions, participant: str | None = None) -> str:
    participant = participant or uuid.uuid4().hex[:24]
    sessions.begin(participant, language="en")
    sessions.submit_plates(participant, 2)
    sessions.start_trials(participant)
    return participant


def ballot(trial: int, answer: bool = True, vote_id: str | None = None) -> Ballot:
    return Ballot(vote_id or str(uuid.uuid4()), trial, answer, {"rt_ms": 500.0})


def finish(sessions: Sessions, participant: str, answer: bool = True) -> None:
    trial = sessions.open_trial(participant)
    while trial is not None:
        _, trial = sessions.vote(participant, ballot(trial.trial, answer))
    sessions.submit_answers(participant, {"device": "phone", "remarks": "né ☺"})


def test_a_whole_session_is_stored(survey: Survey) -> None:
    sessions = survey.sessions
    person = enter(sessions)
    finish(sessions, person, answer=False)
    records = records_of(survey)
    assert [vote.trial for vote in records.votes] == list(range(10))
    assert [vote.kind for vote in records.votes[:2]] == ["practice", "practice"]
    assert {vote.answer for vote in records.votes} == {False}
    for vote in records.votes:
        if vote.kind in {"real", "method"}:
            assert vote.correct is None
        else:  # "not realistic" is right for the manipulated ones only
            assert vote.correct is (vote.method != "practice-real")
        assert vote.shown_at <= vote.answered_at
        assert vote.participant_completed
    (who,) = records.participants
    assert (who.outcome, who.completed, who.answers["remarks"]) == ("completed", True, "né ☺")
    assert (who.plates_shown, who.plates_correct) == (2, 2)
    assert records.config["trials"] == 6
    frames = records.frames()
    assert list(frames["votes"].columns)[:3] == ["vote_id", "participant", "trial"]
    assert len(frames["stimuli"]) == len(survey.stimuli.stimuli)


def test_the_same_ballot_again_changes_nothing(survey: Survey) -> None:
    sessions = survey.sessions
    person = enter(sessions)
    sessions.open_trial(person)
    first = ballot(0, answer=True)
    sessions.vote(person, first)
    before = records_of(survey).votes
    assert [vote.vote_id for vote in before] == [first.vote_id]
    for _ in range(3):
        _, following = sessions.vote(person, replace(first, answer=False))
        assert following is not None
        assert following.trial == 1
    assert records_of(survey).votes == before


@pytest.mark.parametrize("trial", [0, 2, 9, 10, -1])
def test_only_the_open_trial_can_be_answered(survey: Survey, trial: int) -> None:
    sessions = survey.sessions
    person = enter(sessions)
    sessions.open_trial(person)
    sessions.vote(person, ballot(0))
    with pytest.raises(Refusal, match="trial"):
        sessions.vote(person, ballot(trial))
    assert len(records_of(survey).votes) == 1


def test_a_ballot_id_belongs_to_one_trial_of_one_participant(survey: Survey) -> None:
    sessions = survey.sessions
    one, other = enter(sessions), enter(sessions)
    used = ballot(0)
    sessions.open_trial(one)
    sessions.open_trial(other)
    sessions.vote(one, used)
    with pytest.raises(Refusal, match="ballot"):
        sessions.vote(other, used)
    with pytest.raises(Refusal, match="ballot"):
        sessions.vote(one, replace(used, trial=1))


def test_simultaneous_votes_for_one_trial_leave_one(survey: Survey) -> None:
    sessions = survey.sessions
    person = enter(sessions)
    sessions.open_trial(person)
    same = str(uuid.uuid4())
    ballots = [ballot(0, index % 2 == 0, same if index < 6 else None) for index in range(10)]
    outcomes: list[str] = []

    def cast(one: Ballot) -> None:
        try:
            sessions.vote(person, one)
            outcomes.append("saved")
        except Refusal as refusal:
            outcomes.append(refusal.reason)

    threads = [threading.Thread(target=cast, args=(one,)) for one in ballots]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "saved" in outcomes
    assert len(outcomes) == 10
    assert set(outcomes) <= {"saved", "trial"}
    assert len(records_of(survey).votes) == 1


def test_many_participants_at_once_are_balanced_and_lose_nothing(survey: Survey) -> None:
    sessions = survey.sessions
    problems: list[BaseException] = []

    def one() -> None:
        try:
            finish(sessions, enter(sessions), answer=False)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=one) for _ in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    records = records_of(survey)
    assert len(records.votes) == 90
    shown = Counter(vote.stimulus for vote in records.votes if vote.kind in {"real", "method"})
    possible = [s for s in survey.stimuli.stimuli if s.kind in {"real", "method"}]
    # 9 people × 6 trials over 14 scenes × 3 conditions, whatever the order of arrival
    assert max(shown.values()) - min(shown.get(s.stimulus, 0) for s in possible) <= 2
    per_method = Counter(vote.method for vote in records.votes if vote.kind in {"real", "method"})
    assert set(per_method.values()) == {18}


def test_expired_participants_release_their_pictures(survey: Survey) -> None:
    sessions = survey.sessions
    now = [1_000_000.0]
    sessions.clock = lambda: now[0]
    enter(sessions)
    from study.store.queries import live_counts

    def live() -> int:
        with survey.database.read() as connection:
            cutoff = now[0] - 60 * sessions.config.expire_minutes
            return sum(live_counts(connection, sessions.config_hash, cutoff).values())

    assert live() == 10
    now[0] += 60 * sessions.config.expire_minutes + 1
    assert live() == 0


def test_a_session_goes_on_where_it_was(survey: Survey) -> None:
    sessions = survey.sessions
    person = enter(sessions)
    trial = sessions.open_trial(person)
    for _ in range(4):
        assert trial is not None
        _, trial = sessions.vote(person, ballot(trial.trial))
    again = Sessions(survey.database, survey.config, survey.config_hash, sessions.candidates)
    resumed = again.open_trial(person)
    assert resumed == trial
    with pytest.raises(Refusal):
        again.start_trials(person)


def test_failed_attention_is_an_outcome(survey: Survey) -> None:
    sessions = survey.sessions
    person = enter(sessions)
    finish(sessions, person, answer=True)  # calls the inverted colours realistic, twice
    assert records_of(survey).participants[0].outcome == "failed-attention"


def test_withdrawing_deletes_everything_until_the_study_closes(survey: Survey) -> None:
    sessions = survey.sessions
    person, stays = uuid.uuid4().hex, enter(sessions)
    sessions.begin(person, language="en", external_hash="a" * 64)
    sessions.submit_plates(person, 1)
    sessions.start_trials(person)
    finish(sessions, person)
    sessions.withdraw(person)
    records = records_of(survey)
    assert not [vote for vote in records.votes if vote.participant == person]
    gone = next(entry for entry in records.participants if entry.participant == person)
    assert (gone.withdrawn, gone.answers, gone.plates_correct, gone.completed) == (
        True,
        {},
        None,
        False,
    )
    assert sessions.find_recruit("a" * 64) is None
    set_closed(survey.database, True)
    with pytest.raises(Refusal, match="closed"):
        sessions.withdraw(stays)
    with pytest.raises(Refusal, match="closed"):
        sessions.begin(uuid.uuid4().hex, language="en")


def test_a_recruit_has_one_session(survey: Survey) -> None:
    sessions = survey.sessions
    sessions.begin("first", language="en", external_hash="b" * 64)
    with pytest.raises(Refusal, match="taken"):
        sessions.begin("second", language="en", external_hash="b" * 64)
    assert sessions.find_recruit("b" * 64) == "first"


def test_the_stop_rule_counts_completed_and_present(config: Path, tmp_path: Path) -> None:
    with opened(config, database_url=f"sqlite:///{tmp_path / 'v.sqlite'}") as survey:
        stop = survey.config.stop.model_copy(update={"participants": 2})
        survey.sessions.config = survey.config.model_copy(update={"stop": stop})
        enter(survey.sessions)
        enter(survey.sessions)
        with pytest.raises(Refusal, match="full"):
            survey.sessions.begin("third", language="en")
        stop = survey.config.stop.model_copy(update={"votes_per_method": 1})
        survey.sessions.config = survey.config.model_copy(update={"stop": stop})
        assert survey.sessions.admission() is None
        finish(survey.sessions, enter(survey.sessions), answer=False)
        assert survey.sessions.admission() == "full"


def test_a_running_study_cannot_change_by_accident(config: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'v.sqlite'}"
    with opened(config, database_url=url) as survey:
        finish(survey.sessions, enter(survey.sessions))
        first = survey.config_hash
    other = config.parent / f"{tmp_path.name}.yaml"
    other.write_text(config.read_text().replace("trials: 6", "trials: 5"))
    options = SurveyOptions(config=other, database_url=url)
    with pytest.raises(ChangedStudyError, match="--new-version"):
        open_survey(options)
    second = open_survey(replace(options, new_version=True))
    second.close()
    assert len(load_records(url).votes) == 0
    assert len(load_records(url, config_hash=first[:10]).votes) == 10
    with pytest.raises(StorageError, match="versions"):
        load_records(url, config_hash="zzz")


# -- the vote log -----------------------------------------------------------------------------


def test_the_log_alone_restores_every_vote(config: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    url = f"sqlite:///{tmp_path / 'v.sqlite'}"
    with opened(config, database_url=url, vote_log=str(log)) as survey:
        sessions = survey.sessions
        finish(sessions, enter(sessions))
        half, gone = enter(sessions), enter(sessions)
        trial = sessions.open_trial(half)
        for _ in range(3):
            assert trial is not None
            _, trial = sessions.vote(half, ballot(trial.trial))
        sessions.open_trial(gone)
        sessions.vote(gone, ballot(0))
        sessions.withdraw(gone)
    before = load_records(url)
    with (log / f"participant-{half}.jsonl").open("ab") as stream:
        stream.write(b'{"event": "vote", "row": {"vote_')  # torn by a crash, never acknowledged
    fresh = f"sqlite:///{tmp_path / 'fresh.sqlite'}"
    with opened(config, database_url=fresh, vote_log=str(log)) as survey:
        restored = load_records(fresh)
        assert restored.votes == before.votes
        assert {p.participant: p.outcome for p in restored.participants} == {
            p.participant: p.outcome for p in before.participants
        }
        resumed = survey.sessions.open_trial(half)
        assert resumed is not None
        assert resumed.trial == 3
        survey.sessions.vote(half, ballot(3))
    with opened(config, database_url=f"sqlite:///{tmp_path / 'third.sqlite'}", vote_log=str(log)):
        third = load_records(f"sqlite:///{tmp_path / 'third.sqlite'}")
        assert len(third.votes) == len(before.votes) + 1
    lines = (log / f"participant-{gone}.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["withdrawn"]


def test_a_step_that_only_the_log_knows_can_be_repeated(config: Path, tmp_path: Path) -> None:
    """Killed between the log's line and the commit: the plan comes back, the step does not."""
    url, log = f"sqlite:///{tmp_path / 'v.sqlite'}", tmp_path / "log"
    with opened(config, database_url=url, vote_log=str(log)) as survey:
        person = enter(survey.sessions)
    lines = (log / f"participant-{person}.jsonl").read_text().splitlines()
    planned = next(index for index, line in enumerate(lines) if json.loads(line)["event"] == "plan")
    (log / f"participant-{person}.jsonl").write_text("\n".join(lines[: planned + 1]) + "\n")
    fresh = f"sqlite:///{tmp_path / 'fresh.sqlite'}"
    with opened(config, database_url=fresh, vote_log=str(log)) as survey:
        row = survey.sessions.find(person)
        assert row is not None
        assert row.stage == "instructions"
        survey.sessions.start_trials(person)
        finish(survey.sessions, person)
    assert len(load_records(fresh).votes) == 10
    third = f"sqlite:///{tmp_path / 'third.sqlite'}"
    with opened(config, database_url=third, vote_log=str(log)):
        assert len(load_records(third).votes) == 10


def test_replaying_twice_changes_nothing(config: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'v.sqlite'}"
    with opened(config, database_url=url, vote_log=str(tmp_path / "log")) as survey:
        finish(survey.sessions, enter(survey.sessions))
        before = load_records(url)
        assert isinstance(survey.log, VoteLog)
        assert replay(survey.database, survey.log) == 0
        assert backfill(survey.database, survey.log) == 0
        assert load_records(url) == before


def test_a_log_configured_later_gets_what_came_before(config: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'v.sqlite'}"
    with opened(config, database_url=url) as survey:
        finish(survey.sessions, enter(survey.sessions))
    with opened(config, database_url=url, vote_log=str(tmp_path / "log")):
        pass
    fresh = f"sqlite:///{tmp_path / 'fresh.sqlite'}"
    with opened(config, database_url=fresh, vote_log=str(tmp_path / "log")):
        assert load_records(fresh).votes == load_records(url).votes


def test_an_unreachable_log_means_not_saved_and_not_stored(config: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'v.sqlite'}"
    log = tmp_path / "log"
    with opened(config, database_url=url, vote_log=str(log)) as survey:
        person = enter(survey.sessions)
        survey.sessions.open_trial(person)
        away = tmp_path / "away"
        log.rename(away)
        vote = ballot(0)
        with pytest.raises(VoteLogError):
            survey.sessions.vote(person, vote)
        assert not load_records(url).votes
        away.rename(log)
        survey.sessions.vote(person, vote)  # the page's retry
        assert [entry.vote_id for entry in load_records(url).votes] == [vote.vote_id]


def test_a_locked_database_means_not_saved_then_saved_once(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "BUSY_TIMEOUT_MS", 100)
    file = tmp_path / "v.sqlite"
    with opened(config, database_url=f"sqlite:///{file}") as survey:
        person = enter(survey.sessions)
        survey.sessions.open_trial(person)
        vote = ballot(0)
        lock = sqlite3.connect(file, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        try:
            with pytest.raises(OperationalError, match="locked"):
                survey.sessions.vote(person, vote)
        finally:
            lock.execute("ROLLBACK")
            lock.close()
        for _ in range(2):
            survey.sessions.vote(person, vote)
        assert [entry.vote_id for entry in records_of(survey).votes] == [vote.vote_id]


def test_a_full_disk_means_not_saved(config: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'v.sqlite'}"
    with opened(config, database_url=url) as survey:
        person = enter(survey.sessions)
        trial = survey.sessions.open_trial(person)
        assert trial is not None
        with survey.database.read() as connection:
            pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        survey.database.engine.dispose()

        from sqlalchemy import event

        def limit(connection: sqlite3.Connection, _record: object) -> None:
            connection.execute(f"PRAGMA max_page_count={pages}")  # as small as the disk is full

        event.listen(survey.database.engine, "connect", limit)
        entered: list[str] = []

        def fill() -> None:
            for _ in range(400):
                name = uuid.uuid4().hex
                survey.sessions.begin(name, language="en")
                entered.append(name)

        with pytest.raises(OperationalError, match="full"):
            fill()
        event.remove(survey.database.engine, "connect", limit)
        survey.database.engine.dispose()
        assert len(load_records(url).participants) == 1 + len(entered)
        survey.sessions.vote(person, ballot(0))
        assert len(load_records(url).votes) == 1


def test_one_failing_step_does_not_disturb_those_beside_it(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'd.sqlite'}")
    database.create()
    insert = text("INSERT INTO meta (key, value) VALUES (:key, 'x')")
    entered, go_on = threading.Event(), threading.Event()

    def first(connection: storage.Connection) -> None:
        entered.set()
        assert go_on.wait(30)
        connection.execute(insert, {"key": "first"})

    def storing(key: str) -> Callable[[storage.Connection], object]:
        return lambda connection: connection.execute(insert, {"key": key})

    futures = [database.submit(first)]
    assert entered.wait(30)
    # "first" again: breaks the transaction that the waiting ones share
    futures += [database.submit(storing(key)) for key in ("second", "first", "third")]
    go_on.set()
    errors = [type(error).__name__ for f in futures if (error := f.exception(30)) is not None]
    with database.read() as connection:
        stored = set(connection.execute(text("SELECT key FROM meta")).scalars())
    database.close()
    assert stored == {"first", "second", "third"}
    assert errors == ["IntegrityError"]


def test_a_database_of_the_first_release_is_read_and_goes_on(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "v.sqlite"
    url = f"sqlite:///{file}"
    with opened(config, database_url=url) as survey:
        person = enter(survey.sessions)
        survey.sessions.open_trial(person)
        survey.sessions.vote(person, ballot(0))
    later = {
        "trials": ["exposure_ms", "against", "against_stimulus", "method_on_left"],
        "stimuli": ["scene_kind"],
    }
    with sqlite3.connect(file) as raw:
        for table, columns in later.items():
            for column in columns:
                raw.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    (vote,) = load_records(url).votes
    assert (vote.against, vote.exposure_ms, vote.scene_kind) == ("", None, "")
    with opened(config, database_url=url) as survey:
        survey.sessions.vote(person, ballot(1))
    assert len(load_records(url).votes) == 2


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "sqlite:///:memory:", "nonsense://"])
def test_an_unusable_url_is_said(url: str) -> None:
    with pytest.raises(StorageError, match="--database-url"):
        Database(url)


def test_a_missing_file_is_not_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no database file"):
        load_records(f"sqlite:///{tmp_path / 'none.sqlite'}")
    assert not list(tmp_path.iterdir())
