"""The pages around the trials: consent, plates, instructions, questions, thanks, withdrawal."""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from study.settings import Privacy, pick
from study.stimuli.plates import count_correct, plate_of
from study.store.database import Refusal
from study.store.registry import participant_of_code
from study.web.phrases import TEXTS
from study.web.survey import Survey, TokenError
from study.web.visitor import PATHS, Fields, Visit, form_route, page_route

MAX_ANSWER = 2000
_STATIC = TEXTS.with_name("static")
_STATIC_TYPES = {
    "study.css": "text/css",
    "trials.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


def page_routes(survey: Survey) -> list[Route]:
    """Routes of the pages of one survey."""
    pages = {
        "/": consent,
        "/plates": plates,
        "/plate/{token}": plate,
        "/instructions": instructions,
        "/questions": questions,
        "/thanks": thanks,
        "/withdraw": withdrawal,
        "/withdrawn": withdrawn,
    }
    forms = {
        "/consent": give_consent,
        "/decline": decline,
        "/plates": submit_plates,
        "/instructions": start,
        "/questions": submit_questions,
        "/withdraw": withdraw,
    }
    return [
        *(page_route(survey, path, handler) for path, handler in pages.items()),
        *(form_route(survey, path, handler) for path, handler in forms.items()),
        Route("/static/{name}", _static_file),
    ]


def _static_file(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _STATIC_TYPES:
        raise HTTPException(404)
    return FileResponse(_STATIC / name, media_type=_STATIC_TYPES[name])


# -- consent, or no consent ---------------------------------------------------------------


def consent(visit: Visit) -> Response:
    """Who has a session goes on where they were, the same recruit on another browser, too."""
    survey, person = visit.survey, visit.person
    external = visit.request.query_params.get("PROLIFIC_PID", "")
    external_hash = survey.tokens.hash_identifier(external) if external else ""
    if person is not None and (not external or person.external_hash == external_hash):
        return visit.redirect(visit.here)
    visit = visit.as_stranger()
    known = survey.sessions.find_recruit(external_hash) if external else None
    if known is not None:
        return visit.enter(known)
    refused = survey.sessions.admission()
    if refused is not None:
        return visit.message(refused, status=403)
    identity = secrets.token_hex(12)
    entry = survey.tokens.sign("entry", identity, visit.phrases.language, external_hash)
    return _consent_page(visit, entry)


def give_consent(visit: Visit, fields: Fields) -> Response:
    survey, visit = visit.survey, visit.as_stranger()
    try:
        participant, language, external = _entry(visit, fields)
    except TokenError as error:
        return visit.refuse_token(error)
    if fields.get("agree", "") != "yes":
        return _consent_page(visit, fields.get("token", ""), status=400, problem="consent_needed")
    if survey.sessions.find(participant) is None and not survey.entries.allows("all"):
        return visit.message("limit", status=429)
    try:
        survey.sessions.begin(participant, language=language, external_hash=external or None)
    except Refusal as refusal:
        return visit.message(refusal.reason, status=403)
    return visit.enter(participant)


def decline(visit: Visit, fields: Fields) -> Response:
    visit = visit.as_stranger()
    try:
        _, _, external = _entry(visit, fields)
    except TokenError as error:
        return visit.refuse_token(error)
    return _ending(visit, "declined", visit.survey.config.completion.no_consent, bool(external))


def _entry(visit: Visit, fields: Fields) -> list[str]:
    """Participant, language and recruiter's hashed id that the consent page was made for."""
    return visit.survey.tokens.read("entry", fields.get("token", ""), str, str, str)


def _consent_page(
    visit: Visit, entry: str, *, status: int = 200, problem: str | None = None
) -> Response:
    survey, privacy = visit.survey, visit.survey.config.privacy
    query = {key: value for key, value in visit.request.query_params.items() if key != "lang"}
    languages = [
        (code, phrases("language"), "?" + urlencode({**query, "lang": code}))
        for code, phrases in survey.phrases.items()
    ]
    return visit.render(
        "consent.html",
        status=status,
        token=entry,
        problem=problem,
        version=survey.config.consent.version,
        privacy=_privacy_notice(privacy, visit.phrases.language),
        until=privacy.retention_until,
        languages=languages if len(languages) > 1 and status == 200 else [],
    )


def _privacy_notice(privacy: Privacy, language: str) -> list[tuple[str, str]]:
    """Headings (by their text's name) and texts of the notice, as far as it is filled in."""
    named = [(f"privacy_{name}", text) for name, text in privacy if isinstance(text, dict)]
    return [(name, pick(text, language)) for name, text in named if text]


# -- what comes before and after the trials, each a page with one form ---------------------


def plates(visit: Visit) -> Response:
    def show(person: Any) -> Mapping[str, Any]:
        sign, numbers = visit.survey.tokens.sign, range(visit.survey.config.plates.count)
        return {"pictures": [sign("plate", person.participant, index) for index in numbers]}

    return _step_page(visit, "plates", show)


def plate(visit: Visit) -> Response:
    try:
        token = visit.request.path_params["token"]
        participant, index = visit.survey.tokens.read("plate", token, str, int)
    except TokenError as error:
        raise HTTPException(403, "This picture's address is not valid.") from error
    if visit.person is None or visit.person.participant != participant:
        raise HTTPException(403, "This picture belongs to another session.")
    return Response(plate_of(visit.person.seed, index), media_type="image/png")


def submit_plates(visit: Visit, fields: Fields) -> Response:
    count = visit.survey.config.plates.count

    def step(person: Any) -> None:
        answers = [entry[:8] for entry in fields.getlist("plate")][:count]
        answers += [""] * (count - len(answers))
        correct = count_correct(person.seed, answers)
        visit.survey.sessions.submit_plates(person.participant, correct)

    return _take_step(visit, fields, "plates", step)


def instructions(visit: Visit) -> Response:
    config = visit.survey.config

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

    return _step_page(visit, "instructions", show)


def start(visit: Visit, fields: Fields) -> Response:
    sessions = visit.survey.sessions
    return _take_step(
        visit, fields, "instructions", lambda person: sessions.start_trials(person.participant)
    )


def questions(visit: Visit, given: Mapping[str, str] | None = None, status: int = 200) -> Response:
    def show(person: Any) -> Mapping[str, Any]:
        language = person.language
        shown = [
            {
                "id": question.id,
                "text": pick(question.text, language),
                "options": [(str(n), pick(o, language)) for n, o in enumerate(question.options)],
                "required": question.required,
                "given": (given or {}).get(question.id, ""),
            }
            for question in visit.survey.config.questions
        ]
        return {"questions": shown}

    return _step_page(visit, "questions", show, status=status)


def submit_questions(visit: Visit, fields: Fields) -> Response:
    asked, sessions = visit.survey.config.questions, visit.survey.sessions
    answers: dict[str, str] = {}
    for question in asked:
        given = _clean(fields.get(question.id, ""))
        if question.options:  # stored in the study's first language, whatever was shown
            chosen = int(given) if given.isdecimal() and len(given) < 4 else -1
            inside = 0 <= chosen < len(question.options)
            first = visit.survey.config.languages[0]
            given = pick(question.options[chosen], first) if inside else ""
        answers[question.id] = given
    if any(question.required and not answers[question.id] for question in asked):
        return questions(visit, fields, status=400)
    return _take_step(
        visit, fields, "questions", lambda who: sessions.submit_answers(who.participant, answers)
    )


def _clean(text: str) -> str:
    """Printable text of bounded length (no control characters, no lone surrogates)."""
    kept = (c for c in text[:MAX_ANSWER] if c == "\n" or unicodedata.category(c)[0] != "C")
    return "".join(kept).strip()


def thanks(visit: Visit) -> Response:
    person, completion = visit.person, visit.survey.config.completion
    if person is None or person.stage not in {"done", "screened"}:
        return visit.redirect(visit.here)
    codes = {
        "completed": completion.completed,
        "failed-attention": completion.failed_attention or completion.completed,
        "screened-out": completion.screened_out,
    }
    name = "screened" if person.stage == "screened" else "thanks"
    return _ending(visit, name, codes[person.outcome], person.source == "prolific")


def _ending(visit: Visit, name: str, code: str | None, recruited: bool) -> Response:
    person, target = visit.person, None
    if recruited and code:
        target = f"{visit.survey.config.completion.redirect}?{urlencode({'cc': code})}"
    own = visit.survey.tokens.withdrawal_code(person.participant) if person is not None else ""
    return visit.render("thanks.html", name=name, code=code, target=target, withdrawal_code=own)


def _step_page(
    visit: Visit, stage: str, show: Callable[[Any], Mapping[str, Any]], *, status: int = 200
) -> Response:
    """The page of a stage (who is not there is sent where they are)."""
    person = visit.person
    if person is None or person.stage != stage:
        return visit.redirect(visit.here)
    token = _form_token(visit, person, stage)
    return visit.render(f"{stage}.html", status=status, token=token, **show(person))


def _form_token(visit: Visit, person: Any, stage: str) -> str:
    """A token that allows exactly one step of one participant."""
    return visit.survey.tokens.sign("form", person.participant, stage)


def _take_step(visit: Visit, fields: Fields, stage: str, step: Callable[[Any], None]) -> Response:
    """Check a form's token against the session, do the step, go where it leads."""
    survey, person = visit.survey, visit.person
    if person is None:
        return visit.message("ended", status=403, onward="/", link="start_over")
    try:
        allowed = survey.tokens.read("form", fields.get("token", ""), str, str)
        if allowed != [person.participant, stage]:
            return visit.message("invalid", status=403, onward=visit.here)
    except TokenError as error:
        return visit.refuse_token(error)
    if not survey.requests.allows(person.participant):
        return visit.message("limit", status=429, onward=visit.here)
    try:
        step(person)
    except Refusal as refusal:
        current = survey.sessions.find(person.participant)
        onward = PATHS[current.stage] if current is not None else "/"
        return _refused(visit, refusal, onward)
    return visit.redirect("/")


def _refused(visit: Visit, refusal: Refusal, onward: str | None = None) -> Response:
    name, status = ("closed", 403) if refusal.reason == "closed" else ("repeated", 409)
    return visit.message(name, status=status, onward=onward)


# -- deleting one's answers: with the session's button, or with the code shown at the end --


def withdrawal(visit: Visit, *, status: int = 200, problem: str = "") -> Response:
    person = visit.person
    is_here = person is not None and person.stage != "withdrawn"
    return visit.render(
        "withdraw.html",
        status=status,
        token=_form_token(visit, person, "withdraw") if is_here else "",
        closed=visit.survey.sessions.is_closed(),
        problem=problem,
    )


def withdraw(visit: Visit, fields: Fields) -> Response:
    survey, code = visit.survey, fields.get("code", "")
    if not code:
        return _take_step(
            visit, fields, "withdraw", lambda who: survey.sessions.withdraw(who.participant)
        )
    if not survey.logins.allows("withdraw"):
        return visit.message("limit", status=429, onward="/withdraw")
    participant = participant_of_code(survey.database, code, survey.tokens.withdrawal_code)
    if participant is None:
        return withdrawal(visit, status=404, problem="withdraw_unknown")
    try:
        survey.sessions.withdraw(participant)
    except Refusal as refusal:
        return _refused(visit, refusal)
    return visit.message("withdrawn")


def withdrawn(visit: Visit) -> Response:
    if visit.person is None or visit.person.stage != "withdrawn":
        return visit.redirect(visit.here)
    return visit.message("withdrawn")
