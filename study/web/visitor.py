"""Who is asking: the session cookie, the language, and where a participant has to go."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from study.web.phrases import Phrases
from study.web.survey import Survey
from study.web.tokens import LIFETIMES, TokenError

COOKIE = "study_session"
PATHS = {
    "plates": "/plates",
    "instructions": "/instructions",
    "trials": "/trials",
    "questions": "/questions",
    "done": "/thanks",
    "screened": "/thanks",
    "withdrawn": "/withdrawn",
}
"""The page of each stage."""
MAX_FIELD = 4000

_templates = Environment(
    loader=PackageLoader("study.web", "templates"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    undefined=StrictUndefined,
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Fields(dict[str, str]):
    """The fields of a form; what was not sent is empty."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs

    def __missing__(self, _name: str) -> str:
        return ""

    def every(self, name: str) -> list[str]:
        """All values of a field that is there several times."""
        return [value for key, value in self.pairs if key == name]


def form_route(path: str, handler: Callable[[Request, Fields], Response]) -> Route:
    """A POST route whose handler, in a thread, gets the form's text fields."""

    async def endpoint(request: Request) -> Response:
        form = await request.form(max_files=0, max_fields=100)
        pairs = [(key, value) for key, value in form.multi_items() if isinstance(value, str)]
        if any(len(value) > MAX_FIELD for _, value in pairs):
            raise HTTPException(422)
        return await run_in_threadpool(handler, request, Fields(pairs))

    return Route(path, endpoint, methods=["POST"])


def participant_id(survey: Survey, request: Request) -> str | None:
    """The participant that the cookie names, unchecked against the database."""
    try:
        (participant,) = survey.tokens.read("session", request.cookies.get(COOKIE, ""), str)
    except TokenError:
        return None
    return str(participant)


def find_person(survey: Survey, request: Request) -> Any | None:
    """The participant's row, or None without a (valid, current) session."""
    participant = participant_id(survey, request)
    return None if participant is None else survey.sessions.find(participant)


def choose_phrases(survey: Survey, request: Request, person: Any | None = None) -> Phrases:
    """The participant's language, else ?lang=, else the browser's, else the study's first."""
    wanted = [person.language] if person is not None else []
    wanted.append(request.query_params.get("lang", ""))
    for code in accepted_languages(request.headers.get("accept-language", "")):
        wanted += [code, code.split("-")[0]]
    for language in wanted:
        if language in survey.phrases:
            return survey.phrases[language]
    return survey.phrases[survey.config.languages[0]]


def accepted_languages(header: str) -> list[str]:
    """Language codes of an Accept-Language header (RFC 9110, 12.5.4), the most wanted first."""
    weighted = []
    for part in header[:1000].split(","):
        code, _, parameters = part.partition(";")
        given = re.fullmatch(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", parameters)
        weight = 1.0 if not parameters.strip() else float(given[1]) if given else 0.0
        if weight > 0 and code.strip():
            weighted.append((weight, code.strip()))
    return [code for _, code in sorted(weighted, key=lambda entry: -entry[0])]


def render(
    survey: Survey,
    template: str,
    phrases: Phrases,
    *,
    status: int = 200,
    person: Any | None = None,
    **values: Any,
) -> HTMLResponse:
    """A page; every template gets the texts, the base path and whether withdrawing is offered."""
    html = _templates.get_template(template).render(
        say=phrases,
        base=survey.base_path,
        contact=survey.config.contact,
        may_withdraw=template != "withdraw.html" and getattr(person, "stage", "") != "withdrawn",
        **values,
    )
    return HTMLResponse(html, status)


def message(
    survey: Survey,
    phrases: Phrases,
    name: str,
    *,
    status: int = 200,
    onward: str | None = None,
    link: str = "continue",
    person: Any | None = None,
) -> HTMLResponse:
    """A page with a heading, a text and possibly one link onward."""
    return render(
        survey,
        "message.html",
        phrases,
        status=status,
        person=person,
        name=name,
        onward=onward,
        link=link,
    )


def redirect(survey: Survey, path: str) -> RedirectResponse:
    """See another page (303, so that a form becomes a plain page view)."""
    return RedirectResponse(survey.base_path + path, status_code=303)


def set_session(survey: Survey, request: Request, response: Response, participant: str) -> None:
    """Set the session cookie; under https it also works where the survey is framed."""
    secure = request.headers.get("x-forwarded-proto", request.url.scheme).startswith("https")
    cookie = (
        f"{COOKIE}={survey.tokens.sign('session', participant)}; HttpOnly; "
        f"Path={survey.base_path or '/'}; Max-Age={LIFETIMES['session']}; "
    )
    cookie += "SameSite=None; Secure; Partitioned" if secure else "SameSite=Lax"
    response.headers.append("set-cookie", cookie)
