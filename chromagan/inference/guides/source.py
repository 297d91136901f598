"""What a command is told of its photographs' colours: guides files and reference photographs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chromagan.files import sha256_of
from chromagan.inference.guides.points import GuideError, Guides, read_guides
from chromagan.inference.guides.propagation import Samples


@dataclass(frozen=True)
class Reference:
    """A photograph in colour, learned once; `sha256` is its file's."""

    samples: Samples = field(repr=False)
    sha256: str


@dataclass(frozen=True)
class GuideSource:
    """`path` is a guides file for one photograph, or a folder of `<stem>.json` for many."""

    path: Path | None = None
    references: tuple[Reference, ...] = ()

    def of(self, photo: Path) -> tuple[Guides, dict[str, Any]]:
        """All that is known of a photograph, and the digests of it for its provenance.

        Raises `GuideError` where its guides file cannot be used.
        """
        file = self._file_of(photo)
        points = () if file is None else read_guides(file).points
        guides = Guides(points, tuple(reference.samples for reference in self.references))
        record: dict[str, Any] = {}
        if file is not None:
            record["guides_sha256"] = sha256_of(file)
        if self.references:
            record["references_sha256"] = [reference.sha256 for reference in self.references]
        return guides, record

    def check(self, photos: Iterable[Path]) -> None:
        """Raise `GuideError` where `path` cannot be meant for these photographs."""
        photos = list(photos)
        if self.path is None:
            return
        if not self.path.exists():
            raise GuideError(f"{self.path}: there is no such file or folder")
        if self.path.is_dir():
            if photos and not any(self._file_of(photo) for photo in photos):
                raise GuideError(f"{self.path}: no <stem>.json of any of the photographs is in it")
        elif len(photos) > 1:
            raise GuideError(f"{self.path}: one file is for one photograph; name a folder of them")
        else:
            read_guides(self.path)

    def _file_of(self, photo: Path) -> Path | None:
        if self.path is None or not self.path.is_dir():
            return self.path
        file = self.path / f"{photo.stem}.json"
        return file if file.is_file() else None
