"""A stimulus set from folders of pictures, in which nothing tells real from colorized.

Every picture, photograph or colorization, takes the same way: decoded, brought to one size,
stripped of metadata, encoded by the same encoder with the same settings, named at random. The
manifest alone knows which is which, and it stays on the server.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import random
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from chromagan.images import ImageError, find_images, read_image
from study.records import REAL, Kind, Stimulus
from study.settings import StudyError
from study.stimuli.manipulations import MANIPULATIONS
from study.stimuli.stimulus_set import write_manifest

ASPECT_TOLERANCE = 0.02
ENCODERS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG"},
    "jpeg": {"format": "JPEG", "quality": 92, "subsampling": 0, "optimize": True},
}
_EXTENSIONS = {"png": ".png", "jpeg": ".jpg"}


class BuildError(StudyError):
    """The set cannot be built as asked; the text names the folder, file or flag."""


@dataclass(frozen=True)
class About:
    """What is known about a scene beside its picture."""

    licence: str = "not stated"
    kind: str = ""


@dataclass(frozen=True)
class BuildOptions:
    """size: longer side in pixels. practice, attention: how many scenes of each."""

    size: int = 384
    encoder: str = "png"
    practice: int = 0
    attention: int = 0
    anchors: tuple[str, ...] = ()
    limit: int | None = None
    seed: int = 0
    about: Mapping[str, About] = field(default_factory=dict)


def build_set(
    real: Path, methods: Mapping[str, Path], target: Path, options: BuildOptions
) -> list[str]:
    """Build a stimulus set into the new folder `target`.

    Returns:
        What was left out or deserves a look, one sentence each (empty: nothing).

    Raises:
        BuildError: nothing usable, a folder missing, or `target` exists.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BuildError(f"{target}: exists already; choose a new folder")
    sources = {REAL: _index(real), **{name: _index(path) for name, path in methods.items()}}
    notes: list[str] = []
    scenes = _common_scenes(sources, notes)
    rng = random.Random(options.seed)
    rng.shuffle(scenes)
    scenes = scenes[: options.limit] if options.limit else scenes
    if len(scenes) <= options.practice:
        raise BuildError(
            f"--practice {options.practice}: leaves none of the {len(scenes)} scenes for the study"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        stimuli = _write_scenes(scenes, sources, scratch, options, notes)
        settings = {
            "size": options.size,
            "encoder": dict(ENCODERS[options.encoder]),
            "seed": options.seed,
            "methods": sorted({entry.method for entry in stimuli}),
        }
        write_manifest(scratch, stimuli, settings)
        scratch.chmod(0o755)
        if target.exists():
            target.rmdir()
        os.replace(scratch, target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return notes


def _index(folder: Path) -> dict[str, Path]:
    """Pictures of a folder by stem."""
    if not folder.is_dir():
        raise BuildError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for path in find_images(folder):
        if path.stem in found:
            raise BuildError(f"{folder}: two pictures are called {path.stem!r}")
        found[path.stem] = path
    if not found:
        raise BuildError(f"{folder}: holds no pictures")
    return found


def _common_scenes(sources: Mapping[str, Mapping[str, Path]], notes: list[str]) -> list[str]:
    everything = {stem for index in sources.values() for stem in index}
    for name, index in sources.items():
        missing = sorted(everything - set(index))
        if missing:
            some = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            notes.append(f"{name} lacks {len(missing)} scenes, left out for all methods: {some}")
    common = set.intersection(*(set(index) for index in sources.values()))
    if not common:
        raise BuildError("no picture name occurs in all folders")
    return sorted(common)


def _write_scenes(
    scenes: list[str],
    sources: Mapping[str, Mapping[str, Path]],
    folder: Path,
    options: BuildOptions,
    notes: list[str],
) -> list[Stimulus]:
    stimuli: list[Stimulus] = []
    practice = attention = 0
    for scene in scenes:
        try:
            versions = _load_scene({name: index[scene] for name, index in sources.items()}, options)
        except BuildError as error:
            notes.append(f"scene {scene} left out: {error}")
            continue
        photo = versions[REAL]
        jobs: list[tuple[Kind, str, bool | None, np.ndarray]]
        if practice < options.practice:
            practice += 1
            fake = MANIPULATIONS["inverted-colours"](photo)
            jobs = [
                ("practice", "practice-real", True, photo),
                ("practice", "practice-inverted-colours", False, fake),
            ]
        else:
            jobs = [("real", REAL, None, photo)]
            jobs += [("method", name, None, versions[name]) for name in versions if name != REAL]
            jobs += [("method", name, None, MANIPULATIONS[name](photo)) for name in options.anchors]
            if attention < options.attention:
                attention += 1
                fake = MANIPULATIONS["patchwork-hues"](photo)
                jobs.append(("attention", "patchwork-hues", False, fake))
        about = options.about.get(scene, About())
        for kind, method, expected, pixels in jobs:
            name, digest = _write_picture(folder, pixels, options.encoder)
            stimuli.append(
                Stimulus(
                    stimulus=Path(name).stem,
                    kind=kind,
                    method=method,
                    base_image=scene,
                    expected=expected,
                    sha256=digest,
                    licence=about.licence,
                    file=name,
                    scene_kind=about.kind,
                )
            )
    if not any(entry.kind == "real" for entry in stimuli):
        raise BuildError("no scene could be used: " + "; ".join(notes[-3:]))
    return stimuli


def _load_scene(paths: Mapping[str, Path], options: BuildOptions) -> dict[str, np.ndarray]:
    """All versions of a scene at one size, which is never larger than the smallest of them."""
    images = {name: _read(path) for name, path in paths.items()}
    ratio = images[REAL].width / images[REAL].height
    for name, image in images.items():
        if abs(image.width / image.height / ratio - 1) > ASPECT_TOLERANCE:
            raise BuildError(
                f"{paths[name]}: has another shape than the photograph "
                f"({image.width}×{image.height} and {images[REAL].width}×{images[REAL].height}), "
                "which would give it away"
            )
    smallest = min(images.values(), key=lambda image: image.width * image.height)
    scale = min(1.0, options.size / max(smallest.size))
    size = (max(1, round(smallest.width * scale)), max(1, round(smallest.height * scale)))
    return {
        name: np.asarray(
            image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)
        )
        for name, image in images.items()
    }


def _read(path: Path) -> Image.Image:
    try:
        return Image.fromarray(read_image(path))
    except ImageError as error:
        raise BuildError(str(error)) from error


def _write_picture(folder: Path, pixels: np.ndarray, encoder: str) -> tuple[str, str]:
    """Encode under a random name; returns the file name and its SHA-256."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, **ENCODERS[encoder])
    name = secrets.token_hex(8) + _EXTENSIONS[encoder]
    (folder / name).write_bytes(buffer.getvalue())
    return name, hashlib.sha256(buffer.getvalue()).hexdigest()


def read_about(path: Path) -> dict[str, About]:
    """Licence and kind by picture stem, from a CSV with the columns file, licence and kind.

    Raises:
        BuildError: no such file, or neither of the two last columns.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        if rows and not {"licence", "kind"} & set(rows[0]):
            raise KeyError("licence")
        return {
            Path(row["file"]).stem: About(row.get("licence") or "not stated", row.get("kind") or "")
            for row in rows
        }
    except (OSError, UnicodeDecodeError, KeyError, csv.Error) as error:
        raise BuildError(
            f"{path}: needs a CSV with the column file, and licence or kind or both"
        ) from error
