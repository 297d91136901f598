"""One photograph: read once, through the network once, then recoloured as often as liked, with
what its visitor knows of its colours: guides, and a reference photograph beside it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from chromagan import __version__
from chromagan.demo.folders import safe_stem
from chromagan.demo.limits import Limits
from chromagan.demo.networks import Colors, Networks
from chromagan.demo.results import (
    PLAIN,
    Chroma,
    Form,
    Look,
    Pixels,
    Saved,
    resized,
    save_result,
    with_look,
)
from chromagan.demo.tone import Tone, tone_of
from chromagan.images import Note, Photo, read_photo
from chromagan.images.metadata.provenance import Provenance, now
from chromagan.inference.guides import Guides
from chromagan.inference.guides.guidance import apply_guides, picture_samples
from chromagan.inference.guides.propagation import Samples

_REFERENCE_SIDE = 640


class Upload(NamedTuple):
    """A file as it arrived: where it lies, and what its visitor calls it."""

    path: str
    name: str


@dataclass(frozen=True)
class Picture:
    """What the server remembers of a visitor's photograph.

    source: the file, read again for the full-resolution download. size: full width and height.
    notes: what the visitor should know. preview: uint8 (h, w, 3), the photograph as uploaded, at
    most `Limits.preview_side` long. deep: the file has 16 bits.
    """

    source: str
    name: str
    size: tuple[int, int]
    tone: Tone
    notes: tuple[Note, ...]
    preview: Pixels
    colors: Colors
    deep: bool = False

    @property
    def has_truth(self) -> bool:
        """A colour original: what the network guessed can be held against it."""
        return self.tone is Tone.COLOR


class Studio:
    """Photographs through the networks within the limits; shared by all visitors."""

    def __init__(self, networks: Networks, limits: Limits) -> None:
        self.networks = networks
        self.limits = limits
        self._recent = _Recent(limits.recent_megabytes * 1_000_000)

    def colorize(self, upload: Upload, network: str | None = None) -> Picture:
        """Read a file and run the network once. Raises `ImageError`."""
        photo = self.read(upload.path)
        height, width, _ = photo.pixels.shape
        preview = resized(photo.pixels, self.limits.preview_side)
        return Picture(
            source=upload.path,
            name=safe_stem(upload.name),
            size=(width, height),
            tone=tone_of(preview),
            notes=notes_of(photo),
            preview=preview,
            colors=self.networks.predict(photo.pixels, network),
            deep=photo.deep,
        )

    def read(self, path: str) -> Photo:
        """A photograph from its file, or from memory where it was just read."""
        photo = self._recent.get(path)
        if photo is None:
            photo = self.open(path)
            self._recent.put(path, photo)
        return photo

    def open(self, path: str, *, deep: bool = False) -> Photo:
        """A photograph from its file; deep: with its 16 bits."""
        return read_photo(
            path,
            max_pixels=self.limits.max_pixels,
            accept_damaged=True,
            deep=deep,
            with_metadata=True,
        )

    def reference(self, upload: Upload) -> Pixels:
        """A reference photograph, no larger than networks look at. Raises `ImageError`."""
        return resized(self.read(upload.path).pixels, _REFERENCE_SIDE)

    def full_result(self, known: Guided, look: Look, form: Form = PLAIN) -> Saved:
        """The download: full resolution, marked. Raises `ImageError`."""
        picture = known.picture
        deep = picture.deep and form.kind == "tiff"  # costs another read
        photo = self.open(picture.source, deep=True) if deep else self.read(picture.source)
        return self.save(photo, known.ab, look, form, picture.colors.network, picture.name)

    def save(
        self, photo: Photo, ab: Chroma, look: Look, form: Form, network: str, name: str
    ) -> Saved:
        """Join a photograph (whose pixels are overwritten if they are uint16) with colours and
        write the file, which says what was lost, but nothing of its visitor."""
        result = with_look(photo.pixels, ab, look)
        lost = (Note("eight_bits"),) if photo.deep and result.dtype == np.uint8 else ()
        made = Provenance(
            network,
            self.networks.sha256(network),
            __version__,
            settings={"saturation": look.saturation, "temperature": look.temperature},
            date=now(),
            notes=notes_of(photo) + lost,
        )
        saved = save_result(result, name, made, form, photo.metadata)
        return saved._replace(notes=lost + saved.notes)


class _Recent:
    """The photographs read last, as many as fit into so many bytes."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._photos: OrderedDict[str, Photo] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: str) -> Photo | None:
        with self._lock:
            if path in self._photos and Path(path).is_file():  # what was deleted is forgotten
                self._photos.move_to_end(path)
                return self._photos[path]
            self._photos.pop(path, None)
            return None

    def put(self, path: str, photo: Photo) -> None:
        with self._lock:
            self._photos[path] = photo
            while sum(kept.pixels.nbytes for kept in self._photos.values()) > self._budget:
                self._photos.popitem(last=False)


def notes_of(photo: Photo) -> tuple[Note, ...]:
    """What a visitor should know of a photograph; the page cannot sign, so credentials end here."""
    return (*photo.notes, Note("credentials")) if photo.metadata.manifest else photo.notes


@dataclass(frozen=True)
class Guided:
    """A picture with what its visitor knows.

    reference: a photograph in colour, uint8 (h, w, 3). ab: the network's colours after both;
    they stay the network's own where it does not tell what belongs together (`able`).
    """

    picture: Picture
    ab: Chroma
    guides: Guides = field(default_factory=Guides)
    reference: Pixels | None = None

    @classmethod
    def of(cls, picture: Picture) -> Guided:
        """With nothing known yet."""
        return cls(picture, picture.colors.ab)

    @property
    def able(self) -> bool:
        """Whether this picture's network can be guided."""
        return self.picture.colors.prediction.features is not None

    def with_guides(self, guides: Guides) -> Guided:
        """With other guides: some milliseconds, no network run."""
        ab = self.picture.colors.ab
        if self.able:
            ab = apply_guides(self.picture.colors.prediction, guides)
        return replace(self, guides=guides, ab=ab)

    def with_reference(self, reference: Pixels | None, studio: Studio) -> Guided:
        """With another reference, seen by the network of this picture."""
        samples: tuple[Samples, ...] = ()
        if reference is not None and self.able:
            seen = studio.networks.predict(reference, self.picture.colors.network).prediction
            samples = (picture_samples(seen, reference),)
        guides = replace(self.guides, references=samples)
        return replace(self, reference=reference).with_guides(guides)

    def of_network(self, picture: Picture, studio: Studio) -> Guided:
        """The same knowledge of the same photograph, for another network's colours."""
        return replace(self, picture=picture).with_reference(self.reference, studio)
