"""Admin pages: live counts, closing, deleting. Present only when a token is configured."""

from __future__ import annotations

import hmac

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from study.store.erasure import erase_participant
from study.store.registry import set_closed
from study.store.status import study_status
from study.web.survey import Survey
from study.web.tokens import LIFETIMES, TokenError
from study.web.visitor import Fields, choose_phrases, form_route, redirect, render

COOKIE = "study_admin"


def admin_routes(survey: Survey) -> list[Route]:
    """Routes under /admin."""

    def is_admin(request: Request) -> bool:
        try:
            survey.tokens.read("admin", request.cookies.get(COOKIE, ""), str)
        except TokenError:
            return False
        return True

    def page(request: Request, *, status: int = 200, note: str = "") -> Response:
        known = is_admin(request)
        return render(
            survey,
            "admin.html",
            choose_phrases(survey, request),
            status=status,
            note=note,
            token=survey.tokens.sign("admin", "form") if known else "",
            status_now=study_status(survey.database) if known else None,
        )

    def is_allowed(request: Request, token: str) -> bool:
        """A change needs the cookie and a token from the page: no other site can send both."""
        try:
            survey.tokens.read("admin", token, str)
        except TokenError:
            return False
        return is_admin(request)

    def show(request: Request) -> Response:
        return page(request)

    def login(request: Request, fields: Fields) -> Response:
        if not survey.logins.allows("admin"):
            return page(request, status=429, note="Too many attempts. Wait a minute.")
        given, wanted = fields["password"].encode(), (survey.admin_token or "").encode()
        if not wanted or not hmac.compare_digest(given, wanted):
            return page(request, status=403, note="This is not the token.")
        response = redirect(survey, "/admin")
        response.set_cookie(
            COOKIE,
            survey.tokens.sign("admin", "cookie"),
            max_age=LIFETIMES["admin"],
            path=f"{survey.base_path}/admin",
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    def change_state(request: Request, fields: Fields) -> Response:
        if not is_allowed(request, fields["token"]):
            return page(request, status=403, note="Please log in again.")
        if fields["state"] not in {"open", "closed"}:
            return page(request, status=400, note="The state is either open or closed.")
        set_closed(survey.database, fields["state"] == "closed")
        return redirect(survey, "/admin")

    def delete(request: Request, fields: Fields) -> Response:
        if not is_allowed(request, fields["token"]):
            return page(request, status=403, note="Please log in again.")
        with survey.database.write() as connection:
            now, named = survey.sessions.clock(), _plain(fields["participant"])
            known = erase_participant(connection, named, now, survey.log)
        if not known:
            return page(request, status=404, note="There is no such participant.")
        return redirect(survey, "/admin")

    return [
        Route("/admin", show),
        form_route("/admin", login),
        form_route("/admin/state", change_state),
        form_route("/admin/delete", delete),
    ]


def _plain(text: str) -> str:
    """Ids are hexadecimal; anything else cannot be one (and may not reach a database)."""
    return text.strip() if text.strip().isalnum() and text.isascii() else "-"
