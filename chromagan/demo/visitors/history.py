"""What is remembered for one visitor while the page is open; nothing is shared between visitors."""

from __future__ import annotations

from dataclasses import dataclass, replace

from chromagan.demo.pictures.marks import save_preview
from chromagan.demo.pictures.photo import Look, Picture, Upload, resized, with_look
from chromagan.demo.visitors.folders import discard
from chromagan.inference.guides import Point

_THUMB_SIDE = 320


@dataclass(frozen=True)
class Entry:
    """A photograph of this visit: enough to show and to redo it, no full-size pixels.

    source: this visitor's own file. upload: Gradio's copy of it, deleted along. points: the guides
    that were set on it.
    """

    source: str
    upload: Upload
    name: str
    network: str
    thumb: str
    points: tuple[Point, ...] = ()


def remember(history: list[Entry], picture: Picture, upload: Upload, limit: int) -> list[Entry]:
    """Newest first, one entry per photo and network, at most `limit`; what falls out is deleted."""
    points = next((e.points for e in history if e.source == picture.source), ())
    new = _entry(picture, upload, points)
    same = [e for e in history if (e.source, e.network) == (new.source, new.network)]
    rest = [e for e in history if e not in same]
    kept, dropped = [new, *rest][:limit], [new, *rest][limit:]
    for entry in same:
        discard(entry.thumb)
    forget(dropped, kept)
    return kept


def with_points(history: list[Entry], source: str, points: tuple[Point, ...]) -> list[Entry]:
    """The same, with these guides on every entry of that photograph."""
    return [replace(e, points=points) if e.source == source else e for e in history]


def forget(entries: list[Entry], kept: list[Entry] | None = None) -> None:
    """Delete the files of these entries, uploads included, except what `kept` still needs."""
    needed = {entry.source for entry in kept or []}
    for entry in entries:
        discard(entry.thumb)
        if entry.source not in needed:
            discard(entry.source)
            discard(entry.upload.path)


def _entry(picture: Picture, upload: Upload, points: tuple[Point, ...]) -> Entry:
    small = with_look(resized(picture.preview, _THUMB_SIDE), picture.colors.ab, Look())
    thumb = save_preview(small, picture.name)
    return Entry(picture.source, upload, picture.name, picture.colors.network, thumb, points)
