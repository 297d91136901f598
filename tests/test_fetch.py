"""`python -m eval.fetch` against a real https server on this machine."""

from __future__ import annotations

import hashlib
import http.server
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from eval import fetch
from eval.baselines import RELEASES, Release, cached_release

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """`/good`, `/short` (breaks off), `/away` (redirects to http), anything else 404."""

    def do_GET(self) -> None:
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/good")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path not in {"/good", "/short"}:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT if self.path == "/good" else CONTENT[:1000])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate for 127.0.0.1")
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-keyout", str(path) + ".key", "-out", str(path), "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.fixture(scope="module")
def server(certificate: Path) -> Iterator[str]:
    """Address of a running https server."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, str(certificate) + ".key")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.socket = tls.wrap_socket(running.socket, server_side=True)
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture
def trust(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


@pytest.fixture
def release(server: str) -> Release:
    return Release("zhang16", f"{server}/good", "weights.pth", "BSD", sha256=SHA256[:8])


def test_a_good_file_arrives_once(release: Release, trust: None, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "cache"
    path = fetch.fetch(release, folder)
    assert path == folder / "weights.pth"
    assert path.read_bytes() == CONTENT
    assert list(folder.iterdir()) == [path]
    # present and good: no server is needed any more
    gone = replace(release, url="https://127.0.0.1:1/good")
    assert fetch.fetch(gone, folder) == path


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sha256": "0" * 8}, "SHA-256"),
        ({"sha256": None, "md5": "0" * 32}, "MD5"),
        ({"size": 5}, "1,280,000 bytes instead of 5"),
    ],
)
def test_a_wrong_file_is_not_kept(
    release: Release, trust: None, tmp_path: Path, change: dict[str, str], reason: str
) -> None:
    with pytest.raises(fetch.FetchError, match=reason):
        fetch.fetch(replace(release, **change), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("page", "reason"),
    [("short", "SHA-256|cannot be reached"), ("absent", "404"), ("away", "cannot be reached")],
)
def test_a_failed_download_leaves_nothing(
    server: str, release: Release, trust: None, tmp_path: Path, page: str, reason: str
) -> None:
    with pytest.raises(fetch.FetchError, match=reason):
        fetch.fetch(replace(release, url=f"{server}/{page}"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_untrusted_server_is_refused(release: Release, tmp_path: Path) -> None:
    with pytest.raises(fetch.FetchError, match="certificate verify failed"):
        fetch.fetch(release, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_plain_http_and_files_are_refused(tmp_path: Path) -> None:
    for url in ("http://127.0.0.1:1/x", "file:///etc/hostname"):
        with pytest.raises(fetch.FetchError, match="not an https address"):
            fetch.fetch(Release("x", url, "x.pth", "BSD"), tmp_path)


def test_a_damaged_file_in_the_cache_is_reported(release: Release, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"damaged")
    with pytest.raises(fetch.FetchError, match="delete it and fetch again"):
        fetch.fetch(release, tmp_path)


def test_known_checksums_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    everything = Release("x", "https://x", "file", "BSD", sha256=SHA256, md5=MD5, size=len(CONTENT))
    assert fetch.check(path, everything) == SHA256


def test_command_fetches_prints_the_checksum_and_the_method_finds_it(
    release: Release,
    trust: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CHROMAGAN_CACHE", str(tmp_path))
    monkeypatch.setitem(RELEASES, "zhang16", release)
    assert cached_release("zhang16") is None
    assert fetch.main(["zhang16"]) == 0
    out = capsys.readouterr().out
    assert SHA256 in out
    assert str(tmp_path / "weights.pth") in out
    assert cached_release("zhang16") == tmp_path / "weights.pth"


def test_command_says_offline_what_to_put_where(
    release: Release,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    gone = replace(release, url="https://127.0.0.1:1/good")
    monkeypatch.setitem(RELEASES, "zhang16", gone)
    assert fetch.main(["zhang16", "--to", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert "cannot be reached" in message
    assert f"put it into {tmp_path} as weights.pth" in message
    assert "Traceback" not in message


@pytest.mark.parametrize("arguments", [[], ["isola"], ["zhang16", "nothing"]])
def test_command_refuses_what_nobody_published(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        fetch.main(arguments)
    assert stop.value.code == 2


def test_command_lists_every_release(capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch.main(["--list"]) == 0
    out = capsys.readouterr().out
    assert [line.split(":")[0] for line in out.splitlines()] == list(RELEASES)


def test_releases_are_https_and_can_be_recognised() -> None:
    for release in RELEASES.values():
        assert release.url.startswith("https://")
        assert release.url.endswith(release.filename)
        assert release.sha256 or release.md5 or release.size
