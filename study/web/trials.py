"""The trials: the page, its JSON calls and the pictures."""

from __future__ import annotations

from asyncio import wrap_future
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, create_model
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from study.records import SENT_BY_PAGE
from study.store.database import Refusal
from study.store.queries import Ballot, OpenTrial
from study.web.survey import Survey, TokenError
from study.web.visitor import Visit, page_route

_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
Handler = Callable[[Request], Awaitable[Response]]
ANSWERS = {"single": ("realistic", "not-realistic"), "pairs": ("left", "right")}
"""What the page sends; the first is True."""


def _sent(entry: Any) -> Any:
    low, high = entry.column.bounds
    kind = Annotated[entry.type, Field(ge=low, le=high)]
    return (kind | None if entry.optional else kind, entry.default)


VOTE: TypeAdapter[Any] = TypeAdapter(
    create_model(
        "Vote",
        __config__=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False),
        id=Annotated[str, Field(pattern=_UUID)],  # made by the page, the same when repeated
        token=Annotated[str, Field(max_length=1024)],
        answer=Literal["realistic", "not-realistic", "left", "right"],
        **{entry.name: _sent(entry) for entry in SENT_BY_PAGE},
    )
)
"""The body of a vote."""


def trial_routes(survey: Survey) -> list[Route]:
    """Routes of the trials of one survey. What every answer takes waits for no other page."""
    tokens, sessions, config = survey.tokens, survey.sessions, survey.config
    is_single = config.task == "single"
    first, second = ANSWERS[config.task]

    def page(visit: Visit) -> Response:
        person = visit.person
        if person is None or person.stage != "trials":
            return visit.redirect(visit.here)
        labels = [(first, "answer_real"), (second, "answer_fake")]
        if is_single and not person.real_on_left:
            labels.reverse()
        return visit.render(
            "trials.html",
            buttons=[(*label, key) for label, key in zip(labels, "FJ", strict=True)],
            settings={
                "task": config.task,
                "mask-ms": config.mask_ms,
                "blank-ms": config.blank_ms,
                "feedback": int(config.practice.feedback),
            },
        )

    async def current(request: Request) -> Response:
        participant = Visit(survey, request).participant
        if participant is None:
            return _refuse(401, "session")
        if not survey.requests.allows(participant):
            return _refuse(429, "rate")
        trial = await wrap_future(sessions.open_trial_soon(participant))
        return JSONResponse({"trial": show(participant, trial)})

    async def vote(request: Request) -> Response:
        participant = Visit(survey, request).participant
        if participant is None:
            return _refuse(401, "session")
        body = VOTE.validate_json(await request.body())
        owner, trial = tokens.read("trial", body.token, str, int)
        if owner != participant:
            return _refuse(403, "token")
        if body.answer not in (first, second):
            return _refuse(422, "malformed")
        if not survey.requests.allows(participant):
            return _refuse(429, "rate")
        page = {entry.name: getattr(body, entry.name) for entry in SENT_BY_PAGE}
        ballot = Ballot(body.id, trial, body.answer == first, page)
        correct, following = await wrap_future(sessions.vote_soon(participant, ballot))
        return JSONResponse(
            {
                "saved": True,
                "correct": correct if config.practice.feedback else None,
                "trial": show(participant, following),
            }
        )

    async def picture(request: Request) -> Response:
        token = request.path_params["token"]
        owner, trial, place = tokens.read("picture", token, str, int, int)
        if owner != Visit(survey, request).participant:
            return _refuse(403, "token")
        if not survey.requests.allows(f"picture-{owner}"):
            return _refuse(429, "rate")
        if not sessions.is_known(owner):
            await run_in_threadpool(sessions.pictures_of, owner, trial)
        shown = sessions.pictures_of(owner, trial)
        if not 0 <= place < len(shown):
            return _refuse(404, "picture")
        stimuli = survey.stimuli
        known = stimuli.in_memory(shown[place])
        data = (
            stimuli.read(shown[place])
            if known
            else await run_in_threadpool(stimuli.read, shown[place])
        )
        return Response(data, media_type=stimuli.media_type)

    def show(participant: str, trial: OpenTrial | None) -> dict[str, Any] | None:
        """What the page learns about a trial: nothing that tells its kind or method."""
        if trial is None:
            return None

        def urls(index: int) -> list[str]:
            signed = [tokens.sign("picture", participant, index, k) for k in range(2 - is_single)]
            return [f"{survey.options.base_path}/picture/{token}" for token in signed]

        return {
            "token": tokens.sign("trial", participant, trial.trial),
            "index": trial.trial,
            "practice": trial.practice,
            "number": trial.number,
            "total": trial.total,
            "break": trial.is_break,
            "exposure": trial.exposure_ms or 0,
            "pictures": urls(trial.trial),
            "following": [] if trial.following is None else urls(trial.following),
        }

    return [
        page_route(survey, "/trials", page),
        Route("/api/trial", _refusing(current)),
        Route("/api/vote", _refusing(vote), methods=["POST"]),
        Route("/picture/{token}", _refusing(picture)),
    ]


def _refusing(handler: Handler) -> Handler:
    """A handler whose errors become answers that the page can read."""

    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except Refusal as refusal:
            return _refuse(409, refusal.reason)
        except TokenError as error:
            return _refuse(403, "expired" if error.expired else "token")
        except ValidationError:
            return _refuse(422, "malformed")

    return endpoint


def _refuse(status: int, reason: str) -> JSONResponse:
    headers = {"retry-after": "1"} if status == 429 else None
    return JSONResponse({"error": reason}, status, headers)
