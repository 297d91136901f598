"""Make a stimulus set from folders of pictures: `python -m study.build`.

Every picture, photograph or colorization, takes the same way: decoded, brought to one size,
stripped of metadata, encoded by the same encoder with the same settings, named at random. The
manifest alone knows which is which, and it stays on the server.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import os
import random
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps

from study.stimuli.manipulations import MANIPULATIONS
from study.stimuli.stimulus_set import MANIFEST, Stimulus, load_stimuli, write_manifest
from study.store.records import REAL, Kind

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
MAX_PIXELS = 100_000_000
ASPECT_TOLERANCE = 0.02
_ENCODERS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG"},
    "jpeg": {"format": "JPEG", "quality": 92, "subsampling": 0, "optimize": True},
}
_EXTENSIONS = {"png": ".png", "jpeg": ".jpg"}
_RESERVED = {"attention", "practice"}


class BuildError(ValueError):
    """The set cannot be built as asked; the text names the folder, file or flag."""


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
    licences: Mapping[str, str] = field(default_factory=dict)


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
            "encoder": dict(_ENCODERS[options.encoder]),
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
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
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
                    licence=options.licences.get(scene, "not stated"),
                    file=name,
                )
            )
    if not any(entry.kind == "real" for entry in stimuli):
        raise BuildError("no scene could be used: " + "; ".join(notes[-3:]))
    return stimuli


def _load_scene(paths: Mapping[str, Path], options: BuildOptions) -> dict[str, np.ndarray]:
    """All versions of a scene at one size, which is never larger than the smallest of them."""
    images = {name: read_picture(path) for name, path in paths.items()}
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


def read_picture(path: Path) -> Image.Image:
    """An RGB picture in sRGB: orientation applied, colour profile converted, alpha over white.

    Raises:
        BuildError: not a picture, damaged, or too large.
    """
    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise BuildError(f"{path}: has more than {MAX_PIXELS:,} pixels")
            profile = opened.info.get("icc_profile")
            image = ImageOps.exif_transpose(opened)
            if "A" in image.getbands() or "transparency" in image.info:
                alpha = image.convert("RGBA")
                white = Image.new("RGBA", alpha.size, "white")
                image = Image.alpha_composite(white, alpha)
            image = image.convert("RGB")
    except BuildError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BuildError(f"{path}: cannot be read as a picture ({error})") from error
    return _to_srgb(image, profile)


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if not profile:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"))
    except (ImageCms.PyCMSError, OSError):
        return image  # an unusable profile (a grey or broken one): the values as they are
    return converted if converted is not None else image


def _write_picture(folder: Path, pixels: np.ndarray, encoder: str) -> tuple[str, str]:
    """Encode under a random name; returns the file name and its SHA-256."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, **_ENCODERS[encoder])
    name = secrets.token_hex(8) + _EXTENSIONS[encoder]
    (folder / name).write_bytes(buffer.getvalue())
    return name, hashlib.sha256(buffer.getvalue()).hexdigest()


def read_licences(path: Path) -> dict[str, str]:
    """Licence by picture stem, from a CSV with columns `file` and `licence`.

    Raises:
        BuildError: no such file or columns.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        return {Path(row["file"]).stem: row["licence"] for row in rows}
    except (OSError, UnicodeDecodeError, KeyError, csv.Error) as error:
        raise BuildError(f"{path}: needs a CSV with columns file and licence") from error


def starter_config(stimuli: list[Stimulus], folder: str) -> str:
    """A commented study.yaml that fits a set, as a place to start from."""
    scenes = len({entry.base_image for entry in stimuli if entry.kind == "real"})
    practice = sum(entry.kind == "practice" for entry in stimuli) // 2
    checks = min(sum(entry.kind == "attention" for entry in stimuli), 3)
    methods = sorted({entry.method for entry in stimuli if entry.kind in {"real", "method"}})
    trials = max(1, min(50, scenes - checks))
    names = ", ".join(json.dumps(name) for name in methods)
    return f"""\
