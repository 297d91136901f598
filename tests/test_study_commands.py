"""The commands as people run them: serve, simulate, admin; the bundled demo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from study_site import make_study, opened, served

from study import admin, serve, simulate
from study.load import Server, free_port
from study.records import Stimulus
from study.rehearsal.simulation import AnswerModel, Effects
from study.simulate import SimulatedPerson, simulate_directly
from study.stimuli.stimulus_set import load_stimuli
from study.store.registry import load_records
from study.store.vote_log import HubVoteLog, VoteLogError, open_log
from study.web.survey import DEMO_CONFIG, RateLimiter, SurveyOptions, open_survey

ROOT = Path(__file__).resolve().parents[1]


def test_the_demo_is_complete_and_small(tmp_path: Path) -> None:
    options = SurveyOptions(database_url=f"sqlite:///{tmp_path / 'demo.sqlite'}")
    survey = open_survey(options)
    survey.close()
    folder = DEMO_CONFIG.parent / "stimuli"
    stimuli = load_stimuli(folder)
    assert "real" in stimuli.methods()
    assert len(stimuli.methods()) >= 3
    assert sum(path.stat().st_size for path in folder.iterdir()) < 4_500_000
    assert all(entry.licence != "not stated" for entry in stimuli.stimuli)
    names = {path.name for path in folder.iterdir()}
    assert names == {entry.file for entry in stimuli.stimuli} | {"manifest.json"}


def test_serve_without_arguments_runs_the_demo_as_a_space_would(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, str(ROOT / "study" / "serve.py"), "--port", str(port)]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert f"127.0.0.1:{port}" in line, process.communicate(timeout=60)[1]
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert "one SQLite file only" in errors
    assert (tmp_path / "study.sqlite").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config", "none.yaml"], "none.yaml: cannot be read"),
        (["--database-url", "mysql://x"], "--database-url"),
        (["--base-path", "a b"], "--base-path"),
        (["--frame-ancestor", "x; script-src *"], "--frame-ancestor"),
        (["--workers", "0"], "--workers"),
        (["--database-url", "sqlite:////nowhere/at/all.sqlite"], "cannot open the database"),
        (["--vote-log", "/proc/nothing"], "--vote-log"),
        (["--vote-log", "hf://models/x"], "hf://datasets"),
        (["--workers", "2", "--vote-log", "hf://datasets/a/b"], "has one writer"),
    ],
)
def test_serve_says_what_is_wrong_and_ends(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert serve.main(arguments) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": {"strong": 1}}, "strong not in the stimulus set"),
        ({"trials": 40}, "lower `trials`"),
        ({"analysis": {"contrasts": [["weak-colours", "weaker"]]}}, "weaker is not in the study"),
        ({"analysis": {"exclusions": {"moon": 1}}}, "moon"),
    ],
)
def test_a_study_that_cannot_work_does_not_start(
    changes: dict[str, object],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert serve.main(["--config", str(make_study(tmp_path, **changes))]) == 2
    assert words in capsys.readouterr().err


def test_simulated_answers_have_the_rates_they_were_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make_study(tmp_path)
    url = f"sqlite:///{tmp_path / 'v.sqlite'}"
    command = ["--database-url", url, "--config", str(config), "--participants", "40"]
    command += ["--rate", "real=0.95", "--rate", "weak-colours=0.5", "--rate", "grey-tint=0.05"]
    command += ["--participant-sd", "0", "--image-sd", "0"]
    assert simulate.main(command) == 0
    assert "40 simulated participants, 400 votes" in capsys.readouterr().out
    records = load_records(url)
    for method, rate in (("real", 0.95), ("weak-colours", 0.5), ("grey-tint", 0.05)):
        answers = [vote.answer for vote in records.votes if vote.method == method]
        assert len(answers) == 80
        # the seed is fixed; five binomial standard deviations
        assert abs(sum(answers) - 80 * rate) < 5 * (80 * rate * (1 - rate)) ** 0.5
    assert all(entry.completed for entry in records.participants)
    assert admin.main(["--database-url", url, "status"]) == 0
    said = capsys.readouterr().out
    assert "data votes grey-tint: 80" in said
    assert "votes: 400" in said


def test_simulated_participants_over_http_recognise_the_pictures(tmp_path: Path) -> None:
    config = make_study(tmp_path)
    with opened(config) as survey:
        survey.requests = RateLimiter(1e6, 1e6)
        with served(survey) as url:
            command = ["--url", url, "--config", str(config), "--participants", "3"]
            command += ["--rate", "real=0.999999", "--rate", "weak-colours=0.000001"]
            command += ["--participant-sd", "0", "--image-sd", "0"]
            assert simulate.main([*command, "--rate", "grey-tint=0.000001"]) == 0
        votes = load_records(survey.database.url.render_as_string()).votes
    assert len(votes) == 30
    data = [vote for vote in votes if vote.kind in {"real", "method"}]
    assert all(vote.answer is (vote.method == "real") for vote in data)


def test_the_model_s_effects_are_per_person() -> None:
    model = AnswerModel({"real": 0.8}, Effects(), 1)
    person = SimulatedPerson("one", model)
    stimulus = Stimulus("id", "real", "real", "scene", None, "0" * 64, "", "id.png")
    assert person.reply([stimulus], 3, 0.5) == person.reply([stimulus], 3, 0.5)


def test_admin_closes_opens_and_deletes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path / 'v.sqlite'}"
    assert admin.main(["--database-url", url, "status"]) == 2
    assert "no database file" in capsys.readouterr().err
    log = tmp_path / "log"
    with opened(make_study(tmp_path), database_url=url, vote_log=str(log)) as survey:
        simulate_directly(
            survey.sessions,
            survey.stimuli,
            AnswerModel({"real": 0.9, "weak-colours": 0.5, "grey-tint": 0.5}),
            1,
            start=1e9,
        )
    (person,) = load_records(url).participants
    command = ["--database-url", url, "--vote-log", str(log)]
    assert admin.main([*command, "close"]) == 0
    with opened(tmp_path / "study.yaml", database_url=url) as survey:
        assert survey.sessions.admission() == "closed"
    assert admin.main([*command, "open"]) == 0
    assert admin.main([*command, "delete", "nobody"]) == 2
    assert admin.main([*command, "delete", person.participant]) == 0
    records = load_records(url)
    assert not records.votes
    assert records.participants[0].withdrawn
    assert "vote" not in (log / f"participant-{person.participant}.jsonl").read_text()


class FolderHub:
    """The four calls that the log makes of a hub, on a folder (the Hub itself is not reachable)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reachable = True

    def create_repo(self, _name: str, **_options: object) -> None:
        self.folder.mkdir(exist_ok=True)

    def list_repo_files(self, _name: str, **_options: object) -> list[str]:
        found = self.folder.rglob("*")
        return [path.relative_to(self.folder).as_posix() for path in found if path.is_file()]

    def hf_hub_download(self, _name: str, file: str, **_options: object) -> str:
        return str(self.folder / file)

    def create_commit(self, _name: str, operations: list[object], **_options: object) -> None:
        if not self.reachable:
            raise OSError("the hub is away")
        for operation in operations:
            path = self.folder / operation.path_in_repo  # type: ignore[attr-defined]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(operation.path_or_fileobj)  # type: ignore[attr-defined]


def test_the_hub_log_uploads_what_changed_and_comes_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = FolderHub(tmp_path / "hub")
    first = open_log("hf://datasets/someone/votes/study", api=hub)
    assert isinstance(first, HubVoteLog)
    first.prepare()
    first.append("abc", [{"event": "person", "row": {"stage": "plates"}}])
    hub.reachable = False
    assert first.upload() == 0
    assert "could not be uploaded yet" in capsys.readouterr().err
    hub.reachable = True
    assert first.upload() == 1
    assert first.upload() == 0
    first.append("abc", [{"event": "person", "row": {"stage": "trials"}}])
    first.close()
    second = open_log("hf://datasets/someone/votes/study", api=hub)
    second.prepare()
    ((name, events),) = second.participants()
    second.close()
    assert name == "abc"
    assert [event["row"]["stage"] for event in events] == ["plates", "trials"]
    with pytest.raises(VoteLogError, match="OWNER/NAME"):
        open_log("hf://datasets/only")


def test_a_server_that_cannot_start_is_reported(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="exit code 2"):
        Server(["--config", str(tmp_path / "none.yaml")]).start()
