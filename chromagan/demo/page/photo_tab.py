"""One photo: uploaded, coloured, looked at, adjusted, guided, downloaded, remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import gradio as gr

from chromagan.demo.page import views
from chromagan.demo.page.guide_panel import GuidePanel
from chromagan.demo.page.guide_view import view_of
from chromagan.demo.page.parts import UNDOCUMENTED, Site, lane
from chromagan.demo.page.photo_parts import PhotoParts, chosen_example, file_kinds
from chromagan.demo.page.shown import Shown, show
from chromagan.demo.page.theme import asset
from chromagan.demo.page.visit import Visit
from chromagan.demo.pictures.guided import Guided
from chromagan.demo.pictures.marks import Form, save_preview
from chromagan.demo.pictures.photo import Look, Upload, displayable, psnr, with_look
from chromagan.demo.texts import seconds_text
from chromagan.demo.visitors.folders import adopt, discard, forget_visitor
from chromagan.demo.visitors.history import Entry, forget, remember
from chromagan.images import ImageError
from chromagan.inference.guides import Guides

Update = dict[Any, Any]


class PhotoTab:
    """What the tab's events do. Each handler returns the parts that change."""

    def __init__(self, site: Site, parts: PhotoParts, opening: Shown | None) -> None:
        self._site = site
        self.parts = parts
        self._opening = opening
        self._connect()

    def follow(self, event: Any) -> None:
        """Take what `event` put into `parts.photo` as if it had been uploaded."""
        inputs = [self.parts.photo, *self.parts.controls.all, self.parts.history]
        event.then(self.photo, inputs, self._outputs, **self._work)

    @property
    def _work(self) -> dict[str, Any]:
        """How events run that need a network."""
        progress = {"show_progress_on": [self.parts.slider]}
        return {**progress, **lane("photo", self._site.workers.photo)}

    @property
    def _outputs(self) -> list[Any]:
        """What another photograph changes."""
        parts = self.parts
        return [
            parts.photo,
            *parts.looked,
            parts.truth,
            parts.classes,
            parts.form.kind,
            parts.save,
            parts.strip,
            parts.shelf,
            parts.controls.network,
            parts.guides.editor,
            parts.guides.reference,
            parts.shown,
            parts.history,
        ]

    def _connect(self) -> None:
        parts, outputs, work = self.parts, self._outputs, self._work
        controls, state = parts.controls, [parts.shown, parts.history]
        light = lane("light", self._site.workers.light)
        gr.on(
            [parts.photo.input, parts.photo.clear],
            self.photo,
            [parts.photo, *controls.all, parts.history],
            outputs,
            trigger_mode="always_last",
            **work,
        )
        for kind, examples in parts.examples.items():
            event = chosen_example(kind)
            self.follow(examples.select(event, None, parts.photo, show_progress="hidden", **light))
        controls.network.input(self.again, [*controls.all, *state], outputs, **work)
        GuidePanel(self._site, parts, self.looked).connect()
        gr.on(
            [part.input for part in controls.look],
            self.relook,
            [parts.shown, *controls.look],
            parts.looked,
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
            [parts.shown, *controls.look, *parts.form.all],
            [parts.file, parts.shown],
            **lane("full", self._site.workers.full),
        ).success(None, parts.file, js=asset("save.js"))
        parts.compare.click(
            self.compare,
            [parts.shown, controls.saturation, controls.temperature],
            parts.variants,
            **lane("photo", self._site.workers.photo),
        )
        parts.strip.select(self.recall, [*controls.look, parts.history], outputs, **work)
        parts.clear.click(self.clear, parts.history, outputs, **light)

    def greet(self, request: gr.Request) -> Update:
        """What a new visitor finds: one of the old photographs, done, so that nothing is blank."""
        visit, parts = Visit(request), self.parts
        if self._opening is None:
            return {
                parts.facts: views.paragraph(visit.say("waiting")),
                parts.guides.editor: view_of(None, visit, fresh=True),
            }
        picture = self._opening.picture
        hint = views.paragraph(visit.say("example"))
        return {
            parts.facts: views.facts(picture, None, None, visit.say) + hint,
            parts.classes: views.classes(picture.colors, visit),
            parts.save: gr.update(interactive=True),
            parts.shown: self._opening,
            parts.guides.editor: view_of(self._opening, visit, fresh=True),
        }

    @property
    def greeting(self) -> tuple[Callable[..., Update], None, list[Any]]:
        """`greet` as arguments of `Blocks.load`."""
        parts = self.parts
        changed = [parts.facts, parts.classes, parts.save, parts.shown, parts.guides.editor]
        return self.greet, None, changed

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
            return self._show(own, upload, network, look, history, visit, before=shown)

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
            return {self.parts.slider: gr.skip()}
        visit = Visit(request)
        with visit.spoken():
            return self.looked(shown, Look(saturation, temperature, stamp), visit)

    def download(
        self,
        shown: Shown | None,
        saturation: float,
        temperature: float,
        stamp: bool,
        kind: Literal["png", "jpeg", "tiff"],
        keep: bool,
        request: gr.Request,
    ) -> Update:
        """Make the full-resolution file; the same wishes again give the same file again."""
        visit, parts = Visit(request), self.parts
        if shown is None:
            raise visit.error("no_photo")
        with visit.spoken():
            look, form = Look(saturation, temperature, stamp), Form(kind, keep)
            path = shown.saved[2] if shown.saved and shown.saved[:2] == (look, form) else None
            if path is None or not Path(path).is_file():
                self._present(shown.picture.source, visit)
                path = self._site.studio.full_result(shown.picture, look, shown.known.ab, form)
                shown = replace(shown, saved=(look, form, path))
            return {parts.file: path, parts.shown: shown}

    def compare(
        self, shown: Shown | None, saturation: float, temperature: float, request: gr.Request
    ) -> Update:
        """Every network on the current photo and its guides, side by side."""
        visit = Visit(request)
        if shown is None:
            raise visit.error("no_photo")
        with visit.spoken():
            studio, picture = self._site.studio, shown.picture
            look = Look(saturation, temperature)
            own = Upload(self._present(picture.source, visit), picture.name)
            files = [(shown.before, visit.say("caption_grey"))]
            for name in self._site.networks.names:
                other = shown.known.of_network(studio.colorize(own, name), studio)
                file = save_preview(with_look(picture.preview, other.ab, look), name)
                seconds = seconds_text(other.picture.colors.seconds)
                files.append((file, visit.say("caption_network", network=name, seconds=seconds)))
            if shown.truth:
                files.append((shown.truth, visit.say("caption_truth")))
            return {self.parts.variants: files}

    def recall(
        self,
        event: gr.SelectData,
        saturation: float,
        temperature: float,
        stamp: bool,
        history: list[Entry],
        request: gr.Request,
    ) -> Update:
        """A thumbnail was clicked: that photo, network and points again, so the same picture."""
        visit = Visit(request)
        with visit.spoken():
            entry = history[int(event.index)]
            own = Upload(self._present(entry.source, visit), entry.upload.name)
            look = Look(saturation, temperature, stamp)
            guides = Guides(entry.points)
            update = self._show(own, entry.upload, entry.network, look, history, visit, guides)
            picture = update[self.parts.shown].picture
            return update | {
                self.parts.photo: save_preview(picture.preview, picture.name),
                self.parts.controls.network: entry.network,
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
        guides: Guides | None = None,
        before: Shown | None = None,
    ) -> Update:
        """guides: of a photograph that comes back. before: what was shown of the same photograph,
        whose guides and reference go on."""
        parts, studio = self.parts, self._site.studio
        picture = studio.colorize(own, self._site.known(network, visit))
        if before is not None:
            known = before.known.of_network(picture, studio)
        else:
            known = Guided.of(picture).with_guides(guides or Guides())
        shown = show(known)
        history = remember(history, picture, upload, self._site.limits.history)
        # what browsers cannot show (HEIC, TIFF) is replaced by a picture of it
        replaced = before is None and not displayable(upload.path)
        return self.looked(shown, look, visit) | {
            parts.photo: save_preview(picture.preview, picture.name) if replaced else gr.skip(),
            parts.truth: gr.update(visible=picture.has_truth),
            parts.classes: views.classes(picture.colors, visit),
            parts.form.kind: gr.skip() if before else _formats(picture.deep),
            parts.save: gr.update(interactive=True),
            parts.strip: [(entry.thumb, entry.name) for entry in history],
            parts.shelf: gr.update(visible=True),
            parts.guides.editor: view_of(shown, visit, fresh=before is None),
            parts.guides.reference: gr.skip() if before else None,
            parts.shown: shown,
            parts.history: history,
        }

    def looked(self, shown: Shown, look: Look, visit: Visit) -> Update:
        """The parts that a look changes: one recolouring, one file."""
        parts, picture = self.parts, shown.picture
        plain = with_look(picture.preview, shown.known.ab, replace(look, stamp=False))
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
        parts = self.parts
        return {
            parts.photo: None,
            parts.slider: None,
            parts.facts: views.paragraph(visit.say("waiting")),
            parts.truth: gr.update(visible=False),
            parts.three: None,
            parts.classes: "",
            parts.form.kind: _formats(deep=False),
            parts.save: gr.update(interactive=False),
            parts.strip: [(entry.thumb, entry.name) for entry in history],
            parts.shelf: gr.update(visible=bool(history)),
            parts.guides.editor: view_of(None, visit, fresh=True),
            parts.guides.reference: None,
            parts.shown: None,
            parts.history: history,
        }

    def _present(self, source: str, visit: Visit) -> str:
        if not Path(source).is_file():
            raise visit.error("expired", minutes=self._site.limits.keep_minutes)
        return source


def _formats(deep: bool) -> Any:
    """For another photograph: back to PNG, and TIFF where it has 16 bits."""
    return gr.update(choices=file_kinds(deep=deep), value="png")
