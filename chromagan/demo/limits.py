"""What the page accepts. One place, so that the texts can state what the code enforces."""

from __future__ import annotations

import os
from dataclasses import dataclass

CHECK_SECONDS = 240  # how often old files are looked for


@dataclass(frozen=True)
class Limits:
    """Every limit of the page, in the units that its texts name."""

    file_megabytes: int = 40
    megapixels: int = 50  # per picture, from the header, before anything is decoded
    batch_files: int = 40
    batch_megapixels: int = 400  # all pictures of one batch together
    preview_side: int = 1280  # pixels on the long side of what the page shows
    history: int = 12  # pictures kept per visitor
    recent_megabytes: int = 100  # decoded photos kept in memory, all visitors together
    video_seconds: float = 12.0
    video_side: int = 960
    queue: int = 60  # waiting requests, all visitors together
    keep_minutes: int = 60  # no file gets older than this
    sessions: int = 200

    @property
    def delete_at_seconds(self) -> int:
        """The age at which a file is deleted, early enough for a check every `CHECK_SECONDS`."""
        return self.keep_minutes * 60 - CHECK_SECONDS

    @property
    def max_pixels(self) -> int:
        return self.megapixels * 1_000_000


@dataclass(frozen=True)
class Workers:
    """How many requests of a kind run at once; the network itself runs one at a time."""

    photo: int = 2  # one in the network while another decodes or encodes
    light: int = 4  # sliders and history: milliseconds each
    full: int = 2  # full-resolution files: memory, not time, is the limit
    long: int = 2  # batches and videos, which give way to single photos between pictures

    @classmethod
    def for_machine(cls) -> Workers:
        cores = os.cpu_count() or 1
        return cls(photo=max(2, min(4, cores)), full=max(1, min(3, cores // 2)), long=2)
