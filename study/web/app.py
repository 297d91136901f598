"""The survey as an ASGI application."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from study.store.vote_log import VoteLogError
from study.web.admin import make_admin_routes
from study.web.guard import Guard
from study.web.pages import make_pages
from study.web.survey import Survey
from study.web.trials import make_trial_routes
from study.web.visitor import choose_phrases, message


def make_app(survey: Survey) -> FastAPI:
    """The application of one survey; it closes the survey when it shuts down."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        survey.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.include_router(make_pages(survey))
    app.include_router(make_trial_routes(survey))
    if survey.admin_token is not None:
        app.include_router(make_admin_routes(survey))
    app.add_middleware(Guard, base_path=survey.base_path, frame_ancestors=survey.frame_ancestors)
    _handle_errors(app, survey)
    return app


def _handle_errors(app: FastAPI, survey: Survey) -> None:
    """Errors in the participant's words; details go to the server's own output only."""

    def not_saved(request: Request, error: Exception) -> Response:
        detail = str(getattr(error, "orig", None) or error).splitlines()
        print(f"study: not saved: {detail[0] if detail else error!r}", file=sys.stderr)
        headers = {"retry-after": "1"}
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": "not-saved"}, 503, headers)
        page = message(
            survey,
            choose_phrases(survey, request),
            "busy",
            status=503,
            onward="/",
            link="try_again",
        )
        page.headers.update(headers)
        return page

    def malformed(request: Request, _error: Exception) -> Response:
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": "malformed"}, 422)
        phrases = choose_phrases(survey, request)
        return message(survey, phrases, "invalid", status=422, onward="/")

    def refused(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": "malformed"}, status)
        phrases = choose_phrases(survey, request)
        name = "missing" if status == 404 else "invalid"
        return message(survey, phrases, name, status=status, onward="/")

    app.add_exception_handler(SQLAlchemyError, not_saved)
    app.add_exception_handler(VoteLogError, not_saved)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(HTTPException, refused)
