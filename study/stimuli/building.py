"""A stimulus set from folders of pictures, in which nothing tells real from colorized.

Every picture, photograph or colorization, takes the same way: decoded, brought to one size,
stripped of metadata, encoded by the same encoder with the same settings, named at random. The
manifest alone knows which is which, and it stays on the server.

Known manipulations of the photographs serve as anchors, attention and practice pictures. They are
named for what they do and never stand for a colorization method.
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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from chromagan.images import ImageError, find_images, read_image
from study.records import REAL, Kind, Stimulus
from study.settings import StudyError
from study.stimuli.stimulus_set import write_manifest

Pixels = npt.NDArray[np.uint8]
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
        jobs: list[tuple[Kind, str, bool | None, Pixels]]
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


def _load_scene(paths: Mapping[str, Path], options: BuildOptions) -> dict[str, Pixels]:
    """All versions of a scene at one size, which is never larger than the smallest of them."""
    try:
        images = {name: Image.fromarray(read_image(path)) for name, path in paths.items()}
    except ImageError as error:
        raise BuildError(str(error)) from error
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


def _write_picture(folder: Path, pixels: Pixels, encoder: str) -> tuple[str, str]:
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


# -- manipulations: RGB uint8 H×W×3 with the luma of BT.601 kept (up to clipping), as colorizations
# keep their lightness

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def _split(image: Pixels) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Luma H×W×1 and the colour that is left over, H×W×3."""
    rgb = image.astype(np.float64)
    luma = (rgb @ _LUMA)[..., None]
    return luma, rgb - luma


def _join(luma: npt.NDArray[np.float64], colour: npt.NDArray[np.float64]) -> Pixels:
    return np.clip(np.rint(luma + colour), 0, 255).astype(np.uint8)


def invert_colours(image: Pixels) -> Pixels:
    """Every hue turned by 180°: skies orange, leaves purple."""
    luma, colour = _split(image)
    return _join(luma, -colour)


def rotate_hues(image: Pixels) -> Pixels:
    """Channels cycled, luma restored: every hue turned by about 120°."""
    luma, _ = _split(image)
    _, colour = _split(image[..., [1, 2, 0]])
    return _join(luma, colour)


def patchwork_hues(image: Pixels) -> Pixels:
    """A 3×3 patchwork of hues turned by 120°, 180° and 240°: no scene looks like that."""
    luma, _ = _split(image)
    turned = [_split(image[..., order])[1] for order in ([1, 2, 0], [2, 0, 1])]
    choices = np.stack([turned[0], -_split(image)[1], turned[1]])
    rows = np.arange(image.shape[0]) * 3 // image.shape[0]
    columns = np.arange(image.shape[1]) * 3 // image.shape[1]
    which = (rows[:, None] + columns[None, :]) % 3
    return _join(luma, np.take_along_axis(choices, which[None, :, :, None], axis=0)[0])


def halve_saturation(image: Pixels) -> Pixels:
    """All colours half as strong."""
    luma, colour = _split(image)
    return _join(luma, 0.5 * colour)


def tint_grey(image: Pixels) -> Pixels:
    """No colours but one warm tint, as on an old print."""
    luma, _ = _split(image)
    tint: npt.NDArray[np.float64] = np.array([1.12, 0.985, 0.77])
    tint /= tint @ _LUMA
    return _join(luma, luma * (tint - 1))


MANIPULATIONS: dict[str, Callable[[Pixels], Pixels]] = {
    "grey-tint": tint_grey,
    "half-saturation": halve_saturation,
    "inverted-colours": invert_colours,
    "patchwork-hues": patchwork_hues,
    "rotated-hues": rotate_hues,
}
