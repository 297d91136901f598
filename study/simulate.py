"""Simulated participants with known rates: `python -m study.simulate`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from study.records import REAL
from study.rehearsal.participants import simulate_directly, simulate_over_http
from study.rehearsal.robot import RobotRefusedError
from study.rehearsal.simulation import AnswerModel, Effects
from study.settings import StudyError, load_config
from study.stimuli.stimulus_set import StimulusSet, load_stimuli
from study.web.survey import DEMO_CONFIG, SurveyOptions, open_survey


def _rate(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        rate = float(value)
    except ValueError:
        rate = -1.0
    if not name or not 0 < rate < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not METHOD=RATE with a rate between 0 and 1")
    return name, rate


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m study.simulate", description=__doc__)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--url", help="a running survey, for example http://127.0.0.1:7860")
    target.add_argument("--database-url", help="a database to write into")
    parser.add_argument("--config", type=Path, default=DEMO_CONFIG, help="the study's YAML file")
    parser.add_argument("--participants", type=int, default=62)
    parser.add_argument(
        "--rate",
        type=_rate,
        action="append",
        default=[],
        metavar="METHOD=RATE",
        help="share of realistic answers of a method (repeat; real: 0.87, others: 0.5)",
    )
    parser.add_argument("--careless", type=float, default=0.0, help="share who answer by coin")
    parser.add_argument("--participant-sd", type=float, default=0.8, help="on the logit scale")
    parser.add_argument("--image-sd", type=float, default=0.8, help="on the logit scale")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between answers (--url)")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Command line; 0 all took part, 1 the server refused someone, 2 nothing done."""
    arguments = _parser().parse_args(argv)
    try:
        config = load_config(arguments.config)
        stimuli = load_stimuli((arguments.config.parent / config.stimuli).resolve())
        rates = {method: 0.87 if method == REAL else 0.5 for method in stimuli.methods()}
        unknown = [name for name, _ in arguments.rate if name not in rates]
        if unknown:
            raise ValueError(f"--rate: the stimulus set has no method {unknown[0]!r}")
        effects = Effects(
            participant_sd=arguments.participant_sd,
            image_sd=arguments.image_sd,
            careless=arguments.careless,
        )
        model = AnswerModel({**rates, **dict(arguments.rate)}, effects, arguments.seed)
        if arguments.url:
            return _run_over_http(arguments, stimuli, model)
        return _run_directly(arguments, model)
    except (StudyError, ValueError) as error:
        print(f"study.simulate: {error}", file=sys.stderr)
        return 2


def _run_over_http(arguments: argparse.Namespace, stimuli: StimulusSet, model: AnswerModel) -> int:
    try:
        diary = asyncio.run(
            simulate_over_http(
                arguments.url, stimuli, model, arguments.participants, arguments.pause
            )
        )
    except (RobotRefusedError, KeyError) as error:
        print(f"study.simulate: the survey refused a participant: {error}", file=sys.stderr)
        return 1
    print(f"{diary.finished} simulated participants, {len(diary.acknowledged)} votes acknowledged")
    return 0


def _run_directly(arguments: argparse.Namespace, model: AnswerModel) -> int:
    options = SurveyOptions(config=arguments.config, database_url=arguments.database_url)
    survey = open_survey(options)
    try:
        number = simulate_directly(
            survey.sessions,
            survey.stimuli,
            model,
            arguments.participants,
            start=survey.sessions.clock() - 180.0 * arguments.participants,
            seed=arguments.seed,
        )
    finally:
        survey.close()
    print(f"{arguments.participants} simulated participants, {number} votes stored")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
