"""One visit: who asks, in which language; what is shown and remembered between events."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gradio as gr

from chromagan.demo import folders
from chromagan.demo.results import (
    Form,
    Look,
    LookError,
    Saved,
    grey,
    psnr,
    resized,
    save_preview,
    with_look,
)
from chromagan.demo.studio import Guided, Picture, Upload
from chromagan.demo.texts import Say, language_for, texts
from chromagan.images import ImageError
from chromagan.inference.engines.engine import EngineError
from chromagan.inference.guides import GuideError, Point
from chromagan.inference.video.clip import VideoError

_THUMB_SIDE = 320
log = logging.getLogger("chromagan.demo")


class Visit:
    """One request: its visitor's session and language."""

    def __init__(self, request: gr.Request | None) -> None:
        self.session: str | None = getattr(request, "session_hash", None)
        header = request.headers.get("accept-language") if request else None
        self._texts = texts(language_for(header))
        self.say = Say(language_for(header))

    def label(self, key: str) -> str:
        return self._texts["labels"][key]

    def color(self, name: str) -> str:
        """The library's name of a colour in this language."""
        return self._texts.get("colors", {}).get(name, name)

    def error(self, key: str, **values: Any) -> gr.Error:
        """An error whose text is one of our messages."""
        return gr.Error(self.say(key, **values), print_exception=False)

    def unusable(self, error: ImageError, name: str) -> str:
        """Why a file is no photograph, in a sentence."""
        reason = self.say.reason(error.reason).rstrip(".")
        return self.say("unusable", name=name or Path(error.path).name, reason=reason)

    def present(self, shown: Shown | None) -> Shown:
        """The photograph that an event is about; an error where there is none."""
        if shown is None:
            raise self.error("no_photo")
        return shown

    @contextmanager
    def spoken(self, name: str = "", *, clip: str = "") -> Iterator[None]:
        """Whatever goes wrong reaches the visitor as one sentence; tracebacks go to the log only.

        name, clip: what the visitor calls the photograph and the video at hand; the server's
        folders are nobody's business. Files made inside are this visitor's.
        """
        try:
            with folders.visitor(self.session):
                yield
        except gr.Error:
            raise
        except ImageError as error:
            raise gr.Error(self.unusable(error, name), print_exception=False) from error
        except VideoError as error:
            key = "video_cut" if error.no_picture else "video_bad"
            raise self.error(key, name=clip, reason=error.reason) from error
        except (LookError, GuideError) as error:
            raise self.error("bad_look", reason=error) from error
        except EngineError as error:
            raise self.error("network_unavailable", reason=error) from error
        except Exception as error:
            log.exception("request failed")
            raise self.error("internal") from error


@dataclass(frozen=True)
class Shown:
    """The visitor's photograph, with the files that no slider and no guide changes.

    before: the grey preview. truth: the preview of a colour original, grey_psnr: what leaving it
    grey scores; both None for other photographs. saved: the last download, by its look and form.
    """

    known: Guided
    before: str
    truth: str | None = None
    grey_psnr: float | None = None
    saved: dict[tuple[Look, Form], Saved] = field(default_factory=dict)

    @classmethod
    def of(cls, known: Guided) -> Shown:
        """A photograph with its files written."""
        picture, grey_preview = known.picture, grey(known.picture.preview)
        before = save_preview(grey_preview, f"{picture.name}-grey")
        if not picture.has_truth:
            return cls(known, before)
        truth = save_preview(picture.preview, f"{picture.name}-original")
        return cls(known, before, truth, psnr(grey_preview, picture.preview))

    @property
    def picture(self) -> Picture:
        return self.known.picture

    def knowing(self, known: Guided) -> Shown:
        """The same photograph after other guides."""
        return replace(self, known=known, saved={})

    def with_points(self, points: tuple[Point, ...]) -> Shown:
        """The same photograph with these guides beside its reference."""
        return self.knowing(self.known.with_guides(replace(self.known.guides, points=points)))


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
    source, network, name = picture.source, picture.colors.network, picture.name
    points = next((e.points for e in history if e.source == source), ())
    small = with_look(resized(picture.preview, _THUMB_SIDE), picture.colors.ab, Look())
    new = Entry(source, upload, name, network, save_preview(small, name), points)
    same = [e for e in history if (e.source, e.network) == (source, network)]
    for entry in same:
        folders.discard(entry.thumb)
    history = [new, *(e for e in history if e not in same)]
    forget(history[limit:], history[:limit])
    return history[:limit]


def forget(entries: list[Entry], kept: list[Entry] | None = None) -> None:
    """Delete the files of these entries, uploads included, except what `kept` still needs."""
    needed = {entry.source for entry in kept or []}
    for entry in entries:
        folders.discard(entry.thumb)
        if entry.source not in needed:
            folders.discard(entry.source)
            folders.discard(entry.upload.path)
