"""One photo: uploaded, coloured, looked at, adjusted, downloaded, remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from chromagan.demo.page import views
from chromagan.demo.page.parts import UNDOCUMENTED, Controls, Site, gallery, lane, photo_input
from chromagan.demo.page.theme import asset
from chromagan.demo.page.visit import Visit
from chromagan.demo.pictures.marks import Pixels, save_png, save_preview
from chromagan.demo.pictures.photo import (
    Look,
    Picture,
    Upload,
    displayable,
    grey,
    psnr,
    resized,
    with_look,
)
from chromagan.demo.texts import seconds_text
from chromagan.demo.visitors.folders import adopt, discard, forget_visitor, page_path
from chromagan.demo.visitors.history import Entry, forget, remember
from chromagan.images import ImageError, read_image
from chromagan.samples import sample_paths

Update = dict[Any, Any]

_EXAMPLE_SIDE = 320
_OPENING = "alpine-landscape"
_COLOR_EXAMPLES = (
    "macaws",
    "mountain-lake",
    "woman-red-hat",
    "half-timbered-houses",
    "river-otters",
    "cherry-tomatoes-in-hands",
    "lighthouse-rocky-coast",
    "girl-face-paint",
)


@dataclass(frozen=True)
class Shown:
    """The visitor's photograph and the files of it that a slider does not change.

    before: the grey preview. truth: the preview of a colour original, grey_psnr: what leaving it
    grey scores; both None for other photographs. saved: the last download and its look.
    """

    picture: Picture
    before: str
    truth: str | None = None
    grey_psnr: float | None = None
    saved: tuple[Look, str] | None = None


@dataclass(frozen=True)
class PhotoParts:
    """The parts of the tab; `picture` and `history` are this visitor's own (Gradio keeps them)."""

    photo: Any
    slider: Any
    view: Any
    facts: Any
    controls: Controls
    save: Any
    file: Any
    truth: Any
    three: Any
    classes: Any
    examples: dict[str, Any]
    compare: Any
    variants: Any
    shelf: Any
    strip: Any
    clear: Any
    shown: Any
    history: Any

    @classmethod
    def build(cls, site: Site, opening: tuple[str, str] | None) -> PhotoParts:
        t = site.texts
        age = site.limits.keep_minutes * 60
        parts: dict[str, Any] = {
            "shown": gr.State(None, time_to_live=age),
            "history": gr.State([], time_to_live=age),
        }
        with gr.Row(equal_height=False, elem_id="stage"):
            with gr.Column(elem_classes="stage-photo"):
                parts["photo"] = photo_input(
                    label=t("photo"),
                    sources=["upload", "webcam", "clipboard"],
                    height=280,
                    elem_id="photo",
                    buttons=["fullscreen"],
                    placeholder=t("photo_drop"),
                )
            with gr.Column(elem_classes="stage-result"):
                parts |= _result(site, opening)
            with gr.Column(elem_classes="stage-examples"):
                parts["examples"] = {
                    kind: _examples(kind, t(f"{kind}_examples")) for kind in example_files()
                }
        parts |= _comparison(site)
        with gr.Accordion(t("history"), open=True, visible=False, elem_id="shelf") as shelf:
            gr.Markdown(t("history_info"))
            strip = gallery("history", columns=8, allow_preview=False, object_fit="cover")
            clear = gr.Button(t("history_clear"), size="sm", elem_id="clear")
        return cls(**parts, shelf=shelf, strip=strip, clear=clear)


def _result(site: Site, opening: tuple[str, str] | None) -> dict[str, Any]:
    t = site.texts
    slider = gr.ImageSlider(
        opening,
        label=t("result"),
        type="filepath",
        format="png",
        interactive=False,
        elem_id="slider",
        max_height=560,
        buttons=["fullscreen"],
    )
    view = gr.Radio(
        [(t("view_before"), 100), (t("view_half"), 50), (t("view_after"), 0)],
        value=50,
        label=t("view"),
        elem_id="view",
        elem_classes="plain",
    )
    facts = gr.HTML(elem_id="facts", elem_classes="status")
    controls = Controls.build(site)
    save = gr.Button(t("download"), variant="primary", interactive=False, elem_id="download")
    file = gr.DownloadButton(t("download_again"), visible="hidden", elem_id="download-file")
    with gr.Group(visible=False, elem_classes="plain") as truth:
        gr.Markdown(t("three_way"), elem_classes="heading")
        three = gallery("three", columns=3, buttons=["fullscreen"])
    classes = gr.HTML(elem_id="classes", elem_classes="classes")
    return {
        "slider": slider,
        "view": view,
        "facts": facts,
        "controls": controls,
        "save": save,
        "file": file,
        "truth": truth,
        "three": three,
        "classes": classes,
    }


