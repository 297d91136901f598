"""One photo: uploaded, coloured, looked at, adjusted, guided, downloaded, remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from chromagan.demo.folders import adopt, discard, forget_visitor
from chromagan.demo.page import views
from chromagan.demo.page.guides import GuidePanel, view_of
from chromagan.demo.page.parts import (
    QUIET,
    UNDOCUMENTED,
    Site,
    Update,
    Values,
    asset,
    file_kinds,
    lane,
)
from chromagan.demo.page.photo_parts import PhotoParts
from chromagan.demo.page.visit import Entry, Shown, Visit, forget, remember
from chromagan.demo.results import Look, psnr, save_preview, stamped, with_look
from chromagan.demo.studio import Guided, Picture, Upload
from chromagan.demo.texts import seconds_text
from chromagan.images import ImageError
from chromagan.inference.guides import Guides

_DISPLAYABLE = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".jfif"}
"""What browsers show themselves (HEIC and TIFF they do not)."""


class PhotoTab:
    """What the tab's events do. Each handler returns the parts that change."""

    def __init__(self, site: Site, parts: PhotoParts, opening: Shown | None) -> None:
        self._site = site
        self.parts = parts
        self._opening = opening
        controls = parts.controls
        self._uploaded = {parts.photo, *controls.all, parts.history}
        # what another photograph changes
        self._outputs = [
            parts.photo,
            controls.network,
            *parts.looked,
            *parts.around,
            *parts.renewed,
        ]
        network = lane("photo", site.workers.photo)
        self._work = {"show_progress_on": [parts.slider], **network}
        self._connect(network, lane("light", site.workers.light))
        GuidePanel(site, parts, self.looked)

    def follow(self, event: Any) -> None:
        """Take what `event` put into `parts.photo` as if it had been uploaded."""
        event.then(self.photo, self._uploaded, self._outputs, **self._work)

    def _connect(self, network: dict[str, Any], light: dict[str, Any]) -> None:
        parts, outputs, work = self.parts, self._outputs, self._work
        controls = parts.controls
        last: dict[str, Any] = {"trigger_mode": "always_last"}
        uploads = [parts.photo.input, parts.photo.clear]
        gr.on(uploads, self.photo, self._uploaded, outputs, **last, **work)
        for examples, files in parts.examples:
            self.follow(examples.select(_chosen(files), None, parts.photo, **QUIET, **light))
        known: set[Any] = {*controls.all, parts.shown, parts.history}
        controls.network.input(self.again, known, [*parts.looked, *parts.around], **work)
        looked: set[Any] = {parts.shown, *controls.look}
        moved = [part.input for part in controls.look]
        gr.on(moved, self.relook, looked, parts.looked, **last, **QUIET, **light)
        # the slider's handle answers to the mouse only: this is its keyboard
        parts.view.input(
            lambda position: gr.update(slider_position=position),
            parts.view,
            parts.slider,
            queue=False,
            **QUIET,
            **UNDOCUMENTED,
        )
        parts.save.click(
            self.download,
            {*looked, *parts.form.all},
            [parts.file, parts.remarks, parts.shown],
            **lane("full", self._site.workers.full),
        ).success(None, parts.file, js=asset("save.js"))
        parts.compare.click(self.compare, looked, parts.variants, **network)
        parts.strip.select(self.recall, {*controls.look, parts.history}, outputs, **work)
        parts.clear.click(self.clear, {parts.history}, outputs, **light)

    def greet(self, request: gr.Request) -> Update:
        """What a new visitor finds: one of the old photographs, done, so that nothing is blank."""
        visit, opening = Visit(request), self._opening
        if opening is None:
            facts = views.paragraph(visit.say("waiting"))
        else:
            facts = views.facts(opening, None, visit.say)
            facts += views.paragraph(visit.say("example"))
        return {self.parts.facts: facts} | self._around(opening, [], visit)

    def photo(self, values: Values, request: gr.Request) -> Update:
        """A photo arrived (or was removed): read it, run the network, show everything."""
        visit, parts = Visit(request), self.parts
        upload, history = values[parts.photo], values[parts.history]
        if upload is None:
            return {parts.photo: None} | self._nothing(history, visit)
        with visit.spoken(upload.name):
            own = upload._replace(path=adopt(self._present(upload.path, visit)))
            try:
                known = Guided.of(self._colorized(own, values[parts.controls.network], visit))
            except ImageError as error:
                if own.path not in {entry.source for entry in history}:
                    discard(own.path)
                return self._refused(visit.unusable(error, upload.name), history, visit)
            # what browsers cannot show is replaced by a picture of it
            displayable = Path(upload.path).suffix.lower() in _DISPLAYABLE
            shown_as = upload.path if displayable else _preview(known)
            return self._show(known, upload, values, visit) | {parts.photo: shown_as}

    def again(self, values: Values, request: gr.Request) -> Update:
        """Another network was chosen for the same photo: its guides and reference go on."""
        visit, parts = Visit(request), self.parts
        shown, history = values[parts.shown], values[parts.history]
        if shown is None:
            return self._nothing(history, visit, fresh=False)
        with visit.spoken():
            own = self._own(shown, visit)
            upload = next((e.upload for e in history if e.source == own.path), own)
            picture = self._colorized(own, values[parts.controls.network], visit)
            known = shown.known.of_network(picture, self._site.studio)
            return self._show(known, upload, values, visit, fresh=False)

    def relook(self, values: Values, request: gr.Request) -> Update:
        """A slider moved: recolour the preview and write that one file; no network runs."""
        visit, shown = Visit(request), values[self.parts.shown]
        if shown is None:
            return {self.parts.slider: gr.skip()}
        with visit.spoken():
            return self.looked(shown, self.parts.controls.look_of(values), visit)

    def download(self, values: Values, request: gr.Request) -> Update:
        """Make the full-resolution file; the same wishes again give the same file again."""
        visit, parts = Visit(request), self.parts
        with visit.spoken():
            shown = visit.present(values[parts.shown])
            wish = parts.controls.look_of(values), parts.form.form_of(values)
            saved = shown.saved.get(wish)
            if saved is None or not Path(saved.path).is_file():
                self._own(shown, visit)
                saved = self._site.studio.full_result(shown.known, *wish)
                shown = replace(shown, saved={wish: saved})
            remarks = views.remarks(saved.notes, visit.say)
            return {parts.file: saved.path, parts.remarks: remarks, parts.shown: shown}

    def compare(self, values: Values, request: gr.Request) -> Update:
        """Every network on the current photo and its guides, side by side, without a mark."""
        visit, parts, studio = Visit(request), self.parts, self._site.studio
        with visit.spoken():
            shown = visit.present(values[parts.shown])
            look = replace(parts.controls.look_of(values), stamp=False)
            own = self._own(shown, visit)
            files = [(shown.before, visit.say("caption_grey"))]
            for name in self._site.networks.names:
                other = shown.known.of_network(studio.colorize(own, name), studio)
                file = save_preview(with_look(shown.picture.preview, other.ab, look), name)
                seconds = seconds_text(other.picture.colors.seconds)
                files.append((file, visit.say("caption_network", network=name, seconds=seconds)))
            if shown.truth:
                files.append((shown.truth, visit.say("caption_truth")))
            return {parts.variants: files}

    def recall(self, values: Values, event: gr.SelectData, request: gr.Request) -> Update:
        """A thumbnail was clicked: that photo, network and points again, so the same picture."""
        visit, parts = Visit(request), self.parts
        with visit.spoken():
            entry: Entry = values[parts.history][int(event.index)]
            own = Upload(self._present(entry.source, visit), entry.upload.name)
            picture = self._colorized(own, entry.network, visit)
            known = Guided.of(picture).with_guides(Guides(entry.points))
            update = self._show(known, entry.upload, values, visit)
            return update | {parts.photo: _preview(known), parts.controls.network: entry.network}

    def clear(self, values: Values, request: gr.Request) -> Update:
        """Forget and delete everything of this visitor."""
        visit = Visit(request)
        forget(values[self.parts.history])
        forget_visitor(visit.session)
        return {self.parts.photo: None} | self._nothing([], visit)

    def _show(
        self, known: Guided, upload: Upload, values: Values, visit: Visit, *, fresh: bool = True
    ) -> Update:
        """fresh: another photograph than the one before."""
        parts, limit = self.parts, self._site.limits.history
        shown = Shown.of(known)
        history = remember(values[parts.history], known.picture, upload, limit)
        update = self.looked(shown, parts.controls.look_of(values), visit)
        return update | self._around(shown, history, visit, fresh=fresh)

    def looked(self, shown: Shown, look: Look, visit: Visit) -> Update:
        """The parts that a look changes: one recolouring, one file."""
        parts, picture = self.parts, shown.picture
        plain = with_look(picture.preview, shown.known.ab, replace(look, stamp=False))
        score = psnr(plain, picture.preview) if shown.truth else None
        after = save_preview(stamped(plain) if look.stamp else plain, f"{picture.name}-color")
        three = [
            (shown.before, visit.say("caption_grey")),
            (after, visit.say("caption_result")),
            (shown.truth, visit.say("caption_truth")),
        ]
        return {
            parts.slider: (shown.before, after),
            parts.facts: views.facts(shown, score, visit.say),
            parts.three: three if shown.truth else None,
        }

    def _around(
        self, shown: Shown | None, history: list[Entry], visit: Visit, *, fresh: bool = True
    ) -> Update:
        """The parts around the result; fresh: and those that start anew with another photograph."""
        parts = self.parts
        kinds = file_kinds("TIFF, 16 bit" if shown and shown.picture.deep else "")
        renewed = {parts.form.kind: gr.update(choices=kinds, value="png"), parts.reference: None}
        return {
            parts.truth: gr.update(visible=shown is not None and shown.picture.has_truth),
            parts.classes: views.classes(shown.picture.colors, visit) if shown else "",
            parts.remarks: "",
            parts.save: gr.update(interactive=shown is not None),
            parts.strip: [(entry.thumb, entry.name) for entry in history],
            parts.shelf: gr.update(visible=bool(history)),
            parts.editor: view_of(shown, visit, fresh=fresh),
            parts.shown: shown,
            parts.history: history,
        } | (renewed if fresh else {})

    def _nothing(self, history: list[Entry], visit: Visit, *, fresh: bool = True) -> Update:
        parts = self.parts
        waiting = views.paragraph(visit.say("waiting"))
        empty = {parts.slider: None, parts.facts: waiting, parts.three: None}
        return empty | self._around(None, history, visit, fresh=fresh)

    def _refused(self, sentence: str, history: list[Entry], visit: Visit) -> Update:
        """A file that is no photograph leaves an empty page that says why."""
        gr.Warning(sentence)
        parts = self.parts
        said = {parts.photo: None, parts.facts: views.paragraph(sentence)}
        return self._nothing(history, visit) | said

    def _colorized(self, own: Upload, network: str, visit: Visit) -> Picture:
        return self._site.studio.colorize(own, self._site.known(network, visit))

    def _own(self, shown: Shown, visit: Visit) -> Upload:
        """The visitor's file behind what is shown."""
        return Upload(self._present(shown.picture.source, visit), shown.picture.name)

    def _present(self, source: str, visit: Visit) -> str:
        if not Path(source).is_file():
            raise visit.error("expired", minutes=self._site.limits.keep_minutes)
        return source


def _preview(known: Guided) -> str:
    return save_preview(known.picture.preview, known.picture.name)


def _chosen(files: list[Path]) -> Callable[..., str]:
    """The event for a click into a gallery of examples: the photo, as if it were uploaded."""

    def chosen(event: gr.SelectData) -> str:
        return str(files[int(event.index) % len(files)])

    return chosen
