"""Names, files and Hub ids; the Hub is a small local server that speaks its protocol."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from chromagan.checkpoint.source import (
    CheckpointError,
    available_checkpoints,
    checkpoint_folder,
    find_checkpoint,
)

CONTENT = b"a checkpoint's bytes"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(http.server.BaseHTTPRequestHandler):
    """`ada/colours` holds `model.safetensors`; nothing else exists."""

    def _answer(self, body: bool) -> None:
        if self.path.startswith("/ada/colours/resolve/main/model.safetensors"):
            self.send_response(200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", '"11111111"')
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            if body:
                self.wfile.write(CONTENT)
            return
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[http.server.HTTPServer]:
    constants = pytest.importorskip("huggingface_hub.constants")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    yield server
    server.shutdown()
    server.server_close()


def test_hub_id_is_downloaded_once_and_works_offline(hub: http.server.HTTPServer) -> None:
    path = find_checkpoint("ada/colours")
    assert path.read_bytes() == CONTENT
    hub.shutdown()
    hub.server_close()
    assert find_checkpoint("ada/colours") == path


@pytest.mark.usefixtures("hub")
def test_unknown_hub_id_is_one_sentence() -> None:
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint("ada/sounds")
    text = str(caught.value)
    assert "\n" not in text
    assert "no such model on the Hugging Face Hub" in text


def test_unreachable_hub_is_one_sentence(hub: http.server.HTTPServer) -> None:
    hub.shutdown()
    hub.server_close()
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint("ada/colours")
    assert "\n" not in str(caught.value)
    assert "did not deliver it" in str(caught.value)


def test_names_are_listed_the_default_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHROMAGAN_CHECKPOINTS", str(tmp_path))
    for name in ("apples", "no-gan", "lite", "empty"):
        (tmp_path / name).mkdir()
        if name != "empty":
            (tmp_path / name / "model.safetensors").touch()
    assert available_checkpoints() == ["lite", "apples", "no-gan"]
    assert find_checkpoint("lite") == tmp_path / "lite" / "model.safetensors"
    with pytest.raises(CheckpointError, match="'full'; the names here are lite, apples, no-gan"):
        find_checkpoint("full")


@pytest.mark.parametrize("source", ["runs/x/model.safetensors", "/no/such/folder", "../elsewhere"])
def test_missing_files_are_not_asked_of_the_hub(source: str) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint file"):
        find_checkpoint(source)


def test_names_cannot_leave_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "inside").mkdir()
    monkeypatch.setenv("CHROMAGAN_CHECKPOINTS", str(tmp_path / "inside"))
    monkeypatch.chdir(tmp_path / "inside")
    with pytest.raises(CheckpointError):
        find_checkpoint("..%2f")


def test_default_folder_is_the_repositorys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHROMAGAN_CHECKPOINTS", raising=False)
    assert checkpoint_folder() == Path(__file__).parents[1] / "checkpoints"
