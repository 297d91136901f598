"""The survey as an ASGI application; its outer layer: base path, request size, headers."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio.to_thread
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from study.store.database import reason_of
from study.store.vote_log import VoteLogError
from study.web.admin import admin_routes
from study.web.pages import page_routes
from study.web.survey import Survey
from study.web.trials import trial_routes
from study.web.visitor import Visit

MAX_BODY_BYTES = 64 * 1024
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

    routes, options = [*trial_routes(survey), *page_routes(survey)], survey.options
    if options.admin_token is not None:
        routes += admin_routes(survey)
    guard = Middleware(Guard, options.base_path, options.frame_ancestors)
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


def security_headers(frame_ancestors: Sequence[str]) -> dict[str, str]:
    """Headers of every response: nothing from elsewhere, nothing stored, nothing leaked."""
    framing = " ".join(frame_ancestors) or "'none'"
    headers = {
        "content-security-policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            "connect-src 'self'; form-action 'self'; base-uri 'none'; "
            f"frame-ancestors {framing}"
        ),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), microphone=(), geolocation=(), interest-cohort=()",
        "cache-control": "no-store",
    }
    if not frame_ancestors:
        headers["x-frame-options"] = "DENY"
    return headers


class Guard:
    """ASGI middleware. Answers 413 to bodies over `MAX_BODY_BYTES` without reading them."""

    def __init__(self, app: ASGIApp, base_path: str, frame_ancestors: Sequence[str] = ()) -> None:
        self.app = app
        self.base_path = base_path
        self.headers = security_headers(frame_ancestors)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope = self._without_base(scope)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers[name] = value
            await send(message)

        is_small = _declared_length(scope) <= MAX_BODY_BYTES
        body = await _read_body(receive) if is_small else None
        if body is None:
            response = PlainTextResponse("This request is too large.", status_code=413)
            await response(scope, receive, send_guarded)
        else:
            await self.app(scope, _replayed(body, receive), send_guarded)

    def _without_base(self, scope: Scope) -> Scope:
        """Strip the base path, whether or not a proxy has done so already."""
        path: str = scope["path"]
        if self.base_path and (path + "/").startswith(self.base_path + "/"):
            return {**scope, "path": path[len(self.base_path) :] or "/"}
        return scope


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0


async def _read_body(receive: Receive) -> bytes | None:
    """The whole (small) body, or None when it is too large or never ends."""
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None  # gone before the end: there is nobody to answer
        body += bytes(message.get("body", b""))
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return body


def _replayed(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
