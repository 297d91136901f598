"""The survey as an ASGI application."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from study.store.database import reason_of
from study.store.vote_log import VoteLogError
from study.web.admin import admin_routes
from study.web.guard import Guard
from study.web.pages import page_routes
from study.web.survey import Survey
from study.web.trials import trial_routes
from study.web.visitor import Visit

PAGE_THREADS = 8
"""Pages at work at once. Forty of them, the default, take turns on one core 5 ms each, and answers
wait for all of them: the tail of the response times was there."""


def make_app(survey: Survey) -> Starlette:
    """The application of one survey; it closes the survey when it shuts down."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = PAGE_THREADS
        yield
        survey.close()

    def not_saved(request: Request, error: Exception) -> Response:
        print(f"study: not saved: {reason_of(error)}", file=sys.stderr)
        headers = {"retry-after": "1"}
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": "not-saved"}, 503, headers)
        visit = Visit(survey, request, is_stranger=True)  # the database may be what failed
        page = visit.message("busy", status=503, onward="/", link="try_again")
        page.headers.update(headers)
        return page

    def refused(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": "malformed"}, status)
        name = "missing" if status == 404 else "invalid"
        visit = Visit(survey, request, is_stranger=True)
        return visit.message(name, status=status, onward="/")

    routes = [*trial_routes(survey), *page_routes(survey)]
    if survey.admin_token is not None:
        routes += admin_routes(survey)
    guard = Middleware(Guard, base_path=survey.base_path, frame_ancestors=survey.frame_ancestors)
    return Starlette(
        routes=routes,
        middleware=[guard],
        # in the participant's words; details go to the server's own output only
        exception_handlers={
            SQLAlchemyError: not_saved,
            VoteLogError: not_saved,
            HTTPException: refused,
        },
        lifespan=lifespan,
    )