def _comparison(site: Site) -> dict[str, Any]:
    t = site.texts
    several = len(site.networks.names) > 1
    with gr.Accordion(t("compare"), open=False, visible=several, elem_id="compare"):
        gr.Markdown(t("compare_info"))
        compare = gr.Button(t("compare_button"), elem_id="compare-button")
        variants = gallery("variants", columns=3, buttons=["fullscreen"])
    return {"compare": compare, "variants": variants}


class PhotoTab:
    """What the tab's events do. Each handler returns the parts that change."""

    def __init__(self, site: Site, parts: PhotoParts, opening: Shown | None) -> None:
        self._site = site
        self._parts = parts
        self._opening = opening
        self._connect()

    def _connect(self) -> None:
        parts, workers = self._parts, self._site.workers
        network, light = lane("photo", workers.photo), lane("light", workers.light)
        controls, state = parts.controls, [parts.shown, parts.history]
        outputs = [
            parts.photo,
            parts.slider,
            parts.facts,
            parts.truth,
            parts.three,
            parts.classes,
            parts.save,
            parts.strip,
            parts.shelf,
            controls.network,
            *state,
        ]
        work: dict[str, Any] = {"show_progress_on": [parts.slider], **network}
        gr.on(
            [parts.photo.input, parts.photo.clear],
            self.photo,
            [parts.photo, *controls.all, parts.history],
            outputs,
            trigger_mode="always_last",
            **work,
        )
        for kind, examples in parts.examples.items():
            examples.select(_chosen(kind), None, parts.photo, show_progress="hidden", **light).then(
                self.photo, [parts.photo, *controls.all, parts.history], outputs, **work
            )
        controls.network.input(self.again, [*controls.all, *state], outputs, **work)
        gr.on(
            [part.input for part in controls.look],
            self.relook,
            [parts.shown, *controls.look],
            [parts.slider, parts.facts, parts.three],
            trigger_mode="always_last",
            show_progress="hidden",
            **light,
        )
        # the slider's handle answers to the mouse only: this is its keyboard
        parts.view.input(
            lambda position: gr.update(slider_position=position),
            parts.view,
            parts.slider,
            queue=False,
            show_progress="hidden",
            **UNDOCUMENTED,
        )
        parts.save.click(
            self.download,
            [parts.shown, *controls.look],
            [parts.file, parts.shown],
            **lane("full", workers.full),
        ).success(None, parts.file, js=asset("save.js"))
        parts.compare.click(
            self.compare,
            [parts.shown, controls.saturation, controls.temperature],
            parts.variants,
            **network,
        )
        parts.strip.select(self.recall, [*controls.look, parts.history], outputs, **work)
        parts.clear.click(self.clear, parts.history, outputs, **light)

    def greet(self, request: gr.Request) -> Update:
        """What a new visitor finds: one of the old photographs, done, so that nothing is blank."""
        visit, parts = Visit(request), self._parts
        if self._opening is None:
            return {parts.facts: views.paragraph(visit.say("waiting"))}
        picture = self._opening.picture
        hint = views.paragraph(visit.say("example"))
        return {
            parts.facts: views.facts(picture, None, None, visit.say) + hint,
            parts.classes: views.classes(picture.colors, visit),
            parts.save: gr.update(interactive=True),
            parts.shown: self._opening,
        }

    @property
    def greeting(self) -> tuple[Callable[..., Update], None, list[Any]]:
        """`greet` as arguments of `Blocks.load`."""
        parts = self._parts
        return self.greet, None, [parts.facts, parts.classes, parts.save, parts.shown]

    def photo(
        self,
        upload: Upload | None,
        network: str,
        saturation: float,
        temperature: float,
        stamp: bool,
        history: list[Entry],
        request: gr.Request,
    ) -> Update:
        """A photo arrived (or was removed): read it, run the network, show everything."""
        visit = Visit(request)
        if upload is None:
            return self._nothing(visit, history)
        with visit.spoken(upload.name):
            own = upload._replace(path=adopt(self._present(upload.path, visit)))
            look = Look(saturation, temperature, stamp)
            try:
                return self._show(own, upload, network, look, history, visit)
            except ImageError:
                if own.path not in {entry.source for entry in history}:
                    discard(own.path)
                raise

    def again(
        self,
        network: str,
        saturation: float,
        temperature: float,
        stamp: bool,
        shown: Shown | None,
        history: list[Entry],
        request: gr.Request,
    ) -> Update:
        """Another network was chosen for the same photo."""
        visit = Visit(request)
        if shown is None:
            return self._nothing(visit, history)
        with visit.spoken():
            own = Upload(self._present(shown.picture.source, visit), shown.picture.name)
            upload = next((e.upload for e in history if e.source == own.path), own)
            look = Look(saturation, temperature, stamp)
            return self._show(own, upload, network, look, history, visit, same_photo=True)

    def relook(
        self,
        shown: Shown | None,
        saturation: float,
        temperature: float,
        stamp: bool,
        request: gr.Request,
    ) -> Update:
        """A slider moved: recolour the preview and write that one file; no network runs."""
        if shown is None:
            return {self._parts.slider: gr.skip()}
        visit = Visit(request)
        with visit.spoken():
            return self._looked(shown, Look(saturation, temperature, stamp), visit)

    def download(
        self,
        shown: Shown | None,
        saturation: float,
        temperature: float,
        stamp: bool,
        request: gr.Request,
    ) -> Update:
        """Make the full-resolution PNG; the same look again gives the same file again."""
        visit, parts = Visit(request), self._parts
        if shown is None:
            raise visit.error("no_photo")
        with visit.spoken():
            look = Look(saturation, temperature, stamp)
            if shown.saved is None or shown.saved[0] != look or not Path(shown.saved[1]).is_file():
                self._present(shown.picture.source, visit)
                path = self._site.studio.full_result(shown.picture, look)
                shown = replace(shown, saved=(look, path))
            return {parts.file: shown.saved[1] if shown.saved else None, parts.shown: shown}

    def compare(
        self, shown: Shown | None, saturation: float, temperature: float, request: gr.Request
    ) -> Update:
        """Every network on the current photo, side by side."""
        visit = Visit(request)
        if shown is None:
            raise visit.error("no_photo")
        with visit.spoken():
            picture, look = shown.picture, Look(saturation, temperature)
            own = Upload(self._present(picture.source, visit), picture.name)
            files = [(shown.before, visit.say("caption_grey"))]
            for name in self._site.networks.names:
                colors = self._site.studio.colorize(own, name).colors
                file = save_preview(with_look(picture.preview, colors.ab, look), name)
                seconds = seconds_text(colors.seconds)
                files.append((file, visit.say("caption_network", network=name, seconds=seconds)))
            if shown.truth:
                files.append((shown.truth, visit.say("caption_truth")))
            return {self._parts.variants: files}

    def recall(
        self,
        event: gr.SelectData,
        saturation: float,
        temperature: float,
        stamp: bool,
        history: list[Entry],
        request: gr.Request,
    ) -> Update:
        """A thumbnail was clicked: that photo and network again (deterministic, so identical)."""
        visit = Visit(request)
        with visit.spoken():
            entry = history[int(event.index)]
            own = Upload(self._present(entry.source, visit), entry.upload.name)
            look = Look(saturation, temperature, stamp)
            update = self._show(own, entry.upload, entry.network, look, history, visit)
            picture = update[self._parts.shown].picture
            return update | {
                self._parts.photo: save_preview(picture.preview, picture.name),
                self._parts.controls.network: entry.network,
            }

    def clear(self, history: list[Entry], request: gr.Request) -> Update:
        """Forget and delete everything of this visitor."""
        visit = Visit(request)
        forget(history)
        forget_visitor(visit.session)
        return self._nothing(visit, [])

    def _show(
        self,
        own: Upload,
        upload: Upload,
        network: str,
        look: Look,
        history: list[Entry],
        visit: Visit,
        same_photo: bool = False,
    ) -> Update:
        parts = self._parts
        picture = self._site.studio.colorize(own, self._site.known(network, visit))
        shown = shown_of(picture)
        history = remember(history, picture, upload, self._site.limits.history)
        # what browsers cannot show (HEIC, TIFF) is replaced by a picture of it
        replaced = not same_photo and not displayable(upload.path)
        return self._looked(shown, look, visit) | {
            parts.photo: save_preview(picture.preview, picture.name) if replaced else gr.skip(),
            parts.truth: gr.update(visible=picture.has_truth),
            parts.classes: views.classes(picture.colors, visit),
            parts.save: gr.update(interactive=True),
            parts.strip: [(entry.thumb, entry.name) for entry in history],
            parts.shelf: gr.update(visible=True),
            parts.shown: shown,
            parts.history: history,
        }

    def _looked(self, shown: Shown, look: Look, visit: Visit) -> Update:
        """The parts that a look changes: one recolouring, one file."""
        parts, picture = self._parts, shown.picture
        plain = with_look(picture.preview, picture.colors.ab, replace(look, stamp=False))
        score = psnr(plain, picture.preview) if shown.truth else None
        after = save_preview(look.finish(plain), f"{picture.name}-color")
        three = [
            (shown.before, visit.say("caption_grey")),
            (after, visit.say("caption_result")),
            (shown.truth, visit.say("caption_truth")),
        ]
        return {
            parts.slider: (shown.before, after),
            parts.facts: views.facts(picture, score, shown.grey_psnr, visit.say),
            parts.three: three if shown.truth else None,
        }

    def _nothing(self, visit: Visit, history: list[Entry]) -> Update:
        parts = self._parts
        return {
            parts.photo: None,
            parts.slider: None,
            parts.facts: views.paragraph(visit.say("waiting")),
            parts.truth: gr.update(visible=False),
            parts.three: None,
            parts.classes: "",
            parts.save: gr.update(interactive=False),
            parts.strip: [(entry.thumb, entry.name) for entry in history],
            parts.shelf: gr.update(visible=bool(history)),
            parts.shown: None,
            parts.history: history,
        }

    def _present(self, source: str, visit: Visit) -> str:
        if not Path(source).is_file():
            raise visit.error("expired", minutes=self._site.limits.keep_minutes)
        return source


