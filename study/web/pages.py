"""The pages around the trials: consent, plates, instructions, questions, thanks, withdrawal."""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from study.settings import Privacy, pick
from study.stimuli.plates import count_correct, plate_of
from study.store.erasure import participant_of_code
from study.store.sessions import Refusal
from study.web.survey import Survey
from study.web.tokens import TokenError
from study.web.visitor import (
    PATHS,
    Fields,
    choose_phrases,
    find_person,
    form_route,
    message,
    redirect,
    render,
    set_session,
)

MAX_ANSWER = 2000
_STATIC = Path(__file__).parent / "static"
_STATIC_TYPES = {
    "study.css": "text/css",
    "trials.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


def page_routes(survey: Survey) -> list[Route]:
    """Routes of the pages of one survey."""
    return [
        *_entrance(survey),
        *_steps(survey),
        *_withdrawal(survey),
        Route("/static/{name}", _static_file),
    ]


def _static_file(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _STATIC_TYPES:
        raise HTTPException(404)
    return FileResponse(_STATIC / name, media_type=_STATIC_TYPES[name])


def _entrance(survey: Survey) -> list[Route]:
    """Consent, or no consent."""

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

    def give_consent(request: Request, fields: Fields) -> Response:
        phrases = choose_phrases(survey, request)
        try:
            participant, language, external = survey.tokens.read(
                "entry", fields["token"], str, str, str
            )
        except TokenError as error:
            return _bad_token(survey, request, error)
        if fields["agree"] != "yes":
            return _consent_page(
                survey, request, fields["token"], status=400, problem="consent_needed"
            )
        if survey.sessions.find(participant) is None and not survey.entries.allows("all"):
            return message(survey, phrases, "limit", status=429)
        try:
            survey.sessions.begin(participant, language=language, external_hash=external or None)
        except Refusal as refusal:
            return message(survey, phrases, refusal.reason, status=403)
        response = redirect(survey, "/")
        set_session(survey, request, response, participant)
        return response

    def decline(request: Request, fields: Fields) -> Response:
        try:
            _, _, external = survey.tokens.read("entry", fields["token"], str, str, str)
        except TokenError as error:
            return _bad_token(survey, request, error)
        code = survey.config.completion.no_consent
        phrases = choose_phrases(survey, request)
        return _ending(survey, phrases, "declined", code, bool(external), None)

    return [
        Route("/", consent),
        form_route("/consent", give_consent),
        form_route("/decline", decline),
    ]


def _steps(survey: Survey) -> list[Route]:
    """What comes before and after the trials, each a page with one form."""
    config, sessions = survey.config, survey.sessions

    def plates(request: Request) -> Response:
        def show(person: Any) -> Mapping[str, Any]:
            sign = survey.tokens.sign
            numbers = range(config.plates.count)
            return {"pictures": [sign("plate", person.participant, index) for index in numbers]}

        return _step_page(survey, request, "plates", show)

    def plate(request: Request) -> Response:
        try:
            token = request.path_params["token"]
            participant, index = survey.tokens.read("plate", token, str, int)
        except TokenError as error:
            raise HTTPException(403, "This picture's address is not valid.") from error
        person = find_person(survey, request)
        if person is None or person.participant != participant:
            raise HTTPException(403, "This picture belongs to another session.")
        return Response(plate_of(person.seed, index), media_type="image/png")

    def submit_plates(request: Request, fields: Fields) -> Response:
        def step(person: Any) -> None:
            answers = [entry[:8] for entry in fields.every("plate")][: config.plates.count]
            answers += [""] * (config.plates.count - len(answers))
            sessions.submit_plates(person.participant, count_correct(person.seed, answers))

        return _take_step(survey, request, fields, "plates", step)

    def instructions(request: Request) -> Response:
        def show(person: Any) -> Mapping[str, Any]:
            labels = ["answer_real", "answer_fake"]
            is_turned = config.task == "single" and not person.real_on_left
            return {
                "total": config.trials + config.attention.trials,
                "practice": config.practice.trials,
                "feedback": config.practice.feedback,
                "exposure": config.exposure_ms is not None,
                "labels": labels[::-1] if is_turned else labels,
            }

        return _step_page(survey, request, "instructions", show)

    def start(request: Request, fields: Fields) -> Response:
        def step(person: Any) -> None:
            sessions.start_trials(person.participant)

        return _take_step(survey, request, fields, "instructions", step)

    def questions(request: Request) -> Response:
        return _step_page(
            survey, request, "questions", lambda person: _questions(survey, person, {})
        )

    def submit_questions(request: Request, fields: Fields) -> Response:
        return _submit_questions(survey, request, fields)

    def thanks(request: Request) -> Response:
        person = find_person(survey, request)
        if person is None or person.stage not in {"done", "screened"}:
            return _elsewhere(survey, person)
        completion = config.completion
        codes = {
            "completed": completion.completed,
            "failed-attention": completion.failed_attention or completion.completed,
            "screened-out": completion.screened_out,
        }
        phrases = choose_phrases(survey, request, person)
        name = "screened" if person.stage == "screened" else "thanks"
        recruited = person.source == "prolific"
        return _ending(survey, phrases, name, codes[person.outcome], recruited, person)

    return [
        Route("/plates", plates),
        Route("/plate/{token}", plate),
        form_route("/plates", submit_plates),
        Route("/instructions", instructions),
        form_route("/instructions", start),
        Route("/questions", questions),
        form_route("/questions", submit_questions),
        Route("/thanks", thanks),
    ]


def _withdrawal(survey: Survey) -> list[Route]:
    """Deleting one's answers: with the session's button, or with the code shown at the end."""
    sessions = survey.sessions

    def page(request: Request, *, status: int = 200, problem: str = "") -> Response:
        person = find_person(survey, request)
        is_here = person is not None and person.stage != "withdrawn"
        return render(
            survey,
            "withdraw.html",
            choose_phrases(survey, request, person),
            status=status,
            person=person,
            token=_form_token(survey, person, "withdraw") if is_here else "",
            closed=sessions.is_closed(),
            problem=problem,
        )

    def ask_withdraw(request: Request) -> Response:
        return page(request)

    def withdraw(request: Request, fields: Fields) -> Response:
        code = fields["code"]
        if not code:
            return _take_step(
                survey, request, fields, "withdraw", lambda who: sessions.withdraw(who.participant)
            )
        phrases = choose_phrases(survey, request)
        if not survey.logins.allows("withdraw"):
            return message(survey, phrases, "limit", status=429, onward="/withdraw")
        participant = participant_of_code(survey.database, code, survey.tokens.withdrawal_code)
        if participant is None:
            return page(request, status=404, problem="withdraw_unknown")
        try:
            sessions.withdraw(participant)
        except Refusal as refusal:
            status = 403 if refusal.reason == "closed" else 409
            name = "closed" if refusal.reason == "closed" else "repeated"
            return message(survey, phrases, name, status=status)
        return message(survey, phrases, "withdrawn")

    def withdrawn(request: Request) -> Response:
        person = find_person(survey, request)
        if person is None or person.stage != "withdrawn":
            return _elsewhere(survey, person)
        return message(survey, choose_phrases(survey, request, person), "withdrawn")

    return [
        Route("/withdraw", ask_withdraw),
        form_route("/withdraw", withdraw),
        Route("/withdrawn", withdrawn),
    ]


def _consent_page(
    survey: Survey, request: Request, entry: str, *, status: int = 200, problem: str | None = None
) -> Response:
    query = {key: value for key, value in request.query_params.items() if key != "lang"}
    languages = [
        (code, phrases("language"), "?" + urlencode({**query, "lang": code}))
        for code, phrases in survey.phrases.items()
    ]
    phrases = choose_phrases(survey, request)
    return render(
        survey,
        "consent.html",
        phrases,
        status=status,
        token=entry,
        problem=problem,
        version=survey.config.consent.version,
        privacy=_privacy_notice(survey.config.privacy, phrases.language),
        until=survey.config.privacy.retention_until,
        languages=languages if len(languages) > 1 and status == 200 else [],
    )


def _privacy_notice(privacy: Privacy, language: str) -> list[tuple[str, str]]:
    """Headings (by their text's name) and texts of the notice, as far as it is filled in."""
    named = [(f"privacy_{name}", text) for name, text in privacy if isinstance(text, dict)]
    return [(name, pick(text, language)) for name, text in named if text]


def _form_token(survey: Survey, person: Any, stage: str) -> str:
    """A token that allows exactly one step of one participant."""
    return survey.tokens.sign("form", person.participant, stage)


def _step_page(
    survey: Survey,
    request: Request,
    stage: str,
    show: Callable[[Any], Mapping[str, Any]],
    *,
    status: int = 200,
) -> Response:
    """The page of a stage (who is not there is sent where they are)."""
    person = find_person(survey, request)
    if person is None or person.stage != stage:
        return _elsewhere(survey, person)
    return render(
        survey,
        f"{stage}.html",
        choose_phrases(survey, request, person),
        status=status,
        person=person,
        token=_form_token(survey, person, stage),
        **show(person),
    )


def _take_step(
    survey: Survey, request: Request, fields: Fields, stage: str, step: Callable[[Any], None]
) -> Response:
    """Check a form's token against the session, do the step, go where it leads."""
    person = find_person(survey, request)
    phrases = choose_phrases(survey, request, person)
    if person is None:
        return message(survey, phrases, "ended", status=403, onward="/", link="start_over")
    here = PATHS[person.stage]
    try:
        if survey.tokens.read("form", fields["token"], str, str) != [person.participant, stage]:
            return message(survey, phrases, "invalid", status=403, onward=here)
    except TokenError as error:
        return _bad_token(survey, request, error, person)
    if not survey.requests.allows(person.participant):
        return message(survey, phrases, "limit", status=429, onward=here)
    try:
        step(person)
    except Refusal as refusal:
        current = survey.sessions.find(person.participant)
        onward = PATHS[current.stage] if current is not None else "/"
        name, status = ("closed", 403) if refusal.reason == "closed" else ("repeated", 409)
        return message(survey, phrases, name, status=status, onward=onward, person=person)
    return redirect(survey, "/")


def _bad_token(
    survey: Survey, request: Request, error: TokenError, person: Any | None = None
) -> Response:
    phrases = choose_phrases(survey, request, person)
    onward = "/" if person is None else PATHS[person.stage]
    name = "expired" if error.expired else "invalid"
    return message(survey, phrases, name, status=403, onward=onward)


def _elsewhere(survey: Survey, person: Any | None) -> Response:
    return redirect(survey, "/" if person is None else PATHS[person.stage])


def _questions(survey: Survey, person: Any, given: Mapping[str, str]) -> dict[str, Any]:
    language = person.language
    shown = [
        {
            "id": question.id,
            "text": pick(question.text, language),
            "options": [(str(n), pick(o, language)) for n, o in enumerate(question.options)],
            "required": question.required,
            "given": given.get(question.id, ""),
        }
        for question in survey.config.questions
    ]
    return {"questions": shown}


def _submit_questions(survey: Survey, request: Request, fields: Fields) -> Response:
    answers: dict[str, str] = {}
    for question in survey.config.questions:
        given = _clean(fields[question.id])
        if question.options:  # stored in the study's first language, whatever was shown
            chosen = int(given) if given.isdecimal() and len(given) < 4 else -1
            inside = 0 <= chosen < len(question.options)
            first = survey.config.languages[0]
            given = pick(question.options[chosen], first) if inside else ""
        answers[question.id] = given
    if any(q.required and not answers[q.id] for q in survey.config.questions):
        return _step_page(
            survey,
            request,
            "questions",
            lambda person: _questions(survey, person, fields),
            status=400,
        )
    return _take_step(
        survey,
        request,
        fields,
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
    own = survey.tokens.withdrawal_code(person.participant) if person is not None else ""
    return render(
        survey,
        "thanks.html",
        phrases,
        person=person,
        name=name,
        code=code,
        target=target,
        withdrawal_code=own,
    )
