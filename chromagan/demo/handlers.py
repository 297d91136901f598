"""What each event of the page does: from Gradio's values to Gradio's values.

Every visitor's data comes in as an argument and goes out as a result (Gradio keeps it per
session); the object itself holds only what all visitors may share: networks, limits, examples.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from chromagan.demo import outputs, views
from chromagan.demo.batch import Stop, colorize_all
from chromagan.demo.limits import Limits
from chromagan.demo.networks import Networks
from chromagan.demo.pictures import (
    Look,
    LookError,
    Picture,
    agreement,
    colorize,
    coloured,
    displayable,
    full_result,
    grey,
)
from chromagan.demo.session import Entry, forget, remember
from chromagan.demo.texts import LABELS, MESSAGES, Labels, Messages, language_for, seconds_text
from chromagan.demo.video import VideoError, colorize_clip
from chromagan.images import ImageError

log = logging.getLogger("chromagan.demo")


def language_of(request: gr.Request | None) -> str:
    return language_for(request.headers.get("accept-language") if request else None)


def session_of(request: gr.Request | None) -> str | None:
    return getattr(request, "session_hash", None)


def messages_of(request: gr.Request | None) -> Messages:
    return MESSAGES[language_of(request)]


def labels_of(request: gr.Request | None) -> Labels:
    return LABELS[language_of(request)]


@contextmanager
def spoken(request: gr.Request | None) -> Iterator[None]:
    """Whatever goes wrong reaches the visitor as one sentence; tracebacks go to the log only.

    Files made inside belong to the request's visitor.
    """
    messages = messages_of(request)
    try:
        with outputs.visitor(session_of(request)):
            yield
    except gr.Error:
        raise
    except ImageError as error:
        raise _said(messages.unusable, error.path, error.reason) from error
    except LookError as error:
        raise gr.Error(messages.bad_look.format(reason=error), print_exception=False) from error
    except Exception as error:
        log.exception("request failed")
        raise gr.Error(messages.internal, print_exception=False) from error


def _said(sentence: str, path: str, reason: str) -> gr.Error:
    # the base name only: a visitor has no business knowing the server's folders
    text = sentence.format(name=Path(path).name, reason=reason.rstrip("."))
    return gr.Error(text, print_exception=False)


class Handlers:
    """The page's events. networks and limits are shared; `examples` are the files it offers."""

    def __init__(self, networks: Networks, limits: Limits, examples: dict[str, list[Path]]) -> None:
        self.networks = networks
        self.limits = limits
        self.examples = examples
        self._opening: tuple[Picture, tuple[str, str]] | None = None

    def opening(self, request: gr.Request) -> tuple[Any, ...]:
        """What a new visitor finds: one of the old photographs, done, so that nothing is blank."""
        messages = messages_of(request)
        if self._opening is None:
            return f"<p>{messages.waiting}</p>", "", gr.skip(), None
        picture, _ = self._opening
        return (
            views.facts(picture, None, messages) + f"<p>{messages.example}</p>",
            views.classes(picture.colours, labels_of(request).classes, messages),
            gr.update(interactive=True),
            picture,
        )

    @property
    def opening_pair(self) -> tuple[str, str] | None:
        """Before and after of the opening picture, as files."""
        return self._opening[1] if self._opening else None

    def prepare_opening(self, path: Path) -> None:
        """Colorize the opening picture once, for all visitors (it is nobody's own)."""
        picture = colorize(str(path), self.networks, self.limits)
        before = outputs.keep(grey(picture.preview), "opening-grey")
        after = outputs.keep(coloured(picture.preview, picture.colours, Look()), "opening-colour")
        self._opening = picture, (before, after)

    # one photo -------------------------------------------------------------------------------

    def photo(
        self,
        upload: str | None,
        network: str,
        saturation: float,
        temperature: float,
        stamp: bool,
        picture: Picture | None,
        history: list[Entry],
        request: gr.Request,
    ) -> tuple[Any, ...]:
        """A photo arrived (or was removed): read it, run the network, show everything."""
        messages = messages_of(request)
        if upload is None:
            return self._nothing(messages, history)
        with spoken(request):
            source = outputs.adopt(self._present(upload, messages))
            return self._show(
                source, upload, network, Look(saturation, temperature, stamp), history, request
            )

    def again(
        self,
        network: str,
        saturation: float,
        temperature: float,
        stamp: bool,
        picture: Picture | None,
        history: list[Entry],
        request: gr.Request,
    ) -> tuple[Any, ...]:
        """Another network was chosen for the same photo."""
        messages = messages_of(request)
        if picture is None:
            return self._nothing(messages, history)
        with spoken(request):
            source = self._present(picture.source, messages)
            upload = next((e.upload for e in history if e.source == source), source)
            look = Look(saturation, temperature, stamp)
            return self._show(source, upload, network, look, history, request)

    def example(self, kind: str) -> Any:
        """The event for a click into a gallery of examples: the photo, as if it were uploaded."""

        def chosen(event: gr.SelectData) -> str:
            files = self.examples[kind]
            return str(files[int(event.index) % len(files)])

        return chosen

    def relook(
        self, picture: Picture | None, saturation: float, temperature: float, stamp: bool,
        request: gr.Request,
    ) -> tuple[Any, ...]:  # fmt: skip
        """A slider moved: recolour the preview; no network runs."""
        if picture is None:
            return gr.skip(), gr.skip(), gr.skip()
        messages = messages_of(request)
        with spoken(request):
            look = Look(saturation, temperature, stamp)
            before, after = self._pair(picture, look)
            score = agreement(picture, look)
            return (
                (before, after),
                views.facts(picture, score, messages),
                self._three(picture, before, after, messages),
            )

    def download(
        self, picture: Picture | None, saturation: float, temperature: float, stamp: bool,
        request: gr.Request,
    ) -> str:  # fmt: skip
        """Make the full-resolution PNG."""
        messages = messages_of(request)
        if picture is None:
            raise gr.Error(messages.no_photo, print_exception=False)
        with spoken(request):
            self._present(picture.source, messages)
            return full_result(picture, Look(saturation, temperature, stamp), self.limits)

    def compare(
        self, picture: Picture | None, saturation: float, temperature: float, request: gr.Request
    ) -> list[tuple[str, str]]:
        """Every network on the current photo, side by side."""
        messages = messages_of(request)
        if picture is None:
            raise gr.Error(messages.no_photo, print_exception=False)
        with spoken(request):
            source = self._present(picture.source, messages)
            look = Look(saturation, temperature)
            shown = [(self._file(grey(picture.preview), "grey"), messages.caption_grey)]
            for name in self.networks.names:
                other = colorize(source, self.networks, self.limits, name)
                file = self._file(coloured(picture.preview, other.colours, look), name)
                time = seconds_text(other.colours.seconds)
                shown.append((file, messages.caption_network.format(network=name, seconds=time)))
            if picture.has_truth:
                truth = self._file(picture.preview, "original")
                shown.append((truth, messages.caption_truth))
            return shown

    # history ---------------------------------------------------------------------------------

    def recall(
        self,
        event: gr.SelectData,
        saturation: float,
        temperature: float,
        stamp: bool,
        history: list[Entry],
        request: gr.Request,
    ) -> tuple[Any, ...]:
        """A thumbnail was clicked: that photo and network again (deterministic, so identical)."""
        messages = messages_of(request)
        with spoken(request):
            entry = history[int(event.index)]
            source = self._present(entry.source, messages)
            look = Look(saturation, temperature, stamp)
            shown = self._show(source, entry.upload, entry.network, look, history, request)
            return (self._input_preview(shown[-2]), entry.network, *shown[1:])

    def clear(self, picture: Picture | None, history: list[Entry], request: gr.Request) -> Any:
        """Forget and delete everything of this visitor."""
        forget(history)
        outputs.forget_visitor(session_of(request))
        return self._nothing(messages_of(request), [])

    # several photos --------------------------------------------------------------------------

    def batch(
        self,
        files: list[str] | None,
        network: str,
        saturation: float,
        temperature: float,
        stamp: bool,
        stop: Stop,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        """Results as they come; the ZIP at the end."""
        messages = messages_of(request)
        if not files:
            raise gr.Error(messages.no_files, print_exception=False)
        with spoken(request):
            stop.requested = False
            look = Look(saturation, temperature, stamp)
            steps = colorize_all(
                files, self.networks, self.limits, messages,
                network=self.known(network, messages), look=look, stop=stop,
            )  # fmt: skip
            shown = -1
            for progress in outputs.as_visitor(session_of(request), steps):
                fresh = len(progress.results) != shown
                shown = len(progress.results)
                yield (
                    list(progress.results) if fresh else gr.skip(),
                    views.batch(progress, messages),
                    gr.update(value=progress.zip, visible=progress.zip is not None),
                )

    def stop(self, stop: Stop) -> Stop:
        stop.requested = True
        return stop

    # video -----------------------------------------------------------------------------------

    def video(
        self,
        clip: str | None,
        network: str,
        saturation: float,
        temperature: float,
        stamp: bool,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        messages = messages_of(request)
        if not clip:
            raise gr.Error(messages.no_video, print_exception=False)
        name = Path(clip).name
        chosen = self.known(network, messages)
        with spoken(request):
            try:
                look = Look(saturation, temperature, stamp)
                steps = colorize_clip(clip, self.networks, self.limits, network=chosen, look=look)
                for state in outputs.as_visitor(session_of(request), steps):
                    text = views.video(
                        state, name, self.networks.device(chosen),
                        self.limits.video_seconds, messages,
                    )  # fmt: skip
                    yield state.path or gr.skip(), text
            except VideoError as error:
                sentence = messages.video_cut if error.no_picture else messages.video_bad
                raise _said(sentence, name, error.reason) from error

    # shared ----------------------------------------------------------------------------------

    def _show(
        self,
        source: str,
        upload: str,
        network: str,
        look: Look,
        history: list[Entry],
        request: gr.Request,
    ) -> tuple[Any, ...]:
        messages = messages_of(request)
        chosen = self.known(network, messages)
        try:
            picture = colorize(source, self.networks, self.limits, chosen)
        except ImageError:
            if source not in {entry.source for entry in history}:
                outputs.discard(source)
            raise
        before, after = self._pair(picture, look)
        history = remember(history, picture, upload, self.limits.history)
        return (
            self._input_update(upload, picture),
            (before, after),
            views.facts(picture, agreement(picture, look), messages),
            gr.update(visible=picture.has_truth),
            self._three(picture, before, after, messages),
            views.classes(picture.colours, labels_of(request).classes, messages),
            gr.update(interactive=True),
            [(entry.thumb, entry.name) for entry in history],
            gr.update(visible=True),
            picture,
            history,
        )

    def _nothing(self, messages: Messages, history: list[Entry]) -> tuple[Any, ...]:
        return (
            None,
            None,
            f"<p>{messages.waiting}</p>",
            gr.update(visible=False),
            None,
            "",
            gr.update(interactive=False),
            [(entry.thumb, entry.name) for entry in history],
            gr.update(visible=bool(history)),
            None,
            history,
        )

    def _input_update(self, upload: str, picture: Picture) -> Any:
        """What browsers cannot show (HEIC, TIFF) is replaced by a picture of it."""
        return gr.skip() if displayable(upload) else self._file(picture.preview, picture.name)

    def _input_preview(self, picture: Picture) -> str:
        return self._file(picture.preview, picture.name)

    def _pair(self, picture: Picture, look: Look) -> tuple[str, str]:
        return (
            self._file(grey(picture.preview), f"{picture.name}-grey"),
            self._file(coloured(picture.preview, picture.colours, look), f"{picture.name}-colour"),
        )

    def _three(
        self, picture: Picture, before: str, after: str, messages: Messages
    ) -> list[tuple[str, str]] | None:
        if not picture.has_truth:
            return None
        truth = self._file(picture.preview, f"{picture.name}-original")
        return [
            (before, messages.caption_grey),
            (after, messages.caption_result),
            (truth, messages.caption_truth),
        ]

    def _file(self, image: Any, name: str) -> str:
        return outputs.save_preview(image, name)

    def _present(self, source: str, messages: Messages) -> str:
        if not Path(source).is_file():
            text = messages.expired.format(minutes=self.limits.keep_minutes)
            raise gr.Error(text, print_exception=False)
        return source

    def known(self, network: str | None, messages: Messages) -> str:
        name = network or self.networks.default
        if name not in self.networks.names:
            names = ", ".join(self.networks.names)
            raise gr.Error(
                messages.unknown_network.format(name=name, names=names), print_exception=False
            )
        return name
