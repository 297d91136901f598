"""What a visitor's page shows of one photograph, kept in the session between events."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from chromagan.demo.pictures.guided import Guided
from chromagan.demo.pictures.marks import Form, Saved, save_png, save_preview
from chromagan.demo.pictures.photo import Look, Picture, Studio, Upload, grey, psnr, with_look
from chromagan.demo.visitors.folders import page_path
from chromagan.samples import sample_paths

_OPENING = "alpine-landscape"


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

    @property
    def picture(self) -> Picture:
        return self.known.picture

    def knowing(self, known: Guided) -> Shown:
        """The same photograph after other guides."""
        return replace(self, known=known, saved={})


def show(known: Guided) -> Shown:
    """A photograph with its files written."""
    picture = known.picture
    grey_preview = grey(picture.preview)
    before = save_preview(grey_preview, f"{picture.name}-grey")
    if not picture.has_truth:
        return Shown(known, before)
    truth = save_preview(picture.preview, f"{picture.name}-original")
    score = psnr(grey_preview, picture.preview)
    return Shown(known, before, truth, score)


def opening(studio: Studio) -> tuple[Shown, tuple[str, str]]:
    """The picture that new visitors find, coloured once for all of them, and its two files."""
    path = next(path for path in sample_paths("historic") if _OPENING in path.stem)
    picture = studio.colorize(Upload(str(path), path.name))
    before = save_png(grey(picture.preview), page_path("opening-grey.png"))
    result = with_look(picture.preview, picture.colors.ab, Look())
    after = save_png(result, page_path("opening-color.png"))
    return Shown(Guided.of(picture), before), (before, after)
