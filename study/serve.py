"""Serve a perceptual realism survey: `python -m study.serve` (without arguments: the demo)."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from study.web.survey import SurveyOptions

_HANDOVER = "STUDY_SERVE_ARGUMENTS"
DEFAULT_PORT = 7860
_OWN_MACHINE = {"127.0.0.1", "localhost", "::1"}


def app_of_worker() -> Starlette:
    """The application in a worker process, from the arguments `main` left in the environment."""
    from study.web.app import make_app
    from study.web.survey import open_survey

    arguments = _parser().parse_args(json.loads(os.environ[_HANDOVER]))
    return make_app(open_survey(_options(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m study.serve",
        description=__doc__,
        epilog="Environment: STUDY_SECRET (signing key; default: one kept in the database), "
        "STUDY_ADMIN_TOKEN (turns on /admin), PORT.",
    )
    parser.add_argument("--config", type=Path, help="the study's YAML file (default: the demo)")
    parser.add_argument(
        "--database-url",
        default="sqlite:///study.sqlite",
        help="sqlite:///FILE or postgresql://USER@HOST/NAME (default: %(default)s)",
    )
    parser.add_argument(
        "--vote-log",
        metavar="DIR",
        help="second place for every vote: a folder, or hf://datasets/OWNER/NAME",
    )
    on_space = "SPACE_ID" in os.environ
    parser.add_argument("--host", default="0.0.0.0" if on_space else "127.0.0.1")  # noqa: S104
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", DEFAULT_PORT)))
    parser.add_argument("--workers", type=int, default=1, help="processes (use PostgreSQL)")
    parser.add_argument("--base-path", default="", help="for example /survey behind a proxy")
    parser.add_argument(
        "--frame-ancestor",
        action="append",
        default=["https://huggingface.co"] if on_space else [],
        metavar="ORIGIN",
        help="a site that may show the survey in a frame (repeat)",
    )
    parser.add_argument("--texts", type=Path, metavar="DIR", help="further languages as YAML")
    parser.add_argument(
        "--new-version",
        action="store_true",
        help="a changed configuration starts a new version (answers so far are kept)",
    )
    parser.add_argument(
        "--new-per-minute",
        type=float,
        default=600.0,
        help="most new participants per minute (default: %(default)s)",
    )
    return parser


def _options(arguments: argparse.Namespace) -> SurveyOptions:
    from study.settings import ConfigError
    from study.web.survey import DEMO_CONFIG, SurveyOptions

    base = arguments.base_path.rstrip("/")
    if base and re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", base) is None:
        raise ConfigError("--base-path: needs the form /name")
    for origin in arguments.frame_ancestor:
        if re.fullmatch(r"https?://[A-Za-z0-9.*:-]+", origin) is None:
            raise ConfigError(f"--frame-ancestor: {origin!r} is not an origin (https://host)")
    if arguments.workers < 1 or arguments.new_per_minute <= 0:
        raise ConfigError("--workers and --new-per-minute need at least 1")
    if arguments.workers > 1 and (arguments.vote_log or "").startswith("hf://"):
        raise ConfigError(
            "--workers: a vote log on the Hub has one writer, or workers would overwrite each "
            "other's lines; use one worker, or a folder for --vote-log"
        )
    if not 0 <= arguments.port <= 65535:
        raise ConfigError("--port: needs a number from 0 to 65535")
    return SurveyOptions(
        config=(arguments.config or DEMO_CONFIG).resolve(),
        database_url=arguments.database_url,
        vote_log=arguments.vote_log,
        base_path=base,
        secret=os.environ.get("STUDY_SECRET") or None,
        admin_token=os.environ.get("STUDY_ADMIN_TOKEN") or None,
        frame_ancestors=tuple(arguments.frame_ancestor),
        texts=arguments.texts,
        # the demo may change with an update of the program, and nobody's data depend on it
        new_version=arguments.new_version or arguments.config is None,
        new_per_minute=arguments.new_per_minute,
        public=arguments.host not in _OWN_MACHINE,
    )


def _warn(options: SurveyOptions, workers: int) -> None:
    sqlite = not options.database_url.startswith("postgres")
    if sqlite and options.vote_log is None:
        print(
            "study: warning: votes are kept in one SQLite file only. Where the disk can vanish "
            "(as on Spaces), use PostgreSQL (--database-url) or a second place (--vote-log).",
            file=sys.stderr,
        )
    if sqlite and workers > 1:
        print("study: warning: several workers on SQLite wait for each other.", file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    """Command line; runs until interrupted. 2: the study cannot be served as asked."""
    arguments = _parser().parse_args(argv)

    import uvicorn

    from study.settings import StudyError
    from study.web.app import make_app
    from study.web.survey import open_survey

    try:
        options = _options(arguments)
        survey = open_survey(options)
    except StudyError as error:
        print(f"study.serve: {error}", file=sys.stderr)
        return 2
    _warn(options, arguments.workers)
    address = f"http://{arguments.host}:{arguments.port}{options.base_path}/"
    print(f"study {survey.config_hash[:12]} on {address}", flush=True)
    common: dict[str, Any] = {
        "host": arguments.host,
        "port": arguments.port,
        "server_header": False,
        "access_log": False,
        "log_level": "warning",
        "timeout_graceful_shutdown": 10,
    }
    if arguments.workers == 1:
        uvicorn.run(make_app(survey), **common)
        return 0
    survey.close()
    os.environ[_HANDOVER] = json.dumps(sys.argv[1:] if argv is None else argv)
    uvicorn.run("study.serve:app_of_worker", factory=True, workers=arguments.workers, **common)
    return 0


if __name__ == "__main__":
    if not __package__:  # `python study/serve.py`, as a Space starts its app_file
        sys.path[0] = str(Path(__file__).resolve().parents[1])
    raise SystemExit(main())