# A perceptual realism study. Every key is explained in study/settings.py.
title: Realistic or not?
contact: ""                       # shown on every page: whom to ask
languages: [en]
stimuli: {json.dumps(folder)}
# methods in the set: {names} (equal shares unless `methods: {{name: share}}` is given)
trials: {trials}  # per participant; every scene at most once
practice: {{ trials: {practice}, feedback: true }}
attention: {{ trials: {checks}, fail_after: 2 }}
plates: {{ count: 3, needed: 3, screen_out: false }}
break_every: 25
questions: []
stop: {{ participants: 62 }}
completion: {{ completed: COMPLETED }}
# declare before the first answer what will be compared and who is left out:
# analysis:
#   contrasts: [[full, no-class], [full, no-gan]]
#   exclusions: {{ failed_attention: 2, fast_ms: 250 }}
"""


def _write_config(path: Path, target: Path) -> None:
    stimuli = list(load_stimuli(target).stimuli)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.path.relpath(target.resolve(), path.resolve().parent)
    path.write_text(starter_config(stimuli, Path(folder).as_posix()), encoding="utf-8")
    print(f"wrote {path}")


def _method(text: str) -> tuple[str, Path]:
    name, separator, folder = text.partition("=")
    if not separator or not name.strip() or not folder:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FOLDER")
    if name in _RESERVED or name == REAL:
        raise argparse.ArgumentTypeError(f"the name {name!r} is taken; call the method otherwise")
    return name.strip(), Path(folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m study.build", description=__doc__)
    parser.add_argument("--real", type=Path, required=True, help="folder of the photographs")
    parser.add_argument(
        "--method",
        type=_method,
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="folder of one method's results, named as the photographs (repeat)",
    )
    parser.add_argument(
        "--anchor",
        choices=sorted(MANIPULATIONS),
        action="append",
        default=[],
        help="a known manipulation of the photographs as a further condition (repeat)",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="new folder for the set")
    parser.add_argument("--size", type=int, default=384, help="longer side in pixels (384)")
    parser.add_argument("--encoder", choices=sorted(_ENCODERS), default="png")
    parser.add_argument("--practice", type=int, default=0, help="scenes set aside for practice")
    parser.add_argument("--attention", type=int, default=0, help="scenes with an attention picture")
    parser.add_argument("--limit", type=int, help="use at most this many scenes, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--write-config", type=Path, metavar="FILE", help="also write a study.yaml that fits"
    )
    parser.add_argument("--licences", type=Path, help="CSV with columns file and licence")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Command line; 0 all scenes used, 1 some left out, 2 nothing built."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    methods = dict(arguments.method)
    try:
        if len(methods) != len(arguments.method):
            raise BuildError("--method: a name was given twice")
        if not methods and not arguments.anchor:
            raise BuildError("give at least one --method NAME=DIR (or --anchor)")
        if arguments.size < 16 or min(arguments.practice, arguments.attention) < 0:
            raise BuildError("--size needs 16 or more, --practice and --attention 0 or more")
        options = BuildOptions(
            size=arguments.size,
            encoder=arguments.encoder,
            practice=arguments.practice,
            attention=arguments.attention,
            anchors=tuple(dict.fromkeys(arguments.anchor)),
            limit=arguments.limit,
            seed=arguments.seed,
            licences=read_licences(arguments.licences) if arguments.licences else {},
        )
        if arguments.write_config is not None and arguments.write_config.exists():
            raise BuildError(f"--write-config {arguments.write_config}: exists already")
        notes = build_set(arguments.real, methods, arguments.output, options)
    except BuildError as error:
        print(f"study.build: {error}", file=sys.stderr)
        return 2
    for note in notes:
        print(f"study.build: {note}", file=sys.stderr)
    print(f"wrote {arguments.output / MANIFEST}")
    if arguments.write_config is not None:
        _write_config(arguments.write_config, arguments.output)
    return 1 if notes else 0


if __name__ == "__main__":
    raise SystemExit(main())
