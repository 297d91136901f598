"""Look after a study from the command line: `python -m study.admin`."""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from study.store.database import Database, StorageError
from study.store.erasure import erase_participant
from study.store.hub_log import open_log
from study.store.registry import set_closed
from study.store.status import study_status
from study.store.vote_log import VoteLogError


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
    delete.add_argument("participant", help="the id, as in status and in exports")
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


def _delete(database: Database, vote_log: str | None, participant: str) -> int:
    log = open_log(vote_log) if vote_log else None
    if log is not None:
        log.prepare()
    try:
        with database.write() as connection:
            known = erase_participant(connection, participant, time.time(), log)
    finally:
        if log is not None:
            log.close()
    if not known:
        print(f"study.admin: there is no participant {participant}", file=sys.stderr)
        return 2
    print(f"deleted the answers of {participant}")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Command line; 2: nothing done."""
    arguments = _parser().parse_args(argv)
    try:
        database = Database(arguments.database_url)
        database.require()
        if arguments.command == "status":
            _print_status(database, arguments.latest)
        elif arguments.command == "delete":
            return _delete(database, arguments.vote_log, arguments.participant)
        else:
            closed = arguments.command == "close"
            if set_closed(database, closed) is None:
                raise StorageError("the database holds no study yet")
            print("closed" if closed else "open")
    except (StorageError, VoteLogError) as error:
        print(f"study.admin: {error}", file=sys.stderr)
        return 2
    except SQLAlchemyError as error:
        detail = str(getattr(error, "orig", None) or error).splitlines()[0]
        print(f"study.admin: {detail}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
