"""The survey over HTTP: a whole session, what leaks, what is refused, Prolific, admin."""

from __future__ import annotations

import asyncio
import json
import random
import re
import sqlite3
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from study_site import STEADY, make_study, opened, served

from study.records import StudyRecords
from study.rehearsal.robot import Diary, Reply, Shown, take_part
from study.simulate import pixel_hash, recognise
from study.store import database as storage
from study.store.registry import load_records
from study.web.survey import LIFETIMES, RateLimiter, Survey, TokenError, Tokens
from study.web.visitor import accepted_languages

TOKEN = re.compile(r'name="token" value="([^"]+)"')


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def survey(config: Path) -> Iterator[Survey]:
    with opened(
        config, admin_token="a long admin token", vote_log=str(config.parent / "log")
    ) as it:
        it.requests = RateLimiter(1e6, 1e6)
        yield it


@pytest.fixture(scope="module")
def site(survey: Survey) -> Iterator[str]:
    with served(survey) as url:
        yield url


@pytest.fixture
def client(site: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site, follow_redirects=True, timeout=60) as made:
        yield made


def url_of(survey: Survey) -> str:
    return survey.database.url.render_as_string(hide_password=False)


def data_of(survey: Survey) -> StudyRecords:
    return load_records(url_of(survey))


def consent(client: httpx.Client, query: str = "") -> httpx.Response:
    page = client.get(f"/{query}")
    found = TOKEN.search(page.text)
    assert found is not None, page.text
    return client.post("/consent", data={"token": found[1], "agree": "yes"})


def submit(client: httpx.Client, page: httpx.Response, **fields: str) -> httpx.Response:
    found = TOKEN.search(page.text)
    assert found is not None, page.text
    return client.post(page.url.path, data={"token": found[1], **fields})


def to_trials(client: httpx.Client, query: str = "") -> dict[str, object]:
    page = submit(client, submit(client, consent(client, query)))
    assert page.url.path.endswith("/trials"), page.text
    trial: dict[str, object] = client.get("/api/trial").json()["trial"]
    return trial


def vote_body(trial: dict[str, object], **changes: object) -> dict[str, object]:
    return {"id": str(uuid.uuid4()), "token": trial["token"], "answer": "realistic", **changes}


def finish(client: httpx.Client, trial: dict[str, object] | None) -> None:
    while trial is not None:
        answer = client.post("/api/vote", json=vote_body(trial))
        assert answer.status_code == 200, answer.text
        trial = answer.json()["trial"]


def test_a_session_from_consent_to_code(client: httpx.Client, survey: Survey) -> None:
    finish(client, to_trials(client))
    page = client.get("/")
    assert page.url.path == "/questions"
    page = submit(client, page, device="1", remarks="<b>fine</b>")
    assert page.url.path == "/thanks"
    assert "CHECK" in page.text  # "realistic" to everything fails the attention trials
    person = data_of(survey).participants[-1]
    assert person.answers == {"device": "computer", "remarks": "<b>fine</b>"}
    assert client.get("/trials").url.path == "/thanks"


def test_going_back_and_double_clicks_change_nothing(client: httpx.Client, survey: Survey) -> None:
    plates = consent(client)
    instructions = submit(client, plates)
    again = submit(client, plates)
    assert again.status_code == 409
    assert 'href="/instructions"' in again.text
    assert submit(client, instructions).url.path == "/trials"
    assert submit(client, instructions).status_code == 409
    trial = client.get("/api/trial").json()["trial"]
    body = vote_body(trial)
    first = client.post("/api/vote", json=body).json()
    number = len(data_of(survey).votes)
    for _ in range(3):
        repeated = client.post("/api/vote", json=body)
        assert repeated.status_code == 200
        assert repeated.json()["trial"]["index"] == first["trial"]["index"]
    assert len(data_of(survey).votes) == number
    assert client.get("/api/trial").json()["trial"]["index"] == 1


def test_consent_is_needed_and_declining_stores_nothing(
    client: httpx.Client, survey: Survey
) -> None:
    before = len(data_of(survey).participants)
    page = client.get("/")
    token = TOKEN.search(page.text)[1]  # type: ignore[index]
    refused = client.post("/consent", data={"token": token})
    assert refused.status_code == 400
    assert 'role="alert"' in refused.text
    declined = client.post("/decline", data={"token": token})
    assert "You do not take part" in declined.text
    assert len(data_of(survey).participants) == before


