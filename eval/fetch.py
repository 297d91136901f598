"""`python -m eval.fetch NAME…`: download the authors' weights of a compared system, checked.

Files go to `$CHROMAGAN_CACHE`, `$XDG_CACHE_HOME/chromagan` or `~/.cache/chromagan`, where
`eval.psnr` finds them. Only https; the checksum (or, where the authors published none, the size)
decides whether a file is kept. Offline the command says what to put where.
"""

from __future__ import annotations

import argparse
import http.client
import os
import ssl
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from eval.baselines.released import RELEASES, Release, cache_folder, file_digest

_CHUNK = 1 << 20
_TIMEOUT = 60.0  # seconds without a byte
_MAX_BYTES = 2 << 30  # no release is that large


class FetchError(RuntimeError):
    """A download failed; the message says what happened and what to do instead."""


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never away from https."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _require_https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(release: Release, folder: Path, *, context: ssl.SSLContext | None = None) -> Path:
    """Download `release` into `folder` unless a good copy is there; return its path.

    Raises FetchError. A file that fails its check is removed, never left under its final name.
    """
    path = folder / release.filename
    if path.is_file():
        check(path, release)
        return path
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, prefix=f".{release.filename}.")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in _download(release, context):
                file.write(chunk)
        check(part, release)
        os.replace(part, path)
    except OSError as error:
        raise FetchError(f"cannot write to {folder}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def check(path: Path, release: Release) -> str:
    """The file's SHA-256, if everything known about the release agrees; else FetchError."""
    digest = file_digest(path)
    found, wanted = path.stat().st_size, release.size
    if wanted is not None and found != wanted:
        raise FetchError(f"{release.filename} has {found:,} bytes instead of {wanted:,}")
    if release.sha256 is not None and not digest.startswith(release.sha256):
        raise FetchError(
            f"{release.filename} has the SHA-256 {digest}, not {release.sha256}; "
            "it is damaged or another file: delete it and fetch again"
        )
    if release.md5 is not None and file_digest(path, "md5") != release.md5:
        raise FetchError(f"{release.filename} does not have the published MD5 {release.md5}")
    return digest


def offline_hint(release: Release, folder: Path) -> str:
    """What to do by hand when the download does not work."""
    return (
        f"Get it on another machine from {release.url} and put it into {folder} "
        f"as {release.filename}."
    )


def _require_https(url: str) -> None:
    if urllib.parse.urlsplit(url).scheme != "https":
        raise FetchError(f"refused: {url} is not an https address")


def _download(release: Release, context: ssl.SSLContext | None) -> Iterator[bytes]:
    _require_https(release.url)
    opener = urllib.request.build_opener(_OnlyHttps(), urllib.request.HTTPSHandler(context=context))
    request = urllib.request.Request(release.url, headers={"User-Agent": "chromagan-eval"})  # noqa: S310
    received = 0
    try:
        with opener.open(request, timeout=_TIMEOUT) as response:
            expected = int(response.headers.get("Content-Length") or 0)
            while chunk := response.read(_CHUNK):
                received += len(chunk)
                if received > _MAX_BYTES:
                    raise FetchError(f"{release.url} sends more than {_MAX_BYTES:,} bytes")
                _progress(release.filename, received, expected)
                yield chunk
    except urllib.error.HTTPError as error:
        raise FetchError(f"{release.url} answers {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise FetchError(f"{release.url} cannot be reached: {reason}") from error
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if expected and received != expected:
        raise FetchError(f"{release.url} broke off after {received:,} of {expected:,} bytes")


def _progress(name: str, received: int, expected: int) -> None:
    if sys.stderr.isatty():
        share = f" {100 * received // expected:3d} %" if expected else ""
        print(f"\r{name}: {received / 1e6:,.0f} MB{share}", end="", file=sys.stderr)


def build_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = argparse.ArgumentParser(prog="python -m eval.fetch", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RELEASES))
    parser.add_argument("--to", type=Path, help="another folder than the cache")
    parser.add_argument("--list", action="store_true", help="show what can be fetched")
    return parser


def list_releases(folder: Path) -> str:
    """One line per release: name, address, licence, checksum, and whether it is here."""
    lines = []
    for release in RELEASES.values():
        known = release.sha256 and f"sha256 {release.sha256}"
        known = known or (release.md5 and f"md5 {release.md5}") or f"{release.size:,} bytes"
        here = "present" if (folder / release.filename).is_file() else "not here"
        lines.append(f"{release.method}: {release.url} ({release.licence}; {known}; {here})")
    return "\n".join(lines)


def main(argv: list[str] | None = None, *, context: ssl.SSLContext | None = None) -> int:
    """Fetch the named weights. 0: all there, 1: some failed, 2: wrong usage."""
    parser = build_parser()
    args = parser.parse_args(argv)
    folder = args.to or cache_folder()
    if args.list:
        print(list_releases(folder))
        return 0
    if not args.names:
        parser.error("name what to fetch, or use --list")
    unknown = [name for name in args.names if name not in RELEASES]
    if unknown:
        parser.error(f"no published weights of {unknown[0]!r}; choose from {', '.join(RELEASES)}")
    failed = 0
    for name in args.names:
        release = RELEASES[name]
        try:
            path = fetch(release, folder, context=context)
        except FetchError as error:
            failed += 1
            print(f"{name}: {error}\n{offline_hint(release, folder)}", file=sys.stderr)
            continue
        print(f"{path}\nsha256 {file_digest(path)}\nlicence {release.licence}")
        if path.suffix == ".t7":
            print("note: a Torch7 file; convert it before use (README, compared systems)")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
