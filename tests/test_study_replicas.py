"""Several servers behind one address: they share the database and its secret, nothing else."""

from __future__ import annotations

import itertools
from pathlib import Path

import httpx
from study_site import make_study
from test_study_server import consent, submit, vote_body

from study.load import Server
from study.store.registry import load_records


class Alternating(httpx.BaseTransport):
    """A proxy that sends every request to the next server, and past those that are gone."""

    def __init__(self, servers: list[Server]) -> None:
        self.turns = itertools.cycle(servers)
        self.inner = httpx.HTTPTransport()
        self.asked: list[int] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for server in itertools.islice(self.turns, 2):
            passed_on = httpx.Request(
                request.method,
                request.url.copy_with(host="127.0.0.1", port=server.port),
                headers=request.headers,
                stream=request.stream,
                extensions=request.extensions,
            )
            try:
                answer = self.inner.handle_request(passed_on)
            except httpx.ConnectError:
                continue
            self.asked.append(server.port)
            return answer
        raise httpx.ConnectError("no server is left")

    def close(self) -> None:
        self.inner.close()


def test_progress_survives_every_change_of_server(tmp_path: Path) -> None:
    config, url = make_study(tmp_path), f"sqlite:///{tmp_path / 'v.sqlite'}"
    servers = [Server(["--config", str(config), "--database-url", url]) for _ in range(2)]
    try:
        for server in servers:
            server.start()
        proxy = Alternating(servers)
        with httpx.Client(
            transport=proxy, base_url="http://survey.example", follow_redirects=True, timeout=60
        ) as client:
            plates = consent(client)
            assert 'name="plate"' in plates.text
            assert submit(client, submit(client, plates)).url.path == "/trials"
            trial = client.get("/api/trial").json()["trial"]
            for answered in range(10):
                assert trial["index"] == answered
                assert client.get(trial["pictures"][0]).status_code == 200
                body = vote_body(trial)
                reply = client.post("/api/vote", json=body)
                assert reply.status_code == 200, reply.text
                again = client.post("/api/vote", json=body)  # asked of the other server
                assert again.json()["saved"] is True
                trial = reply.json()["trial"]
                if answered == 5:
                    servers[0].kill()
            assert trial is None
            assert client.get("/").url.path == "/questions"
        assert {server.port for server in servers} <= set(proxy.asked)
    finally:
        for server in servers:
            server.kill()
    votes = load_records(url).votes
    assert [vote.trial for vote in votes] == list(range(10))
