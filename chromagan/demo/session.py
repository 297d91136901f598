"""What is remembered for one visitor while the page is open; nothing is shared between visitors."""

from __future__ import annotations

from dataclasses import dataclass

from chromagan.demo import outputs
from chromagan.demo.photos import resized
from chromagan.demo.pictures import Look, Picture, coloured

_THUMB_SIDE = 320


@dataclass(frozen=True)
class Entry:
    """A photograph of this visit: enough to show and to redo it, no full-size pixels.

    source: this visitor's own file. upload: Gradio's copy of it, deleted along.
    """

    source: str
    upload: str
    name: str
    network: str
    thumb: str


def entry_for(picture: Picture, upload: str) -> Entry:
    """Make the thumbnail and the entry for a picture just colorized."""
    small = coloured(resized(picture.preview, _THUMB_SIDE), picture.colours, Look())
    thumb = outputs.save_preview(small, picture.name)
    return Entry(picture.source, upload, picture.name, picture.colours.network, thumb)


def remember(history: list[Entry], picture: Picture, upload: str, limit: int) -> list[Entry]:
    """Newest first, one entry per photo and network, at most `limit`; what falls out is deleted."""
    new = entry_for(picture, upload)
    same = [e for e in history if (e.source, e.network) == (new.source, new.network)]
    rest = [e for e in history if e not in same]
    kept, dropped = [new, *rest][:limit], [new, *rest][limit:]
    for entry in same:
        outputs.discard(entry.thumb)
    forget(dropped, kept)
    return kept


def forget(entries: list[Entry], kept: list[Entry] | None = None) -> None:
    """Delete the files of these entries, uploads included, except what `kept` still needs."""
    needed = {entry.source for entry in kept or []}
    for entry in entries:
        outputs.discard(entry.thumb)
        if entry.source not in needed:
            outputs.discard(entry.source)
            outputs.discard(entry.upload)
