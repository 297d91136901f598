"""Who asks, in which language, and how errors are put to them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from chromagan.demo.pictures.photo import LookError
from chromagan.demo.texts import Say, language_for, texts
from chromagan.demo.visitors import folders
from chromagan.images import ImageError
from chromagan.inference.engines.engine import EngineError
from chromagan.inference.guides import GuideError

T = TypeVar("T")
log = logging.getLogger("chromagan.demo")


class Visit:
    """One request: its visitor's session and language."""

    def __init__(self, request: gr.Request | None) -> None:
        self.session: str | None = getattr(request, "session_hash", None)
        header = request.headers.get("accept-language") if request else None
        self._language = language_for(header)
        self.say = Say(self._language)

    def label(self, key: str) -> str:
        return texts(self._language)["labels"][key]

    def color(self, name: str) -> str:
        """The library's name of a colour in this language."""
        return texts(self._language).get("colors", {}).get(name, name)

    def error(self, key: str, **values: Any) -> gr.Error:
        """An error whose text is one of our messages."""
        return gr.Error(self.say(key, **values), print_exception=False)

    def present(self, shown: T | None) -> T:
        """The photograph that an event is about; an error where there is none."""
        if shown is None:
            raise self.error("no_photo")
        return shown

    def unusable(self, error: ImageError, name: str = "") -> gr.Error:
        """Names the file as its visitor does; the server's folders are nobody's business."""
        reason = error.reason.rstrip(".").partition("; what is left of it")[0]
        return self.error("unusable", name=name or Path(error.path).name, reason=reason)

    @contextmanager
    def spoken(self, name: str = "") -> Iterator[None]:
        """Whatever goes wrong reaches the visitor as one sentence; tracebacks go to the log only.

        `name`: what the visitor calls the file at hand. Files made inside are this visitor's.
        """
        try:
            with folders.visitor(self.session):
                yield
        except gr.Error:
            raise
        except ImageError as error:
            raise self.unusable(error, name) from error
        except LookError as error:
            raise self.error("bad_look", reason=error) from error
        except GuideError as error:
            raise self.error("bad_look", reason=error) from error
        except EngineError as error:
            raise self.error("network_unavailable", reason=error) from error
        except Exception as error:
            log.exception("request failed")
            raise self.error("internal") from error
