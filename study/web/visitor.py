"""One request of a page: who is asking, in which language, and the answers there can be."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import ImmutableMultiDict
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from study.web.phrases import Phrases
from study.web.survey import LIFETIMES, Survey, TokenError

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


Fields = ImmutableMultiDict[str, str]
"""The text fields of a form."""


@dataclass(eq=False)
class Visit:
    """A request and its participant. is_stranger: the database is not asked who it is."""

    survey: Survey
    request: Request
    is_stranger: bool = field(default=False, kw_only=True)

    def as_stranger(self) -> Visit:
        """The same request, whoever's session it brings along."""
        return Visit(self.survey, self.request, is_stranger=True)

    @cached_property
    def participant(self) -> str | None:
        """The participant that the cookie names, unchecked against the database."""
        cookie = self.request.cookies.get(COOKIE, "")
        try:
            return str(self.survey.tokens.read("session", cookie, str)[0])
        except TokenError:
            return None

    @cached_property
    def person(self) -> Any | None:
        """The participant's row, or None without a (valid, current) session."""
        if self.is_stranger or self.participant is None:
            return None
        return self.survey.sessions.find(self.participant)

    @cached_property
    def phrases(self) -> Phrases:
        """The participant's language, else ?lang=, else the browser's, else the study's first."""
        wanted = [] if self.person is None else [self.person.language]
        wanted.append(self.request.query_params.get("lang", ""))
        for code in accepted_languages(self.request.headers.get("accept-language", "")):
            wanted += [code, code.split("-")[0]]
        known = self.survey.phrases
        return known[next((w for w in wanted if w in known), self.survey.config.languages[0])]

    def render(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """A page; every template gets the texts, the base path and whether withdrawing is open."""
        is_gone = self.person is not None and self.person.stage == "withdrawn"
        html = _templates.get_template(template).render(
            say=self.phrases,
            base=self.survey.options.base_path,
            contact=self.survey.config.contact,
            may_withdraw=template != "withdraw.html" and not is_gone,
            **values,
        )
        return HTMLResponse(html, status)

    def message(
        self, name: str, *, status: int = 200, onward: str | None = None, link: str = "continue"
    ) -> Response:
        """A page with a heading, a text and possibly one link onward."""
        return self.render("message.html", status=status, name=name, onward=onward, link=link)

    def refuse_token(self, error: TokenError) -> Response:
        """What somebody sees whose token is forged or old."""
        return self.message("expired" if error.expired else "invalid", status=403, onward=self.here)

    @property
    def here(self) -> str:
        """The page where the participant is."""
        return "/" if self.person is None else PATHS[self.person.stage]

    def redirect(self, path: str) -> Response:
        """See another page (303, so that a form becomes a plain page view)."""
        return RedirectResponse(self.survey.options.base_path + path, status_code=303)

    def enter(self, participant: str) -> Response:
        """Begin or take up a session; under https its cookie also works in a frame."""
        response = self.redirect("/")
        scheme = self.request.headers.get("x-forwarded-proto", self.request.url.scheme)
        cookie = (
            f"{COOKIE}={self.survey.tokens.sign('session', participant)}; HttpOnly; "
            f"Path={self.survey.options.base_path or '/'}; Max-Age={LIFETIMES['session']}; "
        )
        is_secure = scheme.startswith("https")
        cookie += "SameSite=None; Secure; Partitioned" if is_secure else "SameSite=Lax"
        response.headers.append("set-cookie", cookie)
        return response


def page_route(survey: Survey, path: str, handler: Callable[[Visit], Response]) -> Route:
    """A GET route whose handler runs in a thread."""
    return Route(path, lambda request: handler(Visit(survey, request)))


def form_route(survey: Survey, path: str, handler: Callable[[Visit, Fields], Response]) -> Route:
    """A POST route whose handler, in a thread, gets the form's text fields."""

    async def endpoint(request: Request) -> Response:
        form = await request.form(max_files=0, max_fields=100)
        pairs = [(key, value) for key, value in form.multi_items() if isinstance(value, str)]
        if any(len(value) > MAX_FIELD for _, value in pairs):
            raise HTTPException(422)
        return await run_in_threadpool(handler, Visit(survey, request), Fields(pairs))

    return Route(path, endpoint, methods=["POST"])


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
