"""File names as visitors gave them, made fit for every disk, every script kept."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

MAX_BYTES = 200
"""Of a stem in UTF-8: file systems take 255 for the whole name, our endings need some."""


def safe_stem(name: str) -> str:
    """A file stem from a visitor's file name: letters and digits of all scripts, `-`, `_`."""
    stem = PurePosixPath(name.replace("\\", "/")).stem
    plain = "".join(c if _kept(c) else "-" for c in unicodedata.normalize("NFC", stem))
    dashed = "-".join(part for part in plain.split("-") if part)
    return _cut(dashed.strip("-_"), MAX_BYTES).strip("-_") or "photo"


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