def test_the_language_can_be_chosen_and_stays(client: httpx.Client, survey: Survey) -> None:
    page = consent(client, "?lang=es")
    assert '<html lang="es">' in page.text
    assert data_of(survey).participants[-1].language == "es"
    english = httpx.get(f"{client.base_url}", headers={"accept-language": "fr, en;q=0.5"})
    assert '<html lang="en">' in english.text


@pytest.mark.parametrize(
    ("header", "codes"),
    [
        ("es;q=0.2, en;q=0.9", ["en", "es"]),
        ("fr, es;q=0.8, en-GB;q=0.9", ["fr", "en-GB", "es"]),
        ("en;q=0, es", ["es"]),
        ("es;q=x, en;q=0.1", ["en"]),
        ("", []),
    ],
)
def test_languages_are_taken_by_their_weight(header: str, codes: list[str]) -> None:
    assert accepted_languages(header) == codes


def test_prolific_comes_in_hashed_and_goes_out_with_the_right_code(
    client: httpx.Client, survey: Survey, site: str
) -> None:
    identifier = "5f3c9a1b2c3d4e5f60718293"
    query = f"?PROLIFIC_PID={identifier}&STUDY_ID=s1&SESSION_ID=x1"
    trial = to_trials(client, query)
    with httpx.Client(base_url=site, follow_redirects=True) as other:  # another browser goes on
        assert other.get(f"/{query}").url.path == "/trials"
    finish(client, trial)
    page = submit(client, client.get("/"), device="0", remarks="")
    assert "https://app.prolific.com/submissions/complete?cc=CHECK" in page.text
    assert data_of(survey).participants[-1].source == "prolific"
    stored = b"".join(path.read_bytes() for path in Path(url_of(survey)[10:]).parent.glob("*.sql*"))
    log = b"".join(path.read_bytes() for path in survey.log.folder.iterdir())  # type: ignore[union-attr]
    for place in (stored, log):
        assert identifier.encode() not in place
    with httpx.Client(base_url=site, follow_redirects=True) as declining:
        page = declining.get("/?PROLIFIC_PID=another")
        token = TOKEN.search(page.text)[1]  # type: ignore[index]
        assert "complete?cc=NO" in declining.post("/decline", data={"token": token}).text


def test_withdrawing_deletes_the_answers(client: httpx.Client, survey: Survey) -> None:
    trial = to_trials(client)
    client.post("/api/vote", json=vote_body(trial))
    person = data_of(survey).participants[-1].participant
    page = submit(client, client.get("/withdraw"))
    assert page.url.path == "/withdrawn"
    records = data_of(survey)
    assert not [vote for vote in records.votes if vote.participant == person]
    assert client.post("/api/vote", json=vote_body(trial)).status_code == 409


# -- blinding -----------------------------------------------------------------------------------


def test_nothing_a_browser_receives_names_a_method(client: httpx.Client, survey: Survey) -> None:
    secrets = {entry.method for entry in survey.stimuli.stimuli} - {"real"}
    secrets |= {entry.base_image for entry in survey.stimuli.stimuli}
    secrets |= {entry.stimulus for entry in survey.stimuli.stimuli}
    secrets |= {"attention"}
    received: list[str] = []

    def note(response: httpx.Response) -> None:
        response.read()
        kind = response.headers.get("content-type", "")
        body = "" if kind.startswith("image/png") else response.text
        received.append(f"{response.url} {response.headers} {body}")

    client.event_hooks["response"] = [note]
    trial: dict[str, object] | None = to_trials(client)
    while trial is not None:
        client.get(str(trial["pictures"][0]))
        trial = client.post("/api/vote", json=vote_body(trial)).json()["trial"]
    client.get("/static/trials.js")
    everything = "\n".join(received)
    assert len(received) > 30
    assert not sorted(secret for secret in secrets if secret in everything)


def features(response: httpx.Response, trial: dict[str, object], seconds: float) -> list[float]:
    """Everything about a picture's delivery that is not the picture itself."""
    headers = {k: v for k, v in response.headers.items() if k != "date"}
    return [
        float(len(response.content)),
        float(len(json.dumps(headers))),
        float(hash(json.dumps(headers, sort_keys=True)) % 1000),
        float(len(str(trial["pictures"][0]))),
        float(len(str(trial["token"]))),
        float(len(json.dumps({k: v for k, v in trial.items() if k not in {"index", "number"}}))),
        float(len(response.history)),
        seconds,
    ]


