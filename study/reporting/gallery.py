"""The most and the least convincing pictures of each method, as thumbnails inside the report."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from study.analysis.evaluation import Results
from study.records import REAL

THUMBNAIL = 240
"""Longest side of a thumbnail in pixels."""
EACH = 3
"""Pictures of a method at either end."""
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class GalleryPicture:
    """image, original: data URIs, "" where there is no file; original is the photograph."""

    base_image: str
    stimulus: str
    yes: int
    votes: int
    image: str
    original: str
    licence: str


@dataclass(frozen=True)
class GalleryRow:
    """One method's extremes; neither list repeats a picture of the other."""

    method: str
    most: tuple[GalleryPicture, ...]
    least: tuple[GalleryPicture, ...]


class Thumbnails:
    """Thumbnails of a stimulus folder; pictures that cannot be read are "" and counted.

    files: file name by stimulus id, as in the manifest; other stimuli are looked up as
    ID.png, ID.jpg and so on. Nothing outside the folder is ever opened.
    """

    def __init__(self, folder: Path | None, files: Mapping[str, str]) -> None:
        self.folder, self.files = folder, files
        self.missing: set[str] = set()

    def __call__(self, stimulus: str) -> str:
        """A JPEG data URI, or ""."""
        if self.folder is None:
            return ""
        named = self.files.get(stimulus)
        names = [named] if named else [stimulus + suffix for suffix in _SUFFIXES]
        inside = (self.folder / name for name in names if name == Path(name).name)
        path = next(filter(Path.is_file, inside), None)
        with suppress(OSError, ValueError, Image.DecompressionBombError):
            if path is not None:
                return _data_uri(path)
        self.missing.add(stimulus)
        return ""


def _data_uri(path: Path) -> str:
    with Image.open(path) as opened:
        opened.draft("RGB", (2 * THUMBNAIL, 2 * THUMBNAIL))
        picture = opened.convert("RGB")
    picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def gallery(
    results: Results, thumbnails: Thumbnails, stimuli: pd.DataFrame
) -> tuple[GalleryRow, ...]:
    """Extremes per method.

    Most convincing: highest lower end of the picture's Wilson interval, so that 19 of 20 ranks
    above 1 of 1; least convincing: lowest upper end.
    """
    licences: dict[str, str] = {}
    originals: dict[str, str] = {}
    if len(stimuli):
        licences = dict(zip(stimuli["stimulus"], stimuli["licence"], strict=True))
        real = stimuli[stimuli["method"] == REAL]
        originals = dict(zip(real["base_image"], real["stimulus"], strict=True))

    def shown(row: Any) -> GalleryPicture:
        scene, stimulus = row.base_image, row.stimulus
        original = originals.get(scene, "") if row.method != REAL else ""
        return GalleryPicture(
            scene,
            stimulus,
            row.yes,
            row.votes,
            thumbnails(stimulus),
            thumbnails(original) if original else "",
            licences.get(stimulus, ""),
        )

    rows = []
    for entry in results.methods:
        table = results.pictures[results.pictures["method"] == entry.method]
        count = min(EACH, len(table) // 2) if len(table) > 1 else len(table)
        best = table.sort_values(["low", "base_image"], ascending=[False, True])[:count]
        worst = table.drop(index=best.index).sort_values(["high", "base_image"])[:count]
        most, least = (tuple(map(shown, part.itertuples())) for part in (best, worst))
        rows.append(GalleryRow(entry.method, most, least))
    return tuple(rows)
