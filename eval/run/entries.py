"""Who takes part in an evaluation: networks of the registry, and folders of finished pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import chromagan
from chromagan.color import Rgb8
from chromagan.files import sha256_of
from chromagan.images import ImageError, find_images, image_size
from eval.baselines import MethodError, load_method, method_names
from eval.measures.protocol import PROTOCOL, Luminance
from eval.run.photos import PhotoFile, decode, key_of, readable

Colorize = Callable[[PhotoFile, Rgb8], Rgb8]


@dataclass(frozen=True)
class Entry:
    """One row of the table. `load` builds what colorizes, as late as possible."""

    name: str
    description: str
    weights: str
    luminance: Luminance
    fingerprint: Callable[[PhotoFile], str]
    """What a measured row depends on besides the photograph; other fingerprint, measured again."""
    load: Callable[[], Colorize]
    weights_sha256: str = ""
    network: bool = True


def network(name: str, weights: Path | None, device: str) -> Entry:
    """A method of the registry; `METHOD@TAG` lets one method take part with several weights.

    `weights` "random" stands for the seeded random weights that some methods offer.
    Loads it once, so that missing weights are told before anything runs. Raises MethodError.
    """
    base = name.partition("@")[0]
    source = "random" if weights == Path("random") else weights
    method = load_method(base, weights=source, device=device)
    digest = sha256_of(method.weights_file) if method.weights_file else ""
    key = _fingerprint(chromagan.__version__, base, method.weights_label, digest)

    def load() -> Colorize:
        colorizer = load_method(base, weights=source, device=device)
        return lambda photo, truth: colorizer(truth)

    return Entry(
        name=name,
        description=method.description,
        weights=readable(method.weights_label),
        luminance="true",
        fingerprint=lambda photo: key,
        load=load,
        weights_sha256=digest,
    )


def networks(listed: str, weights: Mapping[str, Path], device: str) -> list[Entry]:
    """The methods of a list `A,B@TAG,…`, each once. ValueError for a list that cannot be meant."""
    names = list(dict.fromkeys(name.strip() for name in listed.split(",") if name.strip()))
    if not names:
        raise ValueError("--methods names no method")
    for name in names:
        if not plain_name(name):
            raise ValueError(f"--methods: {name!r} cannot be the name of a folder")
    if unused := set(weights) - set(names):
        raise ValueError(f"--weights {unused.pop()}=…: --methods does not name it")
    return [network(name, weights.get(name), device) for name in names]


def named_paths(values: Sequence[str], flag: str) -> dict[str, Path]:
    """The values of a flag that is written NAME=PATH, several times. Raises ValueError."""
    pairs = {}
    for value in values:
        name, equals, rest = value.partition("=")
        if not (name and equals and rest):
            raise ValueError(f"{flag} {value}: write {flag} NAME=PATH")
        if name in pairs:
            raise ValueError(f"{flag}: one name is given twice")
        pairs[name] = Path(rest)
    return pairs


def plain_name(name: str) -> bool:
    """Whether a method can have this name: it becomes a folder beside `truth`."""
    return (
        name != "truth"
        and not name.startswith(".")
        and all(c.isalnum() or c in "-_@.+" for c in name)
    )


def available(
    device: str, weights: dict[str, Path] | None = None
) -> tuple[list[Entry], dict[str, str]]:
    """Every method of the registry that can run here, and the reasons of those that cannot."""
    weights = weights or {}
    ready, missing = [], {}
    for name in method_names():
        try:
            ready.append(network(name, weights.get(name), device))
        except MethodError as error:
            if name in weights:
                raise
            reason = str(error).removeprefix(f"{name}: ")
            missing[name] = reason.replace(str(Path.home()), "~")
    return ready, missing


def outputs(
    name: str, folder: Path, photos: Sequence[PhotoFile], luminance: Luminance = "true"
) -> Entry:
    """A folder of finished pictures, matched to the photographs by name without suffix.

    Every photograph needs exactly one picture of its own size; all misfits are told at once,
    before anything runs. Raises MethodError.
    """
    if not folder.is_dir():
        raise MethodError(f"--outputs {name}={folder}: there is no such folder")
    match = _match(name, folder, photos)
    _check_sizes(name, folder, photos, match)
    kind = "its own luminance" if luminance == "own" else "true luminance"
    return Entry(
        name=name,
        description=f"pictures of another program, {kind}",
        weights=readable(str(folder)),
        luminance=luminance,
        fingerprint=lambda p: _fingerprint("outputs", luminance, sha256_of(match[p.key])),
        load=lambda: lambda photo, truth: _read_output(match[photo.key], truth),
        network=False,
    )


def shortened(names: Sequence[str]) -> str:
    """A readable list: the first few, and how many more."""
    rest = len(names) - 5
    return ", ".join(names[:5]) + (f" and {rest} more" if rest > 0 else "")


def _fingerprint(*parts: str) -> str:
    return hashlib.sha256("\n".join((str(PROTOCOL), *parts)).encode()).hexdigest()[:16]


def _match(name: str, folder: Path, photos: Sequence[PhotoFile]) -> dict[str, Path]:
    """Photograph key -> its picture: the same path, or the same stem where that is unambiguous."""
    found: dict[str, list[Path]] = {}
    for path in find_images(folder):
        found.setdefault(key_of(readable(path.relative_to(folder).as_posix())), []).append(path)
    twins: dict[str, list[PhotoFile]] = {}
    for photo in photos:
        twins.setdefault(key_of(photo.name.rpartition("/")[2]), []).append(photo)
    match: dict[str, Path] = {}
    problems = []
    for stem, same_stem in twins.items():
        lost = []
        for photo in same_stem:
            paths = found.get(photo.key, [])
            if len(paths) == 1:
                match[photo.key] = paths[0]
            elif paths:
                problems.append(f"{photo.key} (several: {_names(paths)})")
            else:
                lost.append(photo)
        flat = found.get(stem, [])
        if len(lost) == 1 and len(same_stem) == 1 and len(flat) == 1:
            match[lost[0].key] = flat[0]
        elif lost and flat:
            problems.append(f"{_names(flat)} for {' and '.join(p.name for p in same_stem)}")
        else:
            problems += [f"{photo.key} (missing)" for photo in lost]
    if problems:
        raise MethodError(
            f"--outputs {name}={folder}: every photograph needs a picture of its own; not so: "
            f"{shortened(problems)}. Name the pictures like the photographs, folders included"
        )
    return match


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(readable(path.name) for path in paths)


def _check_sizes(
    name: str, folder: Path, photos: Sequence[PhotoFile], match: dict[str, Path]
) -> None:
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
        raise MethodError(
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
