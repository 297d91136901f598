"""What a person knows of a photograph's colours: points, strokes, reference photographs, frames.

    guides = read_guides(Path("photo.json"))
    coloured = colorizer(photo, guides=guides)

Every kind becomes samples for `propagation`; they differ only in where the samples come from.
A picture is learned once, by one run of the network: `Guides(references=(colorizer.learn(x),))`.

The file is UTF-8 JSON. Positions are shares of width and height from the top left, colours sRGB,
the radius (optional) a share of the shorter side::

    {"format": "chromagan-guides", "version": 1,
     "points": [{"x": 0.41, "y": 0.63, "color": "#a8323c", "radius": 0.01}]}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chromagan.color import rgb_to_lab
from chromagan.files import sha256_of, write_text
from chromagan.inference.guides.propagation import MAX_SAMPLES, Floats, Samples

FORMAT = "chromagan-guides"
VERSION = 1
MAX_POINTS = MAX_SAMPLES
MAX_BYTES = 1_000_000
"""A thousand points take about a tenth of it."""
MAX_RADIUS = 0.25
STROKE_GRID = 48
"""Strokes are read on a grid of so many cells a side: one point a painted cell."""
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_KEYS = {"x", "y", "color", "radius"}


class GuideError(ValueError):
    """A guide that cannot be used; the message says which entry and what is right."""


@dataclass(frozen=True)
class Point:
    """Here it has this colour."""

    x: float
    """0 is the left edge, 1 the right."""
    y: float
    """0 is the top, 1 the bottom."""
    color: str
    """sRGB as `#rrggbb`; only its hue and chroma count, the photograph keeps its luminance."""
    radius: float = 0.0
    """How far around the colour was meant, as a share of the shorter side, 0 to 0.25."""

    def __post_init__(self) -> None:
        for name in ("x", "y"):
            _number(getattr(self, name), name, 1.0)
        _number(self.radius, "radius", MAX_RADIUS)
        if not isinstance(self.color, str) or not _COLOR.fullmatch(self.color):
            raise GuideError(f"color must be sRGB as #rrggbb: {_short(self.color)}")

    @property
    def lab(self) -> Floats:
        """The colour's `(L, a, b)`, CIE units."""
        rgb = np.frombuffer(bytes.fromhex(self.color[1:]), np.uint8)
        lab: Floats = rgb_to_lab(rgb.astype(np.float32) / 255, axis=-1)
        return lab

    @property
    def ab(self) -> Floats:
        """Its hue and chroma alone: the photograph keeps its own luminance."""
        return self.lab[1:]


@dataclass(frozen=True)
class Guides:
    """All that is known of one photograph. Empty guides change nothing."""

    points: tuple[Point, ...] = ()
    references: tuple[Samples, ...] = field(default=(), repr=False)
    """Photographs in colour of alike things, as `Colorizer.learn` sees them."""
    frame: Samples | None = field(default=None, repr=False)
    """The same scene in colour at about the same places, as another frame of a clip is."""

    def __post_init__(self) -> None:
        if len(self.points) > MAX_POINTS:
            raise GuideError(f"{len(self.points)} points: at most {MAX_POINTS} can be used")

    def __bool__(self) -> bool:
        return bool(self.points or self.references or self.frame is not None)


def parse_guides(text: str | bytes) -> Guides:
    """The points of a guides file. Raises `GuideError` with the entry that is wrong."""
    if len(text) > MAX_BYTES:
        raise GuideError(f"larger than {MAX_BYTES // 1_000_000} MB: this is no guides file")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise GuideError("not valid JSON (UTF-8)") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise GuideError(f'not a guides file: "format" must be "{FORMAT}"')
    if content.get("version") != VERSION:
        found = _short(content.get("version"))
        raise GuideError(f"version {found} of guides is not known here; this one reads {VERSION}")
    _known_keys(content, {"format", "version", "points"}, "the file")
    entries = content.get("points", [])
    if not isinstance(entries, list):
        raise GuideError('"points" must be a list')
    return Guides(tuple(_point(entry, number) for number, entry in enumerate(entries, 1)))


def format_guides(guides: Guides) -> str:
    """The file's text; references and frames are pictures and travel as such."""
    points = [
        {"x": p.x, "y": p.y, "color": p.color.lower(), "radius": p.radius} for p in guides.points
    ]
    return json.dumps({"format": FORMAT, "version": VERSION, "points": points}, indent=1) + "\n"


def read_guides(path: Path) -> Guides:
    """`parse_guides` of a file; errors name it."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        return parse_guides(text)
    except OSError as error:
        raise GuideError(f"{path}: {error.strerror}") from None
    except GuideError as error:
        raise GuideError(f"{path}: {error}") from None


def write_guides(path: Path, guides: Guides) -> None:
    """Write the file in one step."""
    write_text(path, format_guides(guides))


def strokes(painting: NDArray[np.uint8]) -> tuple[Point, ...]:
    """Points of a painted layer, uint8 RGBA `(H, W, 4)`: alpha says where, RGB which colour.

    The layer lies over the whole photograph, at any size of its own. One point for every cell of a
    grid that is painted, at the centre of its paint, in the paint's mean colour.
    """
    if painting.ndim != 3 or painting.shape[2] != 4 or painting.dtype != np.uint8:
        raise GuideError("strokes must be a painted layer with transparency, uint8 (H, W, 4)")
    height, width = painting.shape[:2]
    rows, columns = np.nonzero(painting[..., 3] >= 128)
    if not len(rows):
        return ()
    grid = min(STROKE_GRID, int(MAX_POINTS**0.5))
    cell = (rows * grid // height) * grid + columns * grid // width
    _, where, count = np.unique(cell, return_inverse=True, return_counts=True)
    mean = [
        np.bincount(where, values) / count
        for values in (
            (columns + 0.5) / width,
            (rows + 0.5) / height,
            *painting[rows, columns, :3].T.astype(np.float64),
        )
    ]
    return tuple(
        Point(float(x), float(y), f"#{round(r):02x}{round(g):02x}{round(b):02x}", 0.5 / grid)
        for x, y, r, g, b in zip(*mean, strict=True)
    )


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
        points: tuple[Point, ...] = ()
        record: dict[str, Any] = {}
        file = self._file_of(photo)
        if file is not None:
            points, record["guides_sha256"] = read_guides(file).points, sha256_of(file)
        guides = Guides(points, tuple(reference.samples for reference in self.references))
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


def _point(entry: Any, number: int) -> Point:
    where = f"point {number}"
    if not isinstance(entry, dict):
        raise GuideError(f'{where}: must be an object with "x", "y" and "color"')
    _known_keys(entry, _KEYS, where)
    missing = [key for key in ("x", "y", "color") if key not in entry]
    if missing:
        raise GuideError(f'{where}: "{missing[0]}" is missing')
    try:
        return Point(**entry)
    except GuideError as error:
        raise GuideError(f"{where}: {error}") from None


def _known_keys(entry: dict[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(entry) - known)
    if unknown:
        raise GuideError(f"{where}: unknown key {_short(unknown[0])}")


def _number(value: Any, name: str, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise GuideError(f"{name} must be a number: {_short(value)}")
    if not 0 <= value <= most:  # false for NaN too
        raise GuideError(f"{name} must be between 0 and {most:g}: {_short(value)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
