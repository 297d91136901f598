"""`kill -9` under load: after the restart every acknowledged vote is there exactly once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from study_postgres import missing_programs, postgres_server
from study_site import make_study

from study.load import LoadOptions, Server, compare, run_load, summarise
from study.store.registry import load_records


def _run(
    config: Path, database_url: str, options: LoadOptions, *more: str
) -> tuple[dict[str, int], list[str]]:
    arguments = ["--config", str(config), "--database-url", database_url, *more]
    server = Server([*arguments, "--new-per-minute", "100000"])
    try:
        server.start()
        diary = asyncio.run(run_load(server.url, options, server))
    finally:
        server.stop()
    checked = compare(diary, load_records(database_url))
    assert summarise(diary, options, checked)["server_kills"] == options.kills
    return checked, diary.refused


def _assert_nothing_lost(checked: dict[str, int], refused: list[str]) -> None:
    assert not refused
    assert checked["acknowledged"] > 0
    assert checked["stored"] >= checked["acknowledged"]
    assert (checked["lost"], checked["changed"], checked["twice"]) == (0, 0, 0)


def test_a_killed_server_loses_no_acknowledged_vote(tmp_path: Path) -> None:
    config = make_study(tmp_path)
    options = LoadOptions(participants=4, votes=60, think_s=(0.0, 0.1), kills=1)
    url = f"sqlite:///{tmp_path / 'v.sqlite'}"
    checked, refused = _run(config, url, options, "--vote-log", str(tmp_path / "log"))
    _assert_nothing_lost(checked, refused)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_kills_of_two_workers_with_a_vote_log(tmp_path: Path) -> None:
    config = make_study(tmp_path)
    options = LoadOptions(participants=10, votes=600, think_s=(0.0, 0.3), kills=10)
    url, log = f"sqlite:///{tmp_path / 'v.sqlite'}", str(tmp_path / "log")
    checked, refused = _run(config, url, options, "--workers", "2", "--vote-log", log)
    _assert_nothing_lost(checked, refused)


@pytest.mark.slow
def test_two_workers_on_postgresql_with_kills(tmp_path: Path) -> None:
    missing = missing_programs()
    if missing:
        pytest.skip(f"NO POSTGRESQL TESTED: {', '.join(missing)} not on the PATH")
    config = make_study(tmp_path)
    options = LoadOptions(participants=10, votes=400, think_s=(0.0, 0.3), kills=3)
    with postgres_server() as url:
        checked, refused = _run(config, url, options, "--workers", "2")
    _assert_nothing_lost(checked, refused)
