"""`python -m eval.fetch NAME…`: download the authors' weights of a compared system, checked.

Files go to `$CHROMAGAN_CACHE`, `$XDG_CACHE_HOME/chromagan` or `~/.cache/chromagan`, where
`eval.psnr` finds them. Only https; the checksum (or, where the authors published none, the size)
decides whether a file is kept. Offline the command says what to put where.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import sys
from pathlib import Path

from chromagan.files import cache_folder, sha256_of, write_atomically
from eval.baselines import RELEASES, Release


class FetchError(RuntimeError):
    """A download failed; the message says what happened and what to do instead."""


def fetch(release: Release, folder: Path) -> Path:
    """Download `release` into `folder` unless a good copy is there; return its path.

    Raises FetchError. A file that fails its check is removed, never left under its final name.
    """
    path = folder / release.filename
    if path.is_file():
        check(path, release)
        return path

    def download(part: Path) -> None:
        _download(release.url, part)
        check(part, release)

    try:
        write_atomically(path, download)
    except OSError as error:
        raise FetchError(f"cannot write to {folder}: {error.strerror or error}") from error
    return path


def check(path: Path, release: Release) -> str:
    """The file's SHA-256, if everything known about the release agrees; else FetchError."""
    digest = sha256_of(path)
    found, wanted = path.stat().st_size, release.size
    if wanted is not None and found != wanted:
        raise FetchError(f"{release.filename} has {found:,} bytes instead of {wanted:,}")
    if release.sha256 is not None and not digest.startswith(release.sha256):
        raise FetchError(
            f"{release.filename} has the SHA-256 {digest}, not {release.sha256}; "
            "it is damaged or another file: delete it and fetch again"
        )
    if release.md5 is not None and _md5_of(path) != release.md5:
        raise FetchError(f"{release.filename} does not have the published MD5 {release.md5}")
    return digest


def list_releases(folder: Path) -> str:
    """One line per release: name, address, licence, checksum, and whether it is here."""
    lines = []
    for release in RELEASES.values():
        known = release.sha256 and f"sha256 {release.sha256}"
        known = known or (release.md5 and f"md5 {release.md5}") or f"{release.size:,} bytes"
        here = "present" if (folder / release.filename).is_file() else "not here"
        lines.append(f"{release.method}: {release.url} ({release.licence}; {known}; {here})")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Fetch the named weights. 0: all there, 1: some failed, 2: wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m eval.fetch", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RELEASES))
    parser.add_argument("--to", type=Path, help="another folder than the cache")
    parser.add_argument("--list", action="store_true", help="show what can be fetched")
    args = parser.parse_args(argv)
    folder = args.to or cache_folder()
    if args.list:
        print(list_releases(folder))
        return 0
    if not args.names:
        parser.error("name what to fetch, or use --list")
    if unknown := [name for name in args.names if name not in RELEASES]:
        parser.error(f"no published weights of {unknown[0]!r}; choose from {', '.join(RELEASES)}")
    return max([_fetch_one(RELEASES[name], folder) for name in args.names])


def _fetch_one(release: Release, folder: Path) -> int:
    try:
        path = fetch(release, folder)
    except FetchError as error:
        print(
            f"{release.method}: {error}\nGet it on another machine from {release.url} and put it "
            f"into {folder} as {release.filename}.",
            file=sys.stderr,
        )
        return 1
    print(f"{path}\nsha256 {sha256_of(path)}\nlicence {release.licence}")
    if path.suffix == ".t7":
        print("note: a Torch7 file; convert it before use (README, compared systems)")
    return 0


def _download(url: str, part: Path) -> None:
    """torch.hub's downloader: streamed, with a bar, certificates checked."""
    from torch.hub import download_url_to_file

    if not url.startswith("https://"):
        raise FetchError(f"refused: {url} is not an https address")
    try:
        download_url_to_file(url, str(part), progress=sys.stderr.isatty())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise FetchError(f"{url} cannot be reached: {error}") from error


def _md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


if __name__ == "__main__":
    raise SystemExit(main())
