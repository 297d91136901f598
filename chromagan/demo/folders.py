"""Where visitors' files lie, what they are called, and when they are deleted.

Every file lies in a folder with a random name of its own: no visitor's file can be guessed, and no
two visitors ever share a path. Its own name is the visitor's, made fit for every disk.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import shutil
import tempfile
import time
import unicodedata
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path, PurePosixPath
from typing import TypeVar

T = TypeVar("T")

MAX_STEM_BYTES = 200
"""In UTF-8: file systems take 255 for the whole name, our endings need some."""
_SECRET = secrets.token_bytes(16)
_visitor: ContextVar[str | None] = ContextVar("visitor", default=None)


def cache_root() -> Path:
    """The server's own temporary folder; `server.prepare` makes it private and removes it."""
    return Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir()) / "gradio")


def visitors_root() -> Path:
    """Where visitors' files lie; `sweep` empties it."""
    return cache_root() / "visitors"


@contextlib.contextmanager
def visitor(session: str | None) -> Iterator[None]:
    """Whose files `new_path` makes inside this block: those that `forget_visitor` deletes."""
    before = _visitor.get()
    _visitor.set(session)
    try:
        yield
    finally:
        _visitor.set(before)  # not `reset`: a generator may be closed in another context


def as_visitor(session: str | None, steps: Iterator[T]) -> Iterator[T]:
    """A generator each of whose steps runs as that visitor (Gradio changes threads between)."""
    while True:
        with visitor(session):
            try:
                step = next(steps)
            except StopIteration:
                return
        yield step


def visitor_folder(session: str | None) -> Path:
    """A visitor's folder; its name tells nothing about the session."""
    name = hmac.new(_SECRET, (session or "").encode(), "sha256").hexdigest()
    return visitors_root() / name[:40]


def forget_visitor(session: str | None) -> None:
    """Delete everything that was made for this visitor."""
    if session:
        shutil.rmtree(visitor_folder(session), ignore_errors=True)


def new_path(name: str) -> Path:
    """A path nobody else has: `<visitors>/<visitor>/<random>/<name>`, the folder made."""
    folder = visitor_folder(_visitor.get()) / secrets.token_hex(20)
    folder.mkdir(parents=True)
    return folder / name


def page_path(name: str) -> Path:
    """A path for a picture of the page itself (examples), kept for as long as the server runs."""
    folder = cache_root() / "page"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def adopt(upload: str) -> str:
    """A visitor's own name for an uploaded file (a hard link where the disk has them).

    Gradio files uploads by content: two visitors with the same picture share one path, and one
    of them deleting it must not take it from the other. Files from elsewhere stay where they are.
    """
    source = Path(upload).resolve()
    if cache_root().resolve() not in source.parents:
        return upload
    own = new_path(source.name)
    try:
        os.link(source, own)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, own)
    return str(own)


def sweep(max_age_seconds: float) -> int:
    """Delete visitors' files older than that; returns how many."""
    horizon = time.time() - max_age_seconds
    removed = 0
    for folder in visitors_root().glob("*/*"):
        # the folder's age counts: a link's own times are those of the upload
        with contextlib.suppress(OSError):
            if folder.stat().st_mtime < horizon:
                removed += sum(1 for file in folder.iterdir() if file.is_file())
                shutil.rmtree(folder)
                folder.parent.rmdir()  # refuses, silently, while it holds anything else
    return removed


def discard(path: str | Path | None) -> None:
    """Remove a file of ours and its folder; files elsewhere are not touched."""
    if not path:
        return
    target = Path(path).resolve()
    root = cache_root().resolve()
    if root not in target.parents:
        return
    target.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not empty, or gone already
        target.parent.rmdir()


def safe_stem(name: str) -> str:
    """A file stem from a visitor's file name: letters and digits of all scripts, `-`, `_`."""
    stem = PurePosixPath(name.replace("\\", "/")).stem
    plain = "".join(c if _kept(c) else "-" for c in unicodedata.normalize("NFC", stem))
    dashed = "-".join(part for part in plain.split("-") if part)
    return _cut(dashed.strip("-_"), MAX_STEM_BYTES).strip("-_") or "photo"


def unused(stem: str, taken: set[str]) -> str:
    """The stem, numbered where its like is taken already; what it was given is added to `taken`.

    Names that differ in case only are the same file on some disks.
    """
    number, name = 1, stem
    while (key := unicodedata.normalize("NFC", name).casefold()) in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(key)
    return name


def _kept(character: str) -> bool:
    selector = "\ufe00" <= character <= "\ufe0f"  # of an emoji: a mark of nothing that is kept
    return (unicodedata.category(character)[0] in "LMN" or character in "-_") and not selector


def _cut(text: str, size: int) -> str:
    """At most `size` bytes of UTF-8; no mark is parted from its letter."""
    if len(text.encode()) <= size:
        return text
    cut = len(text.encode()[:size].decode(errors="ignore"))
    while cut > 1 and unicodedata.category(text[cut])[0] == "M":
        cut -= 1
    return text[:cut]
