"""A photograph with what its visitor knows: guides, and a reference photograph beside it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from chromagan.demo.pictures.marks import Pixels
from chromagan.demo.pictures.photo import Chroma, Picture, Studio, Upload, resized
from chromagan.inference.guides import Guides
from chromagan.inference.guides.guidance import apply_guides, picture_samples
from chromagan.inference.guides.propagation import Samples

_REFERENCE_SIDE = 640


@dataclass(frozen=True)
class Guided:
    """reference: a photograph in colour, uint8 (h, w, 3). ab: the network's colours after both;
    they stay the network's own where it does not tell what belongs together (`able`)."""

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
        other = replace(self, picture=picture)
        if self.reference is not None:
            return other.with_reference(self.reference, studio)
        return other.with_guides(self.guides)


def reference_pixels(upload: Upload, studio: Studio) -> Pixels:
    """A reference photograph, no larger than networks look at. Raises `ImageError`."""
    return resized(studio.read(upload.path).pixels, _REFERENCE_SIDE)
