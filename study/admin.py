"""Look after a study from the command line: `python -m study.admin`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import closing, nullcontext
from datetime import UTC, date, datetime

from sqlalchemy.exc import SQLAlchemyError

from study.settings import StudyError
from study.store.database import Database, StorageError, reason_of
from study.store.registry import (
    erase_participant,
    erase_study,
    participant_of_code,
    retention_ends,
    set_closed,
    study_status,
)
from study.store.vote_log import VoteLog, open_log
from study.web.survey import Tokens


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m study.admin", description=__doc__)
    parser.add_argument("--database-url", default="sqlite:///study.sqlite")
    parser.add_argument("--vote-log", metavar="DIR", help="the second place, as for study.serve")
    commands = parser.add_subparsers(dest="command", required=True)
    status = commands.add_parser("status", help="how far the study is")
    status.add_argument("--latest", type=int, default=10, help="how many participants to list")
    commands.add_parser("close", help="accept no more participants and no more withdrawals")
    commands.add_parser("open", help="undo close")
    delete = commands.add_parser("delete", help="delete a participant's answers")
    delete.add_argument(
        "participant", help="the id, as in status and in exports, or the participant's own code"
    )
    purge = commands.add_parser(
        "purge", help="erase all answers once the study's privacy.retention_until has come"
    )
    purge.add_argument("--today", type=date.fromisoformat, help="the day, default the clock's")
    return parser


def _print_status(database: Database, latest: int) -> None:
    status = study_status(database, latest)
    print(f"study {status.config_hash[:12]}: {'closed' if status.is_closed else 'open'}")
    print(f"votes: {status.votes}")
    if status.last_vote_at is not None:
        when = datetime.fromtimestamp(status.last_vote_at, UTC)
        print(f"last vote: {when:%Y-%m-%d %H:%M:%S} UTC")
    for name, count in sorted(status.outcomes.items()):
        print(f"participants {name}: {count}")
    for name, count in status.methods.items():
        print(f"data votes {name}: {count}")
    for participant, stage, outcome, count in status.participants:
        print(f"{participant}  {stage}  {outcome}  {count} votes")


def _delete(database: Database, log: VoteLog | None, named: str) -> None:
    tokens = Tokens(os.environ.get("STUDY_SECRET") or database.secret())
    participant = participant_of_code(database, named, tokens.withdrawal_code) or named
    with database.write() as connection:
        if not erase_participant(connection, participant, time.time(), log):
            raise StorageError(f"there is no participant {named}")
    print(f"deleted the answers of {participant}")


def _purge(database: Database, log: VoteLog | None, today: date) -> None:
    ends = retention_ends(database)
    if not ends:
        raise StorageError("the study's YAML names no privacy.retention_until")
    due = {version: until for version, until in ends.items() if until <= today}
    if not due:
        raise StorageError(f"the answers are kept until {min(ends.values())}; nothing was erased")
    for version, until in due.items():
        number = erase_study(database, version, time.time(), log)
        print(f"study {version[:12]}, kept until {until}: erased {number} participants' answers")
    print("exports, reports and backups of this study are files of yours: erase them, too")


def main(argv: list[str] | None = None) -> int:
    """Command line; 2: nothing done."""
    arguments = _parser().parse_args(argv)
    try:
        database = Database(arguments.database_url)
        database.require()
        if arguments.command == "status":
            _print_status(database, arguments.latest)
        elif arguments.command in {"open", "close"}:
            set_closed(database, arguments.command == "close")
            print("closed" if arguments.command == "close" else "open")
        else:
            log = open_log(arguments.vote_log) if arguments.vote_log else None
            with nullcontext() if log is None else closing(log):
                if log is not None:
                    log.prepare()
                if arguments.command == "delete":
                    _delete(database, log, arguments.participant)
                else:
                    _purge(database, log, arguments.today or datetime.now(UTC).date())
    except (StudyError, SQLAlchemyError) as error:
        print(f"study.admin: {reason_of(error)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
