"""Admin pages: live counts, closing, deleting. Present only when a token is configured."""

from __future__ import annotations

import hmac

from starlette.responses import Response
from starlette.routing import Route

from study.store.registry import erase_participant, set_closed, study_status
from study.web.survey import LIFETIMES, Survey, TokenError
from study.web.visitor import Fields, Visit, form_route, page_route

COOKIE = "study_admin"


def admin_routes(survey: Survey) -> list[Route]:
    """Routes under /admin."""
    return [
        page_route(survey, "/admin", show),
        form_route(survey, "/admin", login),
        form_route(survey, "/admin/state", change_state),
        form_route(survey, "/admin/delete", delete),
    ]


def show(visit: Visit, *, status: int = 200, note: str = "") -> Response:
    survey, is_known = visit.survey, _is_signed(visit, visit.request.cookies.get(COOKIE, ""))
    return visit.as_stranger().render(
        "admin.html",
        status=status,
        note=note,
        token=survey.tokens.sign("admin", "form") if is_known else "",
        status_now=study_status(survey.database) if is_known else None,
    )


def login(visit: Visit, fields: Fields) -> Response:
    survey = visit.survey
    if not survey.logins.allows("admin"):
        return show(visit, status=429, note="Too many attempts. Wait a minute.")
    given, wanted = fields.get("password", "").encode(), (survey.options.admin_token or "").encode()
    if not wanted or not hmac.compare_digest(given, wanted):
        return show(visit, status=403, note="This is not the token.")
    response = visit.redirect("/admin")
    response.set_cookie(
        COOKIE,
        survey.tokens.sign("admin", "cookie"),
        max_age=LIFETIMES["admin"],
        path=f"{survey.options.base_path}/admin",
        httponly=True,
        samesite="strict",
        secure=visit.request.url.scheme == "https",
    )
    return response


def change_state(visit: Visit, fields: Fields) -> Response:
    if not _is_allowed(visit, fields):
        return show(visit, status=403, note="Please log in again.")
    if fields.get("state", "") not in {"open", "closed"}:
        return show(visit, status=400, note="The state is either open or closed.")
    set_closed(visit.survey.database, fields.get("state", "") == "closed")
    return visit.redirect("/admin")


def delete(visit: Visit, fields: Fields) -> Response:
    if not _is_allowed(visit, fields):
        return show(visit, status=403, note="Please log in again.")
    survey, named = visit.survey, fields.get("participant", "").strip()
    # ids are hexadecimal; anything else cannot be one (and may not reach a database)
    named = named if named.isalnum() and named.isascii() else "-"
    with survey.database.write() as connection:
        known = erase_participant(connection, named, survey.sessions.clock(), survey.log)
    if not known:
        return show(visit, status=404, note="There is no such participant.")
    return visit.redirect("/admin")


def _is_allowed(visit: Visit, fields: Fields) -> bool:
    """A change needs the cookie and a token from the page: no other site can send both."""
    cookie = visit.request.cookies.get(COOKIE, "")
    return _is_signed(visit, fields.get("token", "")) and _is_signed(visit, cookie)


def _is_signed(visit: Visit, token: str) -> bool:
    try:
        visit.survey.tokens.read("admin", token, str)
    except TokenError:
        return False
    return True
