"""An append-only log of everything acknowledged, in a second place.

One JSON-lines file per participant, so that servers never share a file and a withdrawal can
erase one person's lines. A line torn by a crash was never acknowledged and is skipped. Together
with the studies' descriptions the log rebuilds an empty database (`study.store.replay`).
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from chromagan.files import complete_file

Event = Mapping[str, Any]
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class VoteLogError(RuntimeError):
    """The log cannot be written or read; nothing was acknowledged."""


class EventLog(Protocol):
    """What sessions need of a vote log."""

    def append(self, participant: str, events: Sequence[Event]) -> None:
        """Add events durably, or raise."""

    def erase(self, participant: str, tombstone: Event) -> None:
        """Replace all of a participant's events by one, or raise."""


class VoteLog:
    """A log in a folder. Appends are durable (fsync) before they return."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        """Make the folder and prove that it can be written.

        Raises:
            VoteLogError: it cannot.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder) as probe:
                probe.write(b"\n")
        except OSError as error:
            raise VoteLogError(f"--vote-log {self.folder}: cannot be written ({error})") from error

    def append(self, participant: str, events: Sequence[Event]) -> None:
        """Add lines to a participant's file.

        Raises:
            VoteLogError: not written, or not completely; the caller has to try again.
        """
        text = "".join(json.dumps(event, ensure_ascii=True) + "\n" for event in events)
        path = self._path(participant)
        try:
            is_new = not path.exists()
            with path.open("ab+") as stream:
                if not _ends_with_newline(stream):
                    text = "\n" + text  # close a line that a crash has torn
                stream.write(text.encode())
                stream.flush()
                os.fsync(stream.fileno())
            if is_new:
                _sync_folder(self.folder)
        except OSError as error:
            raise VoteLogError(f"vote log: {error}") from error

    def erase(self, participant: str, tombstone: Event) -> None:
        """Replace a participant's lines by one.

        Raises:
            VoteLogError: the lines are still there.
        """
        self._replace(self._path(participant), json.dumps(tombstone) + "\n")

    def write_study(self, config_hash: str, description: Event) -> None:
        """Keep a study's configuration and stimuli, so that old versions can be replayed.

        Raises:
            VoteLogError: not written.
        """
        path = self.folder / f"study-{config_hash}.json"
        if not path.exists():
            self._replace(path, json.dumps(description) + "\n")

    def studies(self) -> Iterator[dict[str, Any]]:
        """The studies' descriptions."""
        for path in sorted(self.folder.glob("study-*.json")):
            yield json.loads(path.read_text(encoding="utf-8"))

    def participants(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Each participant's events, in the order written; torn lines are skipped."""
        for path in sorted(self.folder.glob("participant-*.jsonl")):
            events = []
            for line in path.read_bytes().split(b"\n"):
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                if isinstance(event, dict):
                    events.append(event)
            yield path.stem.removeprefix("participant-"), events

    def close(self) -> None:
        """Nothing is left open between calls."""

    def _path(self, participant: str) -> Path:
        if _NAME.fullmatch(participant) is None:
            raise VoteLogError("vote log: not a participant id")
        return self.folder / f"participant-{participant}.jsonl"

    def _replace(self, path: Path, text: str) -> None:
        try:
            with complete_file(path) as stream:
                stream.write(text.encode())
                stream.flush()
                os.fsync(stream.fileno())
            _sync_folder(self.folder)
        except OSError as error:
            raise VoteLogError(f"vote log: {error}") from error


def _ends_with_newline(stream: Any) -> bool:
    end = stream.seek(0, os.SEEK_END)
    if end == 0:
        return True
    stream.seek(end - 1)
    return bool(stream.read(1) == b"\n")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
