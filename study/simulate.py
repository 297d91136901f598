"""Simulated participants with known rates: `python -m study.simulate`.

Over HTTP they see what a browser sees and recognise the pictures by their pixels with the help of
the stimulus folder; on a database they use the same transactions as the server, thousands of
times faster. The truth they follow is `study.rehearsal.simulation.AnswerModel`.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import secrets
import sys
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
from PIL import Image

from study.records import REAL, Stimulus
from study.rehearsal.robot import Diary, Reply, RobotRefusedError, Shown, take_part
from study.rehearsal.simulation import AnswerModel, Effects
from study.settings import StudyError, load_config
from study.stimuli.stimulus_set import StimulusSet, load_stimuli
from study.store.queries import Ballot
from study.store.sessions import Sessions
from study.web.survey import DEMO_CONFIG, SurveyOptions, open_survey

CONCURRENT = 16


@dataclass(frozen=True)
class SimulatedPerson:
    """Answers pictures as the model says.

    Checks and practice are drawn by their turn, not by their place among the trials: the survey
    deals the places out by chance, and equal seeds shall give equal outcomes.
    """

    name: str
    model: AnswerModel
    _turns: dict[int, int] = field(default_factory=dict)

    def reply(self, shown: Sequence[Stimulus], index: int, position: float) -> Reply:
        """The answer to one picture, or to two from left to right, whatever their kind."""
        if any(entry.expected is not None for entry in shown):
            turn = self._turns.setdefault(index, len(self._turns))
            passes = self.model.passes_attention(self.name, f"check-{turn}")
            is_photograph = shown[0].kind == "real" or shown[0].expected is True
            return Reply(is_photograph is passes, self.model.rt_ms(self.name, str(index)))
        methods, scene = [entry.method for entry in shown], shown[0].base_image
        if len(methods) == 2:
            first = self.model.preference(self.name, methods[0], methods[1], scene)
        else:
            first = self.model.answer(self.name, methods[0], scene, position)
        return Reply(first, self.model.rt_ms(self.name, *sorted(methods), scene))


def recognise(stimuli: StimulusSet) -> dict[str, Stimulus]:
    """Stimuli by the SHA-256 of their pixels, which is all that a visitor gets of them."""
    return {
        pixel_hash((stimuli.folder / entry.file).read_bytes()): entry for entry in stimuli.stimuli
    }


def pixel_hash(data: bytes) -> str:
    """SHA-256 of the decoded picture."""
    with Image.open(io.BytesIO(data)) as image:
        return hashlib.sha256(image.tobytes()).hexdigest()


async def simulate_over_http(
    url: str, stimuli: StimulusSet, model: AnswerModel, participants: int, pause_s: float = 0.0
) -> Diary:
    """Let simulated participants take part in a running survey.

    Raises:
        RobotRefusedError: the server refused something.
    """
    known = recognise(stimuli)
    diary = Diary()
    places = asyncio.Semaphore(CONCURRENT)

    async def one(number: int) -> None:
        person = SimulatedPerson(f"simulated-{number}", model)

        def respond(shown: Shown) -> Reply:
            pictures = [known[pixel_hash(picture)] for picture in shown.pictures]
            return replace(person.reply(pictures, shown.index, shown.position), pause_s=pause_s)

        async with places:
            await take_part(url, connector, respond, diary)

    async with aiohttp.TCPConnector(limit=CONCURRENT) as connector:
        await asyncio.gather(*(one(number) for number in range(participants)))
    return diary


def simulate_directly(
    sessions: Sessions,
    stimuli: StimulusSet,
    model: AnswerModel,
    participants: int,
    *,
    start: float,
    seed: int = 0,
) -> int:
    """Run sessions straight on the database, in simulated time from `start`; returns votes."""
    by_id = {entry.stimulus: entry for entry in stimuli.stimuli}
    config, number_of_votes, now = sessions.config, 0, start
    real_clock, sessions.clock = sessions.clock, lambda: now
    try:
        for number in range(participants):
            name = f"{seed}-{number}"
            person = SimulatedPerson(name, model)
            identity = secrets.token_hex(12)
            now += 20.0
            sessions.begin(identity, language=config.languages[0])
            if config.plates.count:
                now += 15.0
                passed = (
                    model.passes_attention(name, f"plate-{k}") for k in range(config.plates.count)
                )
                sessions.submit_plates(identity, sum(passed))
                row = sessions.find(identity)
                if row is not None and row.stage == "screened":
                    continue
            now += 20.0
            sessions.start_trials(identity)
            trial = sessions.open_trial(identity)
            while trial is not None:
                shown = [by_id[picture] for picture in sessions.pictures_of(identity, trial.trial)]
                position = (trial.number - 1) / max(trial.total - 1, 1)
                reply = person.reply(shown, trial.trial, position)
                now += 0.5 + reply.rt_ms / 1000
                page = {"rt_ms": reply.rt_ms}
                ballot = Ballot(str(uuid.uuid4()), trial.trial, reply.first, page)
                _, trial = sessions.vote(identity, ballot)
                number_of_votes += 1
            if config.questions:
                now += 15.0
                sessions.submit_answers(
                    identity, {question.id: "" for question in config.questions}
                )
    finally:
        sessions.clock = real_clock
    return number_of_votes


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
        options = SurveyOptions(config=arguments.config, database_url=arguments.database_url)
        with closing(open_survey(options)) as survey:
            number = simulate_directly(
                survey.sessions,
                survey.stimuli,
                model,
                arguments.participants,
                start=survey.sessions.clock() - 180.0 * arguments.participants,
                seed=arguments.seed,
            )
    except (StudyError, ValueError) as error:
        print(f"study.simulate: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.participants} simulated participants, {number} votes stored")
    return 0


def _run_over_http(arguments: argparse.Namespace, stimuli: StimulusSet, model: AnswerModel) -> int:
    given = (arguments.url, stimuli, model, arguments.participants, arguments.pause)
    try:
        diary = asyncio.run(simulate_over_http(*given))
    except (RobotRefusedError, KeyError) as error:
        print(f"study.simulate: the survey refused a participant: {error}", file=sys.stderr)
        return 1
    print(f"{diary.finished} simulated participants, {len(diary.acknowledged)} votes acknowledged")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