def shown_of(picture: Picture) -> Shown:
    """The picture with the files that no slider changes, written once."""
    grey_preview = grey(picture.preview)
    before = save_preview(grey_preview, f"{picture.name}-grey")
    if not picture.has_truth:
        return Shown(picture, before)
    truth = save_preview(picture.preview, f"{picture.name}-original")
    return Shown(picture, before, truth, psnr(grey_preview, picture.preview))


def opening(site: Site) -> tuple[Shown, tuple[str, str]]:
    """The picture that new visitors find, coloured once for all of them, and its two files."""
    path = next(path for path in sample_paths("historic") if _OPENING in path.stem)
    picture = site.studio.colorize(Upload(str(path), path.name))
    before = save_png(grey(picture.preview), page_path("opening-grey.png"))
    result = with_look(picture.preview, picture.colors.ab, Look())
    after = save_png(result, page_path("opening-color.png"))
    return Shown(picture, before), (before, after)


def example_files() -> dict[str, list[Path]]:
    """The photographs that the page offers, by kind."""
    colored = {path.stem: path for path in sample_paths("color")}
    chosen = [colored[name] for name in _COLOR_EXAMPLES if name in colored]
    return {"historic": sample_paths("historic"), "color": chosen}


def spoken_name(path: Path) -> str:
    """A sample's file name as its alternative text: "Macaws", "Nagasaki boats 1865"."""
    return path.stem.replace("-", " ").capitalize()


def _examples(kind: str, label: Any) -> Any:
    thumbs = [(_grey_thumb(path), spoken_name(path)) for path in example_files()[kind]]
    gr.Markdown(label, elem_classes="heading")
    return gallery(
        f"examples-{kind}",
        value=thumbs,
        columns=4,
        allow_preview=False,
        object_fit="cover",
        elem_classes=["strip", "examples"],
    )


def _grey_thumb(path: Path) -> str:
    small: Pixels = resized(read_image(path), _EXAMPLE_SIDE)
    return save_png(grey(small), page_path(f"thumb-{path.stem}.png"))


def _chosen(kind: str) -> Callable[..., str]:
    """The event for a click into a gallery of examples: the photo, as if it were uploaded."""
    files = example_files()[kind]

    def chosen(event: gr.SelectData) -> str:
        return str(files[int(event.index) % len(files)])

    return chosen
