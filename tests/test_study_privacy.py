"""What people are told and what becomes of their answers: notice, withdrawal, end of keeping."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import httpx
import pytest
from study_site import make_study, opened, served
from test_study_server import finish, submit, to_trials

from study import admin, serve
from study.settings import ConfigError, Privacy, config_from
from study.store.registry import load_records
from study.web.survey import Survey

NOTICE = {
    "controller": {"en": "A. Researcher, Some Road 1", "es": "A. Investigadora, Calle 1"},
    "purpose": "a study of colorized pictures",
    "basis": "consent, Article 6(1)(a) GDPR",
    "recipients": "nobody but the controller",
    "retention": "two years after the paper",
    "rights": "access, erasure, complaint <b>to the authority</b>",
    "retention_until": "2031-06-30",
}


def notice(**changes: object) -> dict[str, object]:
    import datetime

    until = datetime.date(2031, 6, 30)
    return {**NOTICE, "retention_until": until, **changes}


@pytest.mark.parametrize("gap", ["contact", *Privacy.model_fields])
def test_a_public_study_with_a_gap_in_its_notice_is_refused(gap: str) -> None:
    told = notice(**({} if gap == "contact" else {gap: None if gap == "retention_until" else {}}))
    told = {key: value for key, value in told.items() if value != {}}
    study = {"public": True, "contact": "" if gap == "contact" else "a@b.example", "privacy": told}
    with pytest.raises(ConfigError, match=f"{gap}: a public study has to state it"):
        config_from(study)
    assert config_from({**study, "public": False}).public is False


def test_a_server_beyond_its_own_machine_insists_on_the_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = make_study(tmp_path)
    assert serve.main(["--config", str(config), "--host", "0.0.0.0"]) == 2
    said = capsys.readouterr().err
    assert "contact: is empty, and the server listens to the public" in said
    assert "public: false" in said


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("privacy")
    return make_study(folder, privacy=notice(), contact="a@b.example", public=True)


def test_the_notice_is_shown_before_consent_in_the_visitor_s_language(
    config: Path, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'v.sqlite'}"
    with opened(config, database_url=url) as survey, served(survey) as site:
        english = httpx.get(site).text
        spanish = httpx.get(f"{site}/?lang=es").text
    for text in ("A. Researcher, Some Road 1", "Article 6(1)(a)", "2031-06-30", "Your rights"):
        assert text in english
    assert "complaint &lt;b&gt;to the authority" in english
    assert "A. Investigadora" in spanish
    assert "Sus derechos" in spanish


def take_part(survey: Survey, site: str) -> str:
    """A whole session; returns the code that its last page shows."""
    with httpx.Client(base_url=site, follow_redirects=True, timeout=60) as client:
        finish(client, to_trials(client))
        page = submit(client, client.get("/"), device="1", remarks="mine")
        found = re.search(r'id="withdrawal-code">([^<]+)<', page.text)
        assert found is not None, page.text
        return found[1]


def test_the_own_code_deletes_the_answers_from_anywhere(config: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'v.sqlite'}"
    with opened(config, database_url=url) as survey, served(survey) as site:
        code, other = take_part(survey, site), take_part(survey, site)
        records = load_records(url)
        assert len(records.votes) == 20
        assert code not in "".join(p.participant for p in records.participants)
        page = httpx.get(f"{site}/withdraw")
        assert page.status_code == 200
        wrong = httpx.post(f"{site}/withdraw", data={"code": "AAAA-BBBB-CCCC-DDDD"})
        assert wrong.status_code == 404
        assert 'role="alert"' in wrong.text
        typed = code.replace("-", " ").lower()
        assert httpx.post(f"{site}/withdraw", data={"code": typed}).status_code == 200
        assert httpx.post(f"{site}/withdraw", data={"code": code}).status_code == 409
        records = load_records(url)
        assert len(records.votes) == 10
        assert [p.outcome for p in records.participants].count("withdrawn") == 1
        assert admin.main(["--database-url", url, "close"]) == 0
        assert httpx.post(f"{site}/withdraw", data={"code": other}).status_code == 403
        # the researcher still can, for somebody who writes with the code
        assert admin.main(["--database-url", url, "delete", other]) == 0
    assert not load_records(url).votes


def test_guessing_codes_is_slowed_down(config: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'v.sqlite'}"
    with opened(config, database_url=url) as survey, served(survey) as site:
        statuses = [
            httpx.post(f"{site}/withdraw", data={"code": f"{n:016d}"}).status_code
            for n in range(12)
        ]
    assert statuses[-1] == 429


def test_purge_waits_for_its_day_and_then_erases_everything(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, log = f"sqlite:///{tmp_path / 'v.sqlite'}", tmp_path / "log"
    command = ["--database-url", url, "--vote-log", str(log), "purge"]
    with opened(config, database_url=url, vote_log=str(log)) as survey, served(survey) as site:
        take_part(survey, site)
        take_part(survey, site)
    assert admin.main([*command, "--today", "2031-06-29"]) == 2
    assert "kept until 2031-06-30; nothing was erased" in capsys.readouterr().err
    assert len(load_records(url).votes) == 20
    assert admin.main([*command, "--today", "2031-06-30"]) == 0
    assert "erased 2 participants' answers" in capsys.readouterr().out
    records = load_records(url)
    assert not records.votes
    assert [(p.outcome, p.answers) for p in records.participants] == [("erased", {})] * 2
    file = tmp_path / "v.sqlite"
    with sqlite3.connect(file) as raw:
        for table in ("votes", "trials"):
            assert raw.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    kept = "".join(path.read_text() for path in log.glob("participant-*"))
    assert '"mine"' not in kept
    assert '"event": "vote"' not in kept
    assert admin.main([*command, "--today", "2031-07-01"]) == 0
    assert "erased 0" in capsys.readouterr().out


def test_purge_without_a_day_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, url = make_study(tmp_path), f"sqlite:///{tmp_path / 'v.sqlite'}"
    with opened(config, database_url=url):
        pass
    assert admin.main(["--database-url", url, "purge"]) == 2
    assert "privacy.retention_until" in capsys.readouterr().err
