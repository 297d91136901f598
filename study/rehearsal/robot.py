"""A participant without a person: walks through the survey over HTTP as a browser would.

It knows nothing but what the server sends, repeats what was not acknowledged (with the same id),
and remembers what was. Used by `study.simulate` and `study.load`.
"""

from __future__ import annotations

import asyncio
import html
import json
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

_TOKEN = re.compile(r'name="token" value="([^"]+)"')
_PLATE = re.compile(r'<img src="([^"]*/plate/[^"]+)"')
_LONGEST_PAUSE_S = 2.0
_ANSWERS = {1: ("realistic", "not-realistic"), 2: ("left", "right")}
"""What the page sends, by the number of pictures; the first is True."""


@dataclass(frozen=True)
class Shown:
    """What the page knows about the open trial when it has to be answered."""

    pictures: tuple[bytes, ...]
    index: int
    position: float


@dataclass(frozen=True)
class Reply:
    """first: whether "realistic" (pairs: the left picture) is the answer; rt_ms: the response time
    to report; pause_s: how long to wait."""

    first: bool
    rt_ms: float
    pause_s: float = 0.0


@dataclass
class Diary:
    """What one or many robots experienced.

    acknowledged: vote id to (trial, answer). vote_s: seconds until each vote was acknowledged.
    refused: unexpected answers below 500; retried: requests repeated after 5xx or no answer.
    """

    acknowledged: dict[str, tuple[int, bool]] = field(default_factory=dict)
    vote_s: list[float] = field(default_factory=list)
    finished: int = 0
    retried: int = 0
    refused: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """What a server said. path: of the page at which redirects ended."""

    status: int
    path: str
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace")


class RobotRefusedError(RuntimeError):
    """The server refused something that a correct page would never be refused."""


class OutOfTimeError(RuntimeError):
    """The server did not answer until the robot's time was up."""


@dataclass
class Robot:
    """One participant. base: the survey's path on its host, "" or "/name"."""

    client: aiohttp.ClientSession
    base: str
    respond: Callable[[Shown], Awaitable[Reply] | Reply]
    diary: Diary
    is_over: Callable[[], bool]

    async def walk(self) -> None:
        """From page to page until the end.

        Raises:
            RobotRefusedError, OutOfTimeError: as `take_part` says.
        """
        page = await self._request("GET", "/")
        while not self.is_over():
            if page.path.endswith("/thanks"):
                self.diary.finished += 1
                return
            if page.path.endswith("/trials"):
                await self._trials()
                page = await self._request("GET", "/")
            else:
                page = await self._form(page)
        raise OutOfTimeError

    async def _form(self, page: Answer) -> Answer:
        """Fill in the page's form: consent given, plates left empty, questions unanswered."""
        found = _TOKEN.search(page.text)
        if found is None:
            raise RobotRefusedError(f"no form on {page.path} ({page.status})")
        for source in _PLATE.findall(page.text):
            await self._request("GET", html.unescape(source), relative=False)
        fields = {"token": html.unescape(found.group(1)), "agree": "yes"}
        consents = 'action="' in page.text and "/consent" in page.text
        target = "/consent" if consents else "/" + page.path.rsplit("/", 1)[-1]
        answer = await self._request("POST", target, data=fields)
        if answer.status == 409:  # done before the server was lost: go on from there
            return await self._request("GET", "/")
        return answer

    async def _trials(self) -> None:
        trial = (await self._json("GET", "/api/trial"))["trial"]
        while trial is not None:
            if self.is_over():
                raise OutOfTimeError
            pictures = [
                (await self._request("GET", address, relative=False)).content
                for address in trial["pictures"]
            ]
            position = (trial["number"] - 1) / max(trial["total"] - 1, 1)
            shown = Shown(tuple(pictures), trial["index"], position)
            answer = self.respond(shown)
            reply = answer if isinstance(answer, Reply) else await answer
            await asyncio.sleep(reply.pause_s)
            trial = await self._vote(trial, reply)

    async def _vote(self, trial: dict[str, Any], reply: Reply) -> dict[str, Any] | None:
        vote_id = str(uuid.uuid4())
        answers = _ANSWERS[len(trial["pictures"])]
        body = {
            "id": vote_id,
            "token": trial["token"],
            "answer": answers[0] if reply.first else answers[1],
            "rt_ms": round(reply.rt_ms, 1),
            "focus_lost": 0,
            "viewport_width": 1280,
            "viewport_height": 720,
            "pixel_ratio": 1.0,
        }
        answer = await self._json("POST", "/api/vote", json=body)
        self.diary.acknowledged[vote_id] = (trial["index"], reply.first)
        following: dict[str, Any] | None = answer["trial"]
        return following

    async def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        answer = await self._request(method, path, **options)
        body: dict[str, Any] = json.loads(answer.content)
        return body

    async def _request(
        self, method: str, path: str, *, relative: bool = True, **options: Any
    ) -> Answer:
        """One request, repeated until the server has answered it."""
        address = self.base + path if relative else path
        pause = 0.05
        started = time.perf_counter()  # retries included: so long does a participant wait
        while True:
            try:
                async with self.client.request(method, address, **options) as got:
                    answer = Answer(got.status, got.url.path, await got.read())
            except (aiohttp.ClientError, TimeoutError):
                answer = None
            if answer is not None and answer.status < 500 and answer.status != 429:
                break
            if self.is_over():
                raise OutOfTimeError
            self.diary.retried += 1
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        if address.endswith("/api/vote") and answer.status == 200:
            self.diary.vote_s.append(time.perf_counter() - started)
        is_conflict = answer.status == 409
        if answer.status >= 400 and (
            not is_conflict or address.endswith(("/api/vote", "/api/trial"))
        ):
            said = f" {answer.text[:80]}" if is_conflict else ""
            self.diary.refused.append(f"{method} {answer.path} {answer.status}{said}")
            raise RobotRefusedError(self.diary.refused[-1])
        return answer


async def take_part(
    url: str,
    connector: aiohttp.BaseConnector,
    respond: Callable[[Shown], Awaitable[Reply] | Reply],
    diary: Diary,
    is_over: Callable[[], bool] = lambda: False,
) -> bool:
    """One robot's session with cookies of its own; the connections are shared by many.

    Returns:
        True if it reached the end, False if the time was up.

    Raises:
        RobotRefusedError: on an unexpected refusal.
    """
    parts = urlsplit(url)
    async with aiohttp.ClientSession(
        f"{parts.scheme}://{parts.netloc}",
        connector=connector,
        connector_owner=False,
        cookie_jar=aiohttp.CookieJar(unsafe=True),  # an address of digits may keep cookies, too
        timeout=aiohttp.ClientTimeout(30.0),
    ) as client:
        try:
            await Robot(client, parts.path.rstrip("/"), respond, diary, is_over).walk()
        except OutOfTimeError:
            return False
    return True