def separation(values: np.ndarray, labels: np.ndarray) -> float:
    """|AUC − ½| of one feature, ties counted half: 0 is chance, ½ separates fully."""
    real, fake = values[labels], values[~labels]
    above = (real[:, None] > fake[None, :]).mean() + 0.5 * (real[:, None] == fake[None, :]).mean()
    return abs(float(above) - 0.5)


def test_no_feature_of_the_delivery_separates_real_from_fake(site: str, survey: Survey) -> None:
    known = recognise(survey.stimuli)
    rows: list[list[float]] = []
    labels: list[bool] = []
    for _ in range(14):
        with httpx.Client(base_url=site, follow_redirects=True, timeout=60) as client:
            trial: dict[str, object] | None = to_trials(client)
            while trial is not None:
                started = time.perf_counter()
                picture = client.get(str(trial["pictures"][0]))
                seconds = time.perf_counter() - started
                stimulus = known[pixel_hash(picture.content)]
                if stimulus.kind in {"real", "method"}:
                    rows.append(features(picture, trial, seconds))
                    labels.append(stimulus.kind == "real")
                trial = client.post("/api/vote", json=vote_body(trial)).json()["trial"]
    table, truth = np.array(rows), np.array(labels)
    assert truth.sum() == 28
    # lengths and headers of a picture are the same for all
    for column in range(3):
        assert len(set(table[:, column])) == 1
    # the rest may vary by chance: 28 real and 56 fake give a standard error of 0.067
    for column in range(3, table.shape[1]):
        assert separation(table[:, column], truth) < 5 * 0.067, column


