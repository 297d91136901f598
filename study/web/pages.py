"""The pages around the trials: consent, plates, instructions, questions, thanks, withdrawal."""

from __future__ import annotations

import secrets
import unicodedata
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import FileResponse, Response

from study.schema import pick
from study.stimuli.plates import count_correct, plate_of
from study.store.sessions import Refusal
from study.web.survey import Survey
from study.web.tokens import TokenError
from study.web.visitor import (
    PATHS,
    choose_phrases,
    find_person,
    message,
    redirect,
    render,
    set_session,
)

Field = Annotated[str, Form(max_length=4000)]
MAX_ANSWER = 2000
_STATIC = Path(__file__).parent / "static"
_STATIC_TYPES = {
    "study.css": "text/css",
    "trials.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


def make_pages(survey: Survey) -> APIRouter:
    """Routes of the pages of one survey."""
    router = APIRouter()

    @router.get("/")
    def consent(request: Request) -> Response:
        person = find_person(survey, request)
        external = request.query_params.get("PROLIFIC_PID", "")
        external_hash = survey.tokens.hash_identifier(external) if external else ""
        if person is not None and (not external or person.external_hash == external_hash):
            return redirect(survey, PATHS[person.stage])
        phrases = choose_phrases(survey, request)
        if external:
            known = survey.sessions.find_recruit(external_hash)
            if known is not None:  # the same recruit on another browser goes on there
                response: Response = redirect(survey, "/")
                set_session(survey, request, response, known)
                return response
        refused = survey.sessions.admission()
        if refused is not None:
            return message(survey, phrases, refused, status=403)
        entry = survey.tokens.sign("entry", secrets.token_hex(12), phrases.language, external_hash)
        return _consent_page(survey, request, entry)

    @router.post("/consent")
    def give_consent(request: Request, token: Field = "", agree: Field = "") -> Response:
        phrases = choose_phrases(survey, request)
        try:
            participant, language, external = survey.tokens.read("entry", token, str, str, str)
        except TokenError as error:
            return _bad_token(survey, request, error)
        if agree != "yes":
            return _consent_page(survey, request, token, status=400, problem="consent_needed")
        if survey.sessions.find(participant) is None and not survey.entries.allows("all"):
            return message(survey, phrases, "limit", status=429)
        try:
            survey.sessions.begin(participant, language=language, external_hash=external or None)
        except Refusal as refusal:
            return message(survey, phrases, refusal.reason, status=403)
        response = redirect(survey, "/")
        set_session(survey, request, response, participant)
        return response

    @router.post("/decline")
    def decline(request: Request, token: Field = "") -> Response:
        phrases = choose_phrases(survey, request)
        try:
            _, _, external = survey.tokens.read("entry", token, str, str, str)
        except TokenError as error:
            return _bad_token(survey, request, error)
        code = survey.config.completion.no_consent
        return _ending(survey, phrases, "declined", code, bool(external), None)

    @router.get("/plates")
    def plates(request: Request) -> Response:
        person = find_person(survey, request)
        if person is None or person.stage != "plates":
            return _elsewhere(survey, person)
        pictures = [
            survey.tokens.sign("plate", person.participant, index)
            for index in range(survey.config.plates.count)
        ]
        return _step_page(survey, request, person, "plates.html", pictures=pictures)

    @router.get("/plate/{token}")
    def plate(request: Request, token: str) -> Response:
        try:
            participant, index = survey.tokens.read("plate", token, str, int)
        except TokenError as error:
            raise HTTPException(403, "This picture's address is not valid.") from error
        person = find_person(survey, request)
        if person is None or person.participant != participant:
            raise HTTPException(403, "This picture belongs to another session.")
        return Response(plate_of(person.seed, index), media_type="image/png")

    @router.post("/plates")
    def submit_plates(
        request: Request,
        token: Field = "",
        plate: Annotated[list[str] | None, Form(max_length=12)] = None,
    ) -> Response:
        def step(person: Any) -> None:
            answers = [entry[:8] for entry in plate or []][: survey.config.plates.count]
            answers += [""] * (survey.config.plates.count - len(answers))
            correct = count_correct(person.seed, answers)
            survey.sessions.submit_plates(person.participant, correct)

        return _take_step(survey, request, token, "plates", step)

    @router.get("/instructions")
    def instructions(request: Request) -> Response:
        person = find_person(survey, request)
        if person is None or person.stage != "instructions":
            return _elsewhere(survey, person)
        config = survey.config
        return _step_page(
            survey,
            request,
            person,
            "instructions.html",
            total=config.trials + config.attention.trials,
            practice=config.practice.trials,
            feedback=config.practice.feedback,
            exposure=config.exposure_ms is not None,
            left="answer_real" if person.real_on_left else "answer_fake",
            right="answer_fake" if person.real_on_left else "answer_real",
        )

    @router.post("/instructions")
    def start(request: Request, token: Field = "") -> Response:
        return _take_step(
            survey,
            request,
            token,
            "instructions",
            lambda person: survey.sessions.start_trials(person.participant),
        )

    @router.get("/questions")
    def questions(request: Request) -> Response:
        person = find_person(survey, request)
        if person is None or person.stage != "questions":
            return _elsewhere(survey, person)
        return _questions_page(survey, request, person)

    @router.post("/questions")
    async def submit_questions(request: Request) -> Response:
        from fastapi.concurrency import run_in_threadpool

        form = await request.form(max_files=0, max_fields=100)
        fields = {key: value for key, value in form.items() if isinstance(value, str)}
        return await run_in_threadpool(_submit_questions, survey, request, fields)

    @router.get("/thanks")
    def thanks(request: Request) -> Response:
        person = find_person(survey, request)
        if person is None or person.stage not in {"done", "screened"}:
            return _elsewhere(survey, person)
        completion = survey.config.completion
        codes = {
            "completed": completion.completed,
            "failed-attention": completion.failed_attention or completion.completed,
            "screened-out": completion.screened_out,
        }
        phrases = choose_phrases(survey, request, person)
        name = "screened" if person.stage == "screened" else "thanks"
        recruited = person.source == "prolific"
        return _ending(survey, phrases, name, codes[person.outcome], recruited, person)

    @router.get("/withdraw")
    def ask_withdraw(request: Request) -> Response:
        person = find_person(survey, request)
        if person is None or person.stage == "withdrawn":
            return _elsewhere(survey, person)
        closed = survey.sessions.is_closed()
        return _step_page(survey, request, person, "withdraw.html", stage="withdraw", closed=closed)

    @router.post("/withdraw")
    def withdraw(request: Request, token: Field = "") -> Response:
        return _take_step(
            survey,
            request,
            token,
            "withdraw",
            lambda person: survey.sessions.withdraw(person.participant),
        )

    @router.get("/withdrawn")
    def withdrawn(request: Request) -> Response:
        person = find_person(survey, request)
        if person is None or person.stage != "withdrawn":
            return _elsewhere(survey, person)
        return message(survey, choose_phrases(survey, request, person), "withdrawn")

    @router.get("/static/{name}")
    def static(name: str) -> FileResponse:
        if name not in _STATIC_TYPES:
            raise HTTPException(404, "There is no such file.")
        return FileResponse(_STATIC / name, media_type=_STATIC_TYPES[name])

    return router


def _consent_page(
    survey: Survey, request: Request, entry: str, *, status: int = 200, problem: str | None = None
) -> Response:
    query = {key: value for key, value in request.query_params.items() if key != "lang"}
    languages = [
        (code, phrases("language"), "?" + urlencode({**query, "lang": code}))
        for code, phrases in survey.phrases.items()
    ]
    return render(
        survey,
        "consent.html",
        choose_phrases(survey, request),
        status=status,
        token=entry,
        problem=problem,
        version=survey.config.consent.version,
        languages=languages if len(languages) > 1 and status == 200 else [],
    )


def _step_page(
    survey: Survey,
    request: Request,
    person: Any,
    template: str,
    *,
    stage: str | None = None,
    status: int = 200,
    **values: Any,
) -> Response:
    """A page with one form, whose token allows exactly this step of this participant."""
    return render(
        survey,
        template,
        choose_phrases(survey, request, person),
        status=status,
        person=person,
        token=survey.tokens.sign("form", person.participant, stage or person.stage),
        **values,
    )


def _take_step(survey: Survey, request: Request, token: str, stage: str, step: Any) -> Response:
    """Check a form's token against the session, do the step, go where it leads."""
    person = find_person(survey, request)
    if person is None:
        phrases = choose_phrases(survey, request)
        return message(survey, phrases, "ended", status=403, onward="/", link="start_over")
    phrases = choose_phrases(survey, request, person)
    try:
        if survey.tokens.read("form", token, str, str) != [person.participant, stage]:
            return message(survey, phrases, "invalid", status=403, onward=PATHS[person.stage])
    except TokenError as error:
        return _bad_token(survey, request, error, person)
    if not survey.requests.allows(person.participant):
        return message(survey, phrases, "limit", status=429, onward=PATHS[person.stage])
    try:
        step(person)
    except Refusal as refusal:
        current = survey.sessions.find(person.participant)
        onward = PATHS[current.stage] if current is not None else "/"
        if refusal.reason == "closed":
            return message(survey, phrases, "closed", status=403, onward=onward, person=person)
        return message(survey, phrases, "repeated", status=409, onward=onward, person=person)
    return redirect(survey, "/")


def _bad_token(
    survey: Survey, request: Request, error: TokenError, person: Any | None = None
) -> Response:
    phrases = choose_phrases(survey, request, person)
    onward = "/" if person is None else PATHS[person.stage]
    if error.expired:
        return message(survey, phrases, "expired", status=403, onward=onward)
    return message(survey, phrases, "invalid", status=403, onward=onward)


def _elsewhere(survey: Survey, person: Any | None) -> Response:
    return redirect(survey, "/" if person is None else PATHS[person.stage])


def _questions_page(
    survey: Survey,
    request: Request,
    person: Any,
    *,
    status: int = 200,
    given: dict[str, str] | None = None,
) -> Response:
    language = person.language
    shown = [
        {
            "id": question.id,
            "text": pick(question.text, language),
            "options": [(str(n), pick(o, language)) for n, o in enumerate(question.options)],
            "required": question.required,
            "given": (given or {}).get(question.id, ""),
        }
        for question in survey.config.questions
    ]
    return _step_page(survey, request, person, "questions.html", status=status, questions=shown)


def _submit_questions(survey: Survey, request: Request, fields: dict[str, str]) -> Response:
    answers: dict[str, str] = {}
    complete = True
    for question in survey.config.questions:
        given = _clean(fields.get(question.id, ""))
        if question.options:  # stored in the study's first language, whatever was shown
            chosen = int(given) if given.isdecimal() and len(given) < 4 else -1
            inside = 0 <= chosen < len(question.options)
            first = survey.config.languages[0]
            given = pick(question.options[chosen], first) if inside else ""
        complete = complete and bool(given or not question.required)
        answers[question.id] = given
    person = find_person(survey, request)
    if not complete and person is not None and person.stage == "questions":
        return _questions_page(survey, request, person, status=400, given=fields)
    return _take_step(
        survey,
        request,
        fields.get("token", ""),
        "questions",
        lambda known: survey.sessions.submit_answers(known.participant, answers),
    )


def _clean(text: str) -> str:
    """Printable text of bounded length (no control characters, no lone surrogates)."""
    kept = (c for c in text[:MAX_ANSWER] if c == "\n" or unicodedata.category(c)[0] != "C")
    return "".join(kept).strip()


def _ending(
    survey: Survey, phrases: Any, name: str, code: str | None, recruited: bool, person: Any
) -> Response:
    target = None
    if recruited and code:
        target = f"{survey.config.completion.redirect}?{urlencode({'cc': code})}"
    return render(
        survey, "thanks.html", phrases, person=person, name=name, code=code, target=target
    )
