"""Photographs that arrive in a folder, each once it is complete."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from chromagan.images import find_images

State = tuple[int, int]
SETTLED_SECONDS = 2.0
"""A file counts as complete when its size and time have not changed for so long."""
_LOOK_MILLISECONDS = 500


@dataclass
class Arrivals:
    """The files of a folder by their states: which are new, and still for long enough."""

    folder: Path
    settled: float = SETTLED_SECONDS
    _seen: dict[Path, tuple[State, float]] = field(default_factory=dict)
    _handled: dict[Path, State] = field(default_factory=dict)

    def ready(self, now: float) -> list[Path]:
        """Look at the folder; the complete files that were not handed out in this state before."""
        complete = []
        for path in find_images(self.folder):
            state = _state(path)
            if state is None or self._handled.get(path) == state:
                continue
            before, since = self._seen.get(path, (None, now))
            if before != state:
                self._seen[path] = (state, now)
            elif now - since >= self.settled and state[0] > 0:
                complete.append(path)
                self._handled[path] = state
                del self._seen[path]
        return complete

    @property
    def waiting(self) -> bool:
        """Whether some file may become complete without another change."""
        return bool(self._seen)


def _state(path: Path) -> State | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def arriving(
    folder: Path, stop: Event | None = None, settled: float = SETTLED_SECONDS
) -> Iterator[list[Path]]:
    """Batches of complete files, those that are there first; ends when `stop` is set."""
    from watchfiles import watch

    arrivals = Arrivals(folder, settled)
    stop = stop or Event()
    if files := _look(arrivals):
        yield files
    for _ in watch(
        folder,
        stop_event=stop,
        rust_timeout=_LOOK_MILLISECONDS,
        yield_on_timeout=True,
        raise_interrupt=True,
    ):
        if files := _look(arrivals):
            yield files


def _look(arrivals: Arrivals) -> list[Path]:
    return arrivals.ready(time.monotonic())
