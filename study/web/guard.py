"""The outer layer of the application: base path, request size, security headers, rate limits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 64 * 1024


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

        if _declared_length(scope) > MAX_BODY_BYTES:
            await _too_large(scope, receive, send_guarded)
            return
        body = await _read_body(receive)
        if body is None:
            await _too_large(scope, receive, send_guarded)
            return
        await self.app(scope, _replayed(body, receive), send_guarded)

    def _without_base(self, scope: Scope) -> Scope:
        """Strip the base path, whether or not a proxy has done so already."""
        path: str = scope["path"]
        if self.base_path and (path + "/").startswith(self.base_path + "/"):
            inner = path[len(self.base_path) :] or "/"
            return {**scope, "path": inner}
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


async def _too_large(scope: Scope, receive: Receive, send: Send) -> None:
    response = PlainTextResponse("This request is too large.", status_code=413)
    await response(scope, receive, send)


class RateLimiter:
    """Allows `burst` requests at once and `rate` per second on average, for each key."""

    def __init__(
        self,
        rate: float,
        burst: float,
        clock: Callable[[], float] = time.monotonic,
        most_keys: int = 20_000,
    ) -> None:
        self.rate = rate
        self.burst = burst
        self._clock = clock
        self._most_keys = most_keys
        self._buckets: dict[str, tuple[float, float]] = {}
        self._turn = threading.Lock()

    def allows(self, key: str) -> bool:
        """Take one token of `key`; False when there is none."""
        now = self._clock()
        with self._turn:
            if len(self._buckets) > self._most_keys:
                self._forget(now)
            tokens, then = self._buckets.get(key, (self.burst, now))
            tokens = min(self.burst, tokens + (now - then) * self.rate)
            allowed = tokens >= 1
            self._buckets[key] = (tokens - 1 if allowed else tokens, now)
            return allowed

    def _forget(self, now: float) -> None:
        """Drop buckets that are full again: they hold no information."""
        refill = self.burst / self.rate
        self._buckets = {
            key: (tokens, then)
            for key, (tokens, then) in self._buckets.items()
            if now - then < refill
        }
