"""What Gradio leaves open and this page does not need: fetching addresses on a visitor's behalf.

Gradio downloads any public URL given in place of an upload (without a size limit) and serves
`/file=https://…` and `/proxy=…` as a relay. Both are refused here, before Gradio sees them.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 1 << 20  # calls name files that were uploaded before; they are small
_CALLS = ("/queue/join", "/run/", "/api/", "/call/", "/component_server")
_RELAYS = ("/file=http:", "/file=https:", "/file/http:", "/file/https:", "/proxy=")
_SCHEMES = ("http:", "https:", "ftp:", "file:", "data:", "//")
_HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}


class Guard:
    """ASGI middleware: refuses URL inputs and relays, bounds call bodies, adds safe headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def refuse(status: int, reason: str) -> None:
            await JSONResponse({"detail": reason}, status, _HEADERS)(scope, receive, send)

        path = str(scope["path"]).lower()
        if any(relay in path for relay in _RELAYS):
            await refuse(403, "Fetching other addresses is switched off.")
            return
        if scope["method"] == "POST" and any(call in path for call in _CALLS):
            body = await _body(receive)
            problem = _problem(body)
            if problem:
                await refuse(422, problem)
                return
            receive = _replay(body or b"", receive)
        await self._app(scope, receive, _with_headers(send))


def names_an_address(value: Any) -> bool:
    """Whether JSON data asks for a file by address: `{"path": "https://…"}`, at any depth, or a
    bare address as an argument."""
    if isinstance(value, dict):
        named = _is_address(value.get("path") or value.get("url"))
        return named or any(names_an_address(inner) for inner in value.values())
    if isinstance(value, list):
        return any(_is_address(inner) or names_an_address(inner) for inner in value)
    return False


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower().startswith(_SCHEMES)


def _problem(body: bytes | None) -> str | None:
    if body is None:
        return f"The request is larger than {MAX_BODY_BYTES >> 20} MB: upload files first."
    try:
        data = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return "The request is not JSON."
    arguments = list(data.values()) if isinstance(data, dict) else data
    if names_an_address(data) or names_an_address(arguments):
        return "Addresses are not fetched here: please upload the file itself."
    return None


async def _body(receive: Receive) -> bytes | None:
    """The whole request body, None if it is too large."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            return None
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> Message:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return again


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return wrapped