def test_pictures_are_not_stored_and_all_headers_are_strict(
    client: httpx.Client, survey: Survey
) -> None:
    trial = to_trials(client)
    picture = client.get(str(trial["pictures"][0]))
    assert picture.headers["cache-control"] == "no-store"
    assert {"etag", "last-modified", "set-cookie"}.isdisjoint(picture.headers)
    for path in ("/", "/trials", "/static/trials.js", "/nowhere", "/api/trial"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers
    html = client.get("/trials").text
    assert not re.search(r"(src|href)=\"(https?:)?//", html)
    assert "<script>" not in html
    assert " style=" not in html


def test_what_people_write_is_escaped(client: httpx.Client) -> None:
    page = client.get("/?lang=%22%3E%3Cscript%3E&x=%22%3E%3Cimg%3E")
    assert "<img>" not in page.text
    assert page.text.count("<script") == 0


# -- bad requests -------------------------------------------------------------------------------


def counts(survey: Survey) -> tuple[int, ...]:
    file = sqlite3.connect(url_of(survey)[10:])
    try:
        return tuple(
            file.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("participants", "trials", "votes")
        )
    finally:
        file.close()


def bad_requests(
    survey: Survey, own: dict[str, object], foreign: dict[str, object], used: dict[str, object]
) -> list[tuple[str, str, dict[str, object]]]:
    """1,000 requests that must change nothing: malformed, forged, foreign, replayed, expired."""
    rng = random.Random(0)
    expired = _expired_tokens(survey, own)
    bodies: list[object] = [
        None,
        [],
        "x",
        7,
        {},
        {"id": "x"},
        {**vote_body(own), "id": "1"},
        {**vote_body(own), "id": str(uuid.uuid4()).upper()},
        {**vote_body(own), "extra": 1},
        {**vote_body(own), "answer": "real"},
        {**vote_body(own), "answer": True},
        {**vote_body(own), "rt_ms": -1},
        {**vote_body(own), "rt_ms": "fast"},
        {**vote_body(own), "focus_lost": -1},
        {**vote_body(own), "pixel_ratio": 0},
        {**vote_body(own), "viewport_width": 10**9},
        {**vote_body(own), "token": "x" * 2000},
        {**vote_body(own), "token": "\u0000"},
        vote_body(foreign),
        vote_body(used),
        {**vote_body(own), "token": expired["trial"]},
        {**vote_body(own), "token": str(own["pictures"][0]).rsplit("/", 1)[1]},
    ]
    raw = [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 20_000,
        b'{"id": NaN}',
        b'{"rt_ms": 1e999}',
        b"null",
        json.dumps(vote_body(own)).encode()[:-1],
        b'{"a":' * 3000,
    ]
    made: list[tuple[str, str, dict[str, object]]] = []
    json_type = {"content-type": "application/json"}
    for body in bodies:
        made.append(("POST", "/api/vote", {"json": body}))
    for text in raw:
        made.append(("POST", "/api/vote", {"content": text, "headers": json_type}))
    made.append(("POST", "/api/vote", {"content": b"x" * 100_000, "headers": json_type}))
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        made.append((method, "/api/vote", {}))
    pictures = [
        str(foreign["pictures"][0]),
        f"/picture/{expired['picture']}",
        "/picture/x",
        f"/picture/{own['token']}",
        "/plate/x",
        f"/plate/{own['token']}",
        "/static/../study.yaml",
        "/static/..%2f..%2fserve.py",
        "/static/%00",
        "/.env",
        "/manifest.json",
    ]
    made += [("GET", path, {}) for path in pictures]
    for path in ("/consent", "/plates", "/instructions", "/questions", "/withdraw", "/decline"):
        for token in ("", "x", str(own["token"]), expired["form"], expired["entry"], "\udce4"):
            data = {"token": token.encode("utf-8", "replace").decode(), "agree": "yes"}
            made.append(("POST", path, {"data": data}))
        made.append(("POST", path, {"content": b"%ff%00=%zz&&&token=%ff"}))
        made.append(("POST", path, {"files": {"token": ("a", b"x")}, "data": {"agree": "yes"}}))
    while len(made) < 1000:  # and tokens with one letter changed
        name, target = rng.choice([("token", "/api/vote"), ("picture", "")])
        token = str(own["pictures"][0] if name == "picture" else own[name])  # type: ignore[index]
        start = token.rfind("/") + 1
        place = rng.randrange(start, len(token) - 1)  # the last letter has unused bits
        letter = rng.choice([c for c in "abcXYZ019-_." if c != token[place]])
        broken = token[:place] + letter + token[place + 1 :]
        if target:
            made.append(("POST", target, {"json": {**vote_body(own), "token": broken}}))
        else:
            made.append(("GET", broken, {}))
    return made


def _expired_tokens(survey: Survey, own: dict[str, object]) -> dict[str, str]:
    """Real tokens from long ago, made with the study's own key."""
    import itsdangerous

    person, index = survey.tokens.read("trial", str(own["token"]), str, int)
    old = time.time() - 40 * 24 * 3600

    class Then(itsdangerous.TimestampSigner):
        def get_timestamp(self) -> int:
            return int(old)

    values = {
        "trial": [person, index],
        "picture": [person, index, 0],
        "form": [person, "withdraw"],
        "entry": ["0" * 24, "en", ""],
    }
    made = {}
    for purpose, content in values.items():
        serializer = survey.tokens._serializers[purpose]  # type: ignore[index]
        fresh = serializer.signer
        serializer.signer = Then
        try:
            token = serializer.dumps(content)
        finally:
            serializer.signer = fresh
        with pytest.raises(TokenError, match="expired"):
            survey.tokens.read(purpose, token, *map(type, content))  # type: ignore[arg-type]
        made[purpose] = str(token)
    return made


def test_a_thousand_bad_requests_are_4xx_and_change_nothing(site: str, survey: Survey) -> None:
    with (
        httpx.Client(base_url=site, timeout=60) as client,
        httpx.Client(base_url=site, timeout=60, follow_redirects=True) as other,
    ):
        client.follow_redirects = True
        used = to_trials(client)
        own = client.post("/api/vote", json=vote_body(used)).json()["trial"]
        client.follow_redirects = False
        foreign = to_trials(other)
        requests = bad_requests(survey, own, foreign, used)
        assert len(requests) >= 1000
        before = (counts(survey), data_of(survey).votes)
        for method, path, options in requests:
            answer = client.request(method, path, **options)  # type: ignore[arg-type]
            assert 400 <= answer.status_code < 500, (method, path, options, answer.status_code)
            assert "Traceback" not in answer.text
            assert "sqlite" not in answer.text.lower()
        assert (counts(survey), data_of(survey).votes) == before
        # and the participant goes on as if nothing had happened
        assert client.post("/api/vote", json=vote_body(own)).status_code == 200


def test_without_a_session_nothing_is_open(site: str) -> None:
    for path in ("/plates", "/instructions", "/trials", "/questions", "/thanks", "/withdrawn"):
        answer = httpx.get(f"{site}{path}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert httpx.get(f"{site}/api/trial").status_code == 401
    body = {"id": str(uuid.uuid4()), "token": "x", "answer": "realistic"}
    assert httpx.post(f"{site}/api/vote", json=body).status_code == 401


def test_too_many_requests_are_429_and_pass_again(config: Path, tmp_path: Path) -> None:
    with opened(config, database_url=f"sqlite:///{tmp_path / 'v.sqlite'}") as survey:
        survey.requests = RateLimiter(rate=1e-9, burst=4)  # consumed by the four steps below
        with served(survey) as url, httpx.Client(base_url=url, follow_redirects=True) as client:
            to_trials(client)
            statuses = [client.get("/api/trial").status_code for _ in range(3)]
            assert statuses[-1] == 429
            assert client.get("/api/trial").headers["retry-after"] == "1"
            survey.requests.burst, survey.requests.rate = 1e6, 1e6
            assert client.get("/api/trial").status_code == 200


@STEADY
@given(
    steps=st.lists(st.floats(0, 3), max_size=60), rate=st.floats(0.1, 5), burst=st.integers(1, 9)
)
def test_a_bucket_never_allows_more_than_burst_plus_rate(
    steps: list[float], rate: float, burst: int
) -> None:
    now = [0.0]
    limiter = RateLimiter(rate, burst, clock=lambda: now[0])
    allowed = 0
    for step in steps:
        now[0] += step
        allowed += limiter.allows("someone")
    assert allowed <= burst + rate * now[0] + 1e-6
    assert limiter.allows("someone else")


@STEADY
@given(st.lists(st.one_of(st.text(max_size=20), st.integers(0, 10**6)), max_size=4))
def test_a_token_says_what_was_signed_and_serves_one_purpose(values: list[str | int]) -> None:
    tokens = Tokens("secret")
    token = tokens.sign("trial", *values)
    kinds = [type(value) for value in values]
    assert tokens.read("trial", token, *kinds) == values
    for purpose in set(LIFETIMES) - {"trial"}:
        with pytest.raises(TokenError):
            tokens.read(purpose, token, *kinds)
    with pytest.raises(TokenError):
        Tokens("another").read("trial", token, *kinds)


# -- faults ------------------------------------------------------------------------------------


def test_a_locked_database_is_503_and_the_vote_is_kept_once_afterwards(
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(storage, "BUSY_TIMEOUT_MS", 100)
    file = tmp_path / "v.sqlite"
    with opened(config, database_url=f"sqlite:///{file}") as survey, served(survey) as url:
        with httpx.Client(base_url=url, follow_redirects=True, timeout=60) as client:
            trial = to_trials(client)
            body = vote_body(trial)
            lock = sqlite3.connect(file, isolation_level=None)
            lock.execute("BEGIN EXCLUSIVE")
            answer = client.post("/api/vote", json=body)
            page = submit(client, client.get("/withdraw"))
            lock.execute("ROLLBACK")
            lock.close()
            assert (answer.status_code, answer.json()) == (503, {"error": "not-saved"})
            assert page.status_code == 503
            assert "could not be saved yet" in page.text
            assert "locked" not in page.text
            assert client.post("/api/vote", json=body).status_code == 200
            assert client.post("/api/vote", json=body).status_code == 200
        assert [vote.vote_id for vote in data_of(survey).votes] == [body["id"]]
    assert "locked" in capsys.readouterr().err


def test_robots_take_part_together(site: str, survey: Survey) -> None:
    diary = Diary()
    before = len(data_of(survey).votes)

    async def crowd() -> None:
        def answer(shown: Shown) -> Reply:
            return Reply(shown.index % 2 == 0, 500.0)

        async with aiohttp.TCPConnector(limit=6) as connector:
            await asyncio.gather(*(take_part(site, connector, answer, diary) for _ in range(6)))

    asyncio.run(crowd())
    assert diary.finished == 6
    assert not diary.refused
    stored = {vote.vote_id: (vote.trial, vote.answer) for vote in data_of(survey).votes}
    assert len(stored) == before + 60
    assert diary.acknowledged.items() <= stored.items()


# -- administration, base path ------------------------------------------------------------------


def test_admin_is_off_without_a_token(config: Path, tmp_path: Path) -> None:
    with (
        opened(config, database_url=f"sqlite:///{tmp_path / 'v.sqlite'}") as survey,
        served(survey) as url,
    ):
        assert httpx.get(f"{url}/admin").status_code == 404
        assert httpx.post(f"{url}/admin", data={"password": ""}).status_code == 404


def test_admin_shows_closes_and_deletes(client: httpx.Client, site: str, survey: Survey) -> None:
    client.post("/api/vote", json=vote_body(to_trials(client)))
    victim = data_of(survey).participants[-1].participant
    assert [v for v in data_of(survey).votes if v.participant == victim]
    with httpx.Client(base_url=site, follow_redirects=True) as admin:
        assert "votes so far" not in admin.get("/admin").text
        assert admin.post("/admin", data={"password": "wrong"}).status_code == 403
        page = admin.post("/admin", data={"password": "a long admin token"})
        assert "votes so far" in page.text
        token = TOKEN.search(page.text)[1]  # type: ignore[index]
        admin.post("/admin/delete", data={"token": token, "participant": victim})
        assert not [v for v in data_of(survey).votes if v.participant == victim]
        admin.post("/admin/state", data={"token": token, "state": "closed"})
        assert httpx.get(f"{site}/").status_code == 403
        admin.post("/admin/state", data={"token": token, "state": "open"})
        assert httpx.get(f"{site}/").status_code == 200
        forged = {"token": "x", "state": "closed"}
        assert admin.post("/admin/state", data=forged).status_code == 403
    stranger = {"token": token, "state": "closed"}
    assert httpx.post(f"{site}/admin/state", data=stranger).status_code == 403
    assert httpx.get(f"{site}/").status_code == 200


@pytest.mark.parametrize("stripping", [False, True])
def test_a_base_path_works_with_and_without_a_stripping_proxy(
    stripping: bool, config: Path, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path / 'v.sqlite'}"
    with (
        opened(config, database_url=database, base_path="/survey") as survey,
        served(survey) as url,
        httpx.Client(timeout=60) as client,
    ):
        root = url.removesuffix("/survey")

        def fetch(method: str, path: str, **options: object) -> httpx.Response:
            assert path.startswith("/survey")
            inner = path.removeprefix("/survey") if stripping else path
            return client.request(method, root + inner, **options)  # type: ignore[arg-type]

        page = fetch("GET", "/survey/")
        assert 'href="/survey/static/study.css"' in page.text
        token = TOKEN.search(page.text)[1]  # type: ignore[index]
        answer = fetch("POST", "/survey/consent", data={"token": token, "agree": "yes"})
        assert answer.headers["location"] == "/survey/"
        assert "Path=/survey;" in answer.headers["set-cookie"]


def test_under_https_the_cookie_also_works_in_a_frame(config: Path, tmp_path: Path) -> None:
    with (
        opened(
            config,
            database_url=f"sqlite:///{tmp_path / 'v.sqlite'}",
            frame_ancestors=("https://huggingface.co",),
        ) as survey,
        served(survey) as url,
    ):
        page = httpx.get(f"{url}/")
        assert "frame-ancestors https://huggingface.co" in page.headers["content-security-policy"]
        assert "x-frame-options" not in page.headers
        token = TOKEN.search(page.text)[1]  # type: ignore[index]
        answer = httpx.post(
            f"{url}/consent",
            data={"token": token, "agree": "yes"},
            headers={"x-forwarded-proto": "https"},
        )
        assert "SameSite=None; Secure; Partitioned" in answer.headers["set-cookie"]
        assert "HttpOnly" in answer.headers["set-cookie"]


def test_failing_the_plates_can_end_the_session(tmp_path: Path) -> None:
    config = make_study(tmp_path, plates={"count": 2, "needed": 1, "screen_out": True})
    with opened(config) as survey, served(survey) as url:
        with httpx.Client(base_url=url, follow_redirects=True) as client:
            plates = consent(client)
            for source in re.findall(r'src="(/plate/[^"]+)"', plates.text):
                assert client.get(source).content.startswith(b"\x89PNG")
            page = submit(client, plates, plate="x")
            assert page.url.path == "/thanks"
            assert "OUT" in page.text
        with httpx.Client(base_url=url, follow_redirects=True) as client:
            plates = consent(client)
            row = data_of(survey).participants[-1]
            from study.stimuli.plates import digits_of

            page = submit(client, plates, plate=digits_of(row.seed, 2)[0])
            assert page.url.path == "/instructions"


def test_a_new_version_ends_old_sessions_politely(tmp_path: Path) -> None:
    config = make_study(tmp_path)
    with (
        opened(config) as survey,
        served(survey) as url,
        httpx.Client(base_url=url, follow_redirects=True) as client,
    ):
        consent(client)
        cookies = dict(client.cookies)
    config.write_text(config.read_text().replace("trials: 6", "trials: 5"))
    with (
        opened(config, new_version=True) as survey,
        served(survey) as url,
        httpx.Client(base_url=url, cookies=cookies, follow_redirects=True) as client,
    ):
        assert "Before you start" in client.get("/trials").text
        assert client.get("/api/trial").status_code == 409
