"""The vote log on the Hugging Face Hub, for hosts whose disk vanishes.

Lines are written to a local folder at once and uploaded together every few seconds: the Hub
takes commits, not single lines. What was acknowledged since the last upload is lost when the
host vanishes without a shutdown; a mounted persistent folder or PostgreSQL has no such window.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from study.store.vote_log import Event, VoteLog, VoteLogError

SCHEME = "hf://datasets/"
UPLOAD_EVERY_S = 30.0


def open_log(target: str, api: Any = None) -> VoteLog:
    """A vote log in a folder, or in a (private) dataset `hf://datasets/OWNER/NAME[/FOLDER]`.

    Raises:
        VoteLogError: the address names no dataset.
    """
    if not target.startswith("hf://"):
        return VoteLog(Path(target))
    parts = target.removeprefix(SCHEME).split("/")
    if not target.startswith(SCHEME) or len(parts) < 2 or not all(parts):
        raise VoteLogError(f"--vote-log {target}: needs {SCHEME}OWNER/NAME or a folder")
    if api is None:
        from huggingface_hub import HfApi

        api = HfApi()
    return HubVoteLog(api, "/".join(parts[:2]), "/".join(parts[2:]) or "votes")


class HubVoteLog(VoteLog):
    """A folder log that a thread copies to a dataset repository."""

    def __init__(
        self, api: Any, repository: str, folder: str, every_s: float = UPLOAD_EVERY_S
    ) -> None:
        self._spool = tempfile.TemporaryDirectory(prefix="study-votes-")
        super().__init__(Path(self._spool.name))
        self._api = api
        self._repository = repository
        self._remote = folder
        self._every_s = every_s
        self._changed: set[str] = set()
        self._turn = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vote-log-upload", daemon=True)

    def prepare(self) -> None:
        """Fetch the log so far and start uploading.

        Raises:
            VoteLogError: the dataset cannot be reached or written.
        """
        super().prepare()
        try:
            self._api.create_repo(
                self._repository, repo_type="dataset", private=True, exist_ok=True
            )
            prefix = f"{self._remote}/"
            for name in self._api.list_repo_files(self._repository, repo_type="dataset"):
                if name.startswith(prefix) and "/" not in name.removeprefix(prefix):
                    local = self._api.hf_hub_download(
                        self._repository, name, repo_type="dataset", force_download=True
                    )
                    (self.folder / os.path.basename(name)).write_bytes(Path(local).read_bytes())
        except Exception as error:  # the client raises many kinds, all mean the same here
            raise VoteLogError(
                f"--vote-log {SCHEME}{self._repository}: cannot be used ({error}); "
                "is HF_TOKEN set with write access?"
            ) from error
        self._thread.start()

    def append(self, participant: str, events: Sequence[Event]) -> None:
        """Write locally and mark the file for the next upload."""
        super().append(participant, events)
        self._mark(self._path(participant))

    def _replace(self, path: Path, text: str) -> None:
        super()._replace(path, text)
        self._mark(path)

    def _mark(self, path: Path) -> None:
        with self._turn:
            self._changed.add(path.name)

    def upload(self) -> int:
        """Upload the changed files in one commit; returns how many. Failures are kept."""
        from huggingface_hub import CommitOperationAdd

        with self._turn:
            names, self._changed = sorted(self._changed), set()
        if not names:
            return 0
        try:
            operations = [
                CommitOperationAdd(f"{self._remote}/{name}", (self.folder / name).read_bytes())
                for name in names
            ]
            self._api.create_commit(
                self._repository,
                operations,
                commit_message=f"Votes of {len(names)} files",
                repo_type="dataset",
            )
        except Exception as error:  # keep them for the next time, whatever it was
            with self._turn:
                self._changed.update(names)
            print(f"study: the vote log could not be uploaded yet ({error})", file=sys.stderr)
            return 0
        return len(names)

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self.upload()

    def close(self) -> None:
        """Upload what is left and stop."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.upload()
        self._spool.cleanup()
