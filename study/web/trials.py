"""The trials: the page, its JSON calls and the pictures."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict
from pydantic import Field as Limit

from study.store.ballots import Ballot, OpenTrial
from study.store.sessions import Refusal
from study.web.survey import Survey
from study.web.tokens import TokenError
from study.web.visitor import PATHS, choose_phrases, find_person, participant_id, redirect, render

_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_Pixels = Annotated[int, Limit(ge=0, le=100_000)]
PAGE_TEXTS = (
    "loading", "saving_failed", "loading_failed", "saved_again", "feedback_right",
    "feedback_wrong", "feedback_real", "feedback_fake", "break_text", "progress",
    "practice_progress", "picture_alt", "practice_alt", "finished", "stopped",
    "break_heading", "practice_done_heading", "practice_done_text",
)  # fmt: skip


class Vote(BaseModel):
    """The body of a vote. id: made by the page, the same in every repetition."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    id: Annotated[str, Limit(pattern=_UUID)]
    token: Annotated[str, Limit(max_length=1024)]
    answer: Literal["realistic", "not-realistic"]
    rt_ms: Annotated[float, Limit(ge=0, le=86_400_000)] | None = None
    focus_lost: Annotated[int, Limit(ge=0, le=100_000)] = 0
    viewport_width: _Pixels | None = None
    viewport_height: _Pixels | None = None
    pixel_ratio: Annotated[float, Limit(gt=0, le=100)] | None = None


def make_trial_routes(survey: Survey) -> APIRouter:
    """Routes of the trials of one survey."""
    router = APIRouter()
    tokens, sessions = survey.tokens, survey.sessions

    @router.get("/trials")
    def page(request: Request) -> Response:
        person = find_person(survey, request)
        if person is None or person.stage != "trials":
            return redirect(survey, "/" if person is None else PATHS[person.stage])
        phrases = choose_phrases(survey, request, person)
        order = ["realistic", "not-realistic"] if person.real_on_left else []
        return render(
            survey,
            "trials.html",
            phrases,
            person=person,
            buttons=[
                (answer, "answer_real" if answer == "realistic" else "answer_fake", key)
                for answer, key in zip(order or ["not-realistic", "realistic"], "FJ", strict=True)
            ],
            settings={
                "exposure-ms": survey.config.exposure_ms or 0,
                "mask-ms": survey.config.mask_ms,
                "blank-ms": survey.config.blank_ms,
                "feedback": int(survey.config.practice.feedback),
            },
            texts={name.replace("_", "-"): phrases(name) for name in PAGE_TEXTS},
        )

    @router.get("/api/trial")
    def current(request: Request) -> JSONResponse:
        participant = participant_id(survey, request)
        if participant is None:
            return _refuse(401, "session")
        if not survey.requests.allows(participant):
            return _refuse(429, "rate")
        try:
            return JSONResponse({"trial": show(participant, sessions.open_trial(participant))})
        except Refusal as refusal:
            return _refuse(409, refusal.reason)

    @router.post("/api/vote")
    def vote(request: Request, body: Vote) -> JSONResponse:
        participant = participant_id(survey, request)
        if participant is None:
            return _refuse(401, "session")
        try:
            owner, trial = tokens.read("trial", body.token, str, int)
        except TokenError as error:
            return _refuse(403, "expired" if error.expired else "token")
        if owner != participant:
            return _refuse(403, "token")
        if not survey.requests.allows(participant):
            return _refuse(429, "rate")
        ballot = Ballot(
            vote_id=body.id,
            trial=trial,
            answer=body.answer == "realistic",
            rt_ms=body.rt_ms,
            focus_lost=body.focus_lost,
            viewport_width=body.viewport_width,
            viewport_height=body.viewport_height,
            pixel_ratio=body.pixel_ratio,
        )
        try:
            receipt, following = sessions.vote(participant, ballot)
        except Refusal as refusal:
            return _refuse(409, refusal.reason)
        return JSONResponse(
            {
                "saved": True,
                "correct": receipt.correct if survey.config.practice.feedback else None,
                "trial": show(participant, following),
            }
        )

    @router.get("/picture/{token}")
    async def picture(request: Request, token: str) -> Response:
        try:
            owner, trial = tokens.read("picture", token, str, int)
        except TokenError as error:
            return _refuse(403, "expired" if error.expired else "token")
        if owner != participant_id(survey, request):
            return _refuse(403, "token")
        if not survey.requests.allows(f"picture-{owner}"):
            return _refuse(429, "rate")
        if sessions.known_plan(owner) is None:
            await run_in_threadpool(sessions.stimulus_of, owner, trial)
        stimulus = sessions.stimulus_of(owner, trial)
        if stimulus is None:
            return _refuse(404, "picture")
        return Response(survey.stimuli.read(stimulus), media_type=survey.stimuli.media_type)

    def show(participant: str, trial: OpenTrial | None) -> dict[str, Any] | None:
        """What the page learns about a trial: nothing that tells its kind or method."""
        if trial is None:
            return None

        def url(index: int) -> str:
            return f"{survey.base_path}/picture/{tokens.sign('picture', participant, index)}"

        return {
            "token": tokens.sign("trial", participant, trial.trial),
            "index": trial.trial,
            "practice": trial.practice,
            "number": trial.number,
            "total": trial.total,
            "break": trial.is_break,
            "picture": url(trial.trial),
            "following": None if trial.following is None else url(trial.following),
        }

    return router


def _refuse(status: int, reason: str) -> JSONResponse:
    headers = {"retry-after": "1"} if status == 429 else None
    return JSONResponse({"error": reason}, status, headers)
