"""The stimulus set: a folder of uniformly encoded pictures and a manifest.

Pictures leave the server with one and the same number of bytes: each is padded, inside its own
file format, to the size of the largest one, so that not even the length of a response tells a
photograph from a colorization.
"""

from __future__ import annotations

import hashlib
import json
import struct
import threading
import zlib
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from study.records import KINDS, Stimulus
from study.settings import StudyError

MANIFEST = "manifest.json"
FORMAT = 1
MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg"}
CACHE_BYTES = 256 << 20
"""Memory of a server process for pictures; the system's file cache holds what does not fit."""
_PAD_STEP = 4096
_PAD_LEAST = 16
_JPEG_COMMENT = 65_533


class StimulusError(StudyError):
    """A stimulus set that cannot be used; the text names the folder or file."""


@dataclass(frozen=True)
class StimulusSet:
    """A loaded set. wire_bytes: the number of bytes that every picture is served with.

    Pictures as they are sent stay in memory as far as `CACHE_BYTES` go; first in, first out.
    """

    folder: Path
    stimuli: tuple[Stimulus, ...]
    settings: dict[str, Any]
    manifest_sha256: str
    wire_bytes: int
    media_type: str
    _kept: dict[str, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)
    _turn: threading.Lock = field(
        default_factory=threading.Lock, init=False, repr=False, compare=False
    )

    def methods(self) -> list[str]:
        """Methods that can be voted on, real photographs included."""
        return sorted({s.method for s in self.stimuli if s.kind in {"real", "method"}})

    def read(self, stimulus: str) -> bytes:
        """The picture as it goes over the wire, `wire_bytes` long.

        Raises:
            KeyError: no such stimulus.
            OSError: the file has gone.
        """
        found = self._kept.get(stimulus)
        if found is None:
            found = pad_picture(self._paths[stimulus].read_bytes(), self.wire_bytes)
            with self._turn:
                while len(self._kept) >= max(1, CACHE_BYTES // self.wire_bytes):
                    del self._kept[next(iter(self._kept))]
                self._kept[stimulus] = found
        return found

    def in_memory(self, stimulus: str) -> bool:
        """Whether `read` needs no file now."""
        return stimulus in self._kept

    @cached_property
    def _paths(self) -> dict[str, Path]:
        return {entry.stimulus: self.folder / entry.file for entry in self.stimuli}


def pad_picture(data: bytes, length: int) -> bytes:
    """A PNG or JPEG file of exactly `length` bytes that decodes to the same pixels.

    PNG gets a private ancillary chunk before IEND, JPEG comment segments after SOI.

    Raises:
        ValueError: neither PNG nor JPEG, or fewer than 16 bytes to add.
    """
    missing = length - len(data)
    if missing < _PAD_LEAST:
        raise ValueError(f"cannot pad {len(data)} bytes to {length}")
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[-8:-4] == b"IEND":
        body = b"paDd" + bytes(missing - 12)
        chunk = struct.pack(">I", missing - 12) + body + struct.pack(">I", zlib.crc32(body))
        return data[:-12] + chunk + data[-12:]
    if data.startswith(b"\xff\xd8"):
        return data[:2] + _jpeg_comments(missing) + data[2:]
    raise ValueError("only PNG and JPEG can be padded")


def _jpeg_comments(missing: int) -> bytes:
    parts = []
    while missing:
        size = min(missing, _JPEG_COMMENT + 4)
        if 0 < missing - size < 4:
            size -= 4  # a segment needs four bytes at least
        parts.append(b"\xff\xfe" + struct.pack(">H", size - 2) + bytes(size - 4))
        missing -= size
    return b"".join(parts)


def write_manifest(folder: Path, stimuli: list[Stimulus], settings: dict[str, Any]) -> None:
    """Write the manifest of a set, in the order of the random ids."""
    ordered = sorted(stimuli, key=lambda entry: entry.stimulus)
    content = {
        "format": FORMAT,
        "settings": settings,
        "stimuli": [asdict(entry) for entry in ordered],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def load_stimuli(folder: Path) -> StimulusSet:
    """Load a set and check every file against its SHA-256.

    Raises:
        StimulusError: no or broken manifest, a missing or changed file, mixed formats.
    """
    path = folder / MANIFEST
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise StimulusError(
            f"{folder}: no {MANIFEST}; make the set with `python -m study.build`"
        ) from error
    try:
        content = json.loads(raw)
        if content["format"] != FORMAT:
            raise StimulusError(f"{path}: format {content['format']} is not {FORMAT}")
        stimuli = tuple(_stimulus(entry) for entry in content["stimuli"])
        settings = dict(content["settings"])
    except (KeyError, TypeError, ValueError) as error:
        raise StimulusError(f"{path}: is not a stimulus manifest ({error!r})") from error
    twice = [name for name, n in Counter(e.stimulus for e in stimuli).items() if n > 1]
    if twice:
        raise StimulusError(f"{path}: two pictures have the id {twice[0]!r}; every id is used once")
    largest = max((_check_file(folder, entry) for entry in stimuli), default=0)
    types = {MEDIA_TYPES.get(Path(entry.file).suffix) for entry in stimuli}
    media_type = types.pop() if len(types) == 1 else None
    if media_type is None:
        raise StimulusError(f"{folder}: needs pictures of one format, all PNG or all JPEG")
    wire = -(-(largest + _PAD_LEAST) // _PAD_STEP) * _PAD_STEP
    digest = hashlib.sha256(raw).hexdigest()
    return StimulusSet(folder, stimuli, settings, digest, wire, media_type)


def _stimulus(entry: dict[str, Any]) -> Stimulus:
    stimulus = Stimulus(**entry)
    if stimulus.kind not in KINDS:
        raise ValueError(f"kind {stimulus.kind!r} is none of {', '.join(KINDS)}")
    if Path(stimulus.file).name != stimulus.file:
        raise ValueError(f"file {stimulus.file!r} is not a plain name")
    return stimulus


def _check_file(folder: Path, stimulus: Stimulus) -> int:
    path = folder / stimulus.file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StimulusError(f"{path}: in the manifest, but cannot be read") from error
    if hashlib.sha256(data).hexdigest() != stimulus.sha256:
        raise StimulusError(f"{path}: was changed after the set was built")
    return len(data)
