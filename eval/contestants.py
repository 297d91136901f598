"""Who takes part in an evaluation: networks of the registry, and folders of finished pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chromagan.checkpoint.release_file import CheckpointError
from chromagan.checkpoint.source import CHECKPOINTS, find_checkpoint
from chromagan.images import ImageError, find_images, image_size
from eval.baselines import METHODS, MethodError, load_method
from eval.lab import Rgb8
from eval.photos import Photo, decode
from eval.protocol import PROTOCOL, Luminance

Colorize = Callable[[Photo, Rgb8], Rgb8]


class ContestantError(ValueError):
    """A method or output folder cannot take part; one sentence."""


@dataclass(frozen=True)
class Contestant:
    """One row of the table. `load` builds what colorizes, as late as possible."""

    name: str
    description: str
    weights: str
    luminance: Luminance
    fingerprint: Callable[[Photo], str]
    load: Callable[[], Colorize]
    network: bool = True
    weights_sha256: str = ""


def network(name: str, weights: Path | None, device: str) -> Contestant:
    """A method of the registry; `METHOD@TAG` lets one method take part with several weights.

    `weights` "random" stands for the seeded random weights that some methods offer.
    Loads it once, so that missing weights are told before anything runs. Raises ContestantError.
    """
    base = name.partition("@")[0]
    source = "random" if weights == Path("random") else weights
    try:
        method = load_method(base, weights=source, device=device)
    except MethodError as error:
        raise ContestantError(str(error)) from None
    digest = _weights_digest(base, weights)
    key = fingerprint(base, method.weights_label, digest)

    def load() -> Colorize:
        colorizer = load_method(base, weights=source, device=device)
        return lambda photo, truth: colorizer(truth)

    return Contestant(
        name=name,
        description=method.description,
        weights=method.weights_label,
        luminance="true",
        fingerprint=lambda photo: key,
        load=load,
        weights_sha256=digest,
    )


def available(device: str, weights: dict[str, Path]) -> tuple[list[Contestant], dict[str, str]]:
    """Every method of the registry that can run here, and the reasons of those that cannot."""
    ready, missing = [], {}
    for name in METHODS:
        try:
            ready.append(network(name, weights.get(name), device))
        except ContestantError as error:
            if name in weights:
                raise
            reason = str(error).removeprefix(f"{name}: ")
            missing[name] = reason.replace(str(Path.home()), "~")
    return ready, missing


def outputs(name: str, folder: Path, photos: Sequence[Photo], luminance: Luminance) -> Contestant:
    """A folder of finished pictures, matched to the photographs by name without suffix.

    Every photograph needs exactly one picture of its own size; all misfits are told at once,
    before anything runs. Raises ContestantError.
    """
    if not folder.is_dir():
        raise ContestantError(f"--outputs {name}={folder}: there is no such folder")
    found: dict[str, list[Path]] = {}
    for path in find_images(folder):
        relative = path.relative_to(folder).with_suffix("")
        found.setdefault("__".join(relative.parts), []).append(path)
    match: dict[str, Path] = {}
    problems = []
    for photo in photos:
        paths = found.get(photo.key) or found.get(Path(photo.name).stem) or []
        if len(paths) == 1:
            match[photo.key] = paths[0]
        else:
            many = ", ".join(path.name for path in paths)
            problems.append(f"{photo.key} ({'several: ' + many if many else 'missing'})")
    if problems:
        raise ContestantError(
            f"--outputs {name}={folder}: {len(problems)} of {len(photos)} photographs lack one "
            f"matching picture: {shortened(problems)}"
        )
    _check_sizes(name, folder, photos, match)

    def load() -> Colorize:
        return lambda photo, truth: _read_output(match[photo.key], truth)

    def key(photo: Photo) -> str:
        digest = hashlib.sha256(match[photo.key].read_bytes()).hexdigest()
        return fingerprint("outputs", luminance, digest)

    kind = "its own luminance" if luminance == "own" else "true luminance"
    return Contestant(
        name, f"pictures of another program, {kind}", str(folder), luminance, key, load, False
    )


def fingerprint(*parts: str) -> str:
    """What a measured row depends on; a row with another fingerprint is measured again."""
    return hashlib.sha256("\n".join((str(PROTOCOL), *parts)).encode()).hexdigest()[:16]


def shortened(names: Sequence[str], most: int = 5) -> str:
    """A readable list: the first few, and how many more."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _check_sizes(name: str, folder: Path, photos: Sequence[Photo], match: dict[str, Path]) -> None:
    problems = []
    for photo in photos:
        try:
            truth = photo.size_in_header()
            width, height = image_size(match[photo.key])
        except ImageError:
            continue  # a damaged file is found and listed when it is decoded
        # a camera photograph may be stored turned: decoding decides, the header only warns early
        if {width, height} != set(truth):
            problems.append(f"{photo.key} ({width}×{height}, photograph {truth[0]}×{truth[1]})")
    if problems:
        raise ContestantError(
            f"--outputs {name}={folder}: {len(problems)} pictures differ in size from their "
            f"photographs: {shortened(problems)}; bring them to the photographs' size first"
        )


def _read_output(path: Path, truth: Rgb8) -> Rgb8:
    picture = decode(path.read_bytes(), str(path))
    if picture.shape != truth.shape:
        (height, width), (rows, columns) = truth.shape[:2], picture.shape[:2]
        raise ImageError(
            str(path), f"it has {columns}×{rows} pixels, the photograph {width}×{height}"
        )
    return picture


def _weights_digest(base: str, weights: Path | None) -> str:
    """SHA-256 of the weights file; nothing where no file is known (then the label must tell)."""
    path = weights or Path(base)
    if base in CHECKPOINTS:
        try:
            path = find_checkpoint(str(path))
        except CheckpointError:
            return ""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
