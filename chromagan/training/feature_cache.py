"""Features of a frozen trunk on disk: computed once, read by every later epoch and run.

A folder holds what one trunk says of views made with one set of crop settings. Every process
appends to a part of its own (`*.rows`: one record a view; `*.index`: which view), and reads the
parts of all, so that runs may share a folder, be killed, and go on. Rows reach the disk before
their index does.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chromagan.config import ConfigError
from chromagan.files import write_text

VERSION = 1
FLUSH_EVERY = 128
_VIEW = np.dtype([("photo", "<u8"), ("number", "<u4")])

View = tuple[int, int]
"""Photograph (`PhotoSet.identity`) and number of its crop."""


class FeatureCache:
    """Named maps of views, `(B, C, H, W)` or `(B, C)`; kept in half precision or in bytes."""

    def __init__(self, folder: Path, settings: dict[str, Any], *, as_bytes: bool = False) -> None:
        """`settings` is everything that the features depend on but the view itself."""
        settings = settings | {"version": VERSION, "bytes": as_bytes}
        text = json.dumps(settings, indent=1, sort_keys=True)
        self.folder = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
        self.as_bytes = as_bytes
        self.made = 0
        self.seconds = 0.0
        self._rows: dict[View, tuple[Path, int]] = {}
        self._maps: dict[Path, NDArray[Any]] = {}
        self._unwritten: dict[View, NDArray[Any]] = {}
        self._own: Path | None = None
        if not self.folder.is_dir():
            with self._writing():
                write_text(self.folder / "settings.json", text + "\n")
        self._refresh()

    def __len__(self) -> int:
        return len(self._rows) + len(self._unwritten)

    def __contains__(self, view: View) -> bool:
        return view in self._rows or view in self._unwritten

    def __call__(
        self, views: Sequence[View], compute: Callable[[], dict[str, Tensor]], device: torch.device
    ) -> dict[str, Tensor]:
        """Features of views: read, or computed for the whole batch, kept, and read back.

        Read back, so that a view's features are the same before and after a restart.
        """
        if any(view not in self for view in views):
            self._refresh()
        if any(view not in self for view in views):
            started = time.perf_counter()
            records = pack(compute(), as_bytes=self.as_bytes)
            new = {v: record for v, record in zip(views, records, strict=True) if v not in self}
            self._unwritten |= new
            self.made += len(new)
            self.seconds += time.perf_counter() - started
        features = unpack(np.stack([self._record(view) for view in views]), device)
        if len(self._unwritten) >= FLUSH_EVERY:
            self.flush()
        return features

    def flush(self) -> None:
        """Bring what this process has made to the disk."""
        if not self._unwritten:
            return
        records = np.stack(list(self._unwritten.values()))
        views = np.array(list(self._unwritten), _VIEW)
        with self._writing():
            if self._own is None:
                handle, name = tempfile.mkstemp(suffix=".rows", dir=self.folder)
                os.close(handle)
                self._own = Path(name)
            if not (self.folder / "layout.json").exists():
                write_text(self.folder / "layout.json", json.dumps(records.dtype.descr))
            for path, rows in ((self._own, records), (self._own.with_suffix(".index"), views)):
                with path.open("ab") as file:
                    file.write(rows.tobytes())
                    file.flush()
                    os.fsync(file.fileno())
        self._unwritten.clear()
        self._refresh()

    @property
    def bytes(self) -> int:
        """Size of all rows on disk."""
        return sum(path.stat().st_size for path in self.folder.glob("*.rows"))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            message = f"--cache-folder {self.folder}: cannot be written ({reason})"
            raise ConfigError(message) from None

    def _record(self, view: View) -> NDArray[Any]:
        path, row = self._rows.get(view, (None, 0))
        record: NDArray[Any] = self._maps[path][row] if path else self._unwritten[view]
        return record

    def _refresh(self) -> None:
        """Learn what has been written since the last look, by this process or by others."""
        for index in self.folder.glob("*.index"):
            path = index.with_suffix(".rows")
            known, count = len(self._maps.get(path, ())), index.stat().st_size // _VIEW.itemsize
            if count == known:
                continue
            views = np.fromfile(index, _VIEW, count)
            fields = json.loads((self.folder / "layout.json").read_text())
            layout = np.dtype([(name, kind, tuple(shape)) for name, kind, shape in fields])
            self._maps[path] = np.memmap(path, layout, mode="r", shape=(count,))
            for row, (photo, number) in enumerate(views[known:].tolist(), start=known):
                self._rows.setdefault((photo, number), (path, row))


def pack(features: dict[str, Tensor], *, as_bytes: bool) -> NDArray[Any]:
    """Features -> one record a view, maps as (H, W, C): half precision, or bytes with the largest
    value of every channel of every picture beside them (what is packed so must not be negative)."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, x in features.items():
        last = x.movedim(1, -1).float()
        if as_bytes and x.ndim == 4:
            scale = last.amax(dim=(1, 2)) / 255
            levels = last / scale.clamp_min(1e-12)[:, None, None]
            arrays[name] = levels.round().byte().cpu().numpy()
            arrays[f"{name}.scale"] = scale.cpu().numpy()
        else:
            arrays[name] = last.half().cpu().numpy()
    layout = np.dtype([(name, a.dtype, a.shape[1:]) for name, a in arrays.items()])
    records = np.empty(len(next(iter(arrays.values()))), dtype=layout)
    for name, array in arrays.items():
        records[name] = array
    return records


def unpack(records: NDArray[Any], device: torch.device) -> dict[str, Tensor]:
    """The inverse of `pack`, float32, channels-last in memory."""
    features: dict[str, Tensor] = {}
    names = [name for name in records.dtype.names or () if not name.endswith(".scale")]
    for name in names:
        last = torch.from_numpy(np.ascontiguousarray(records[name])).to(device).float()
        if f"{name}.scale" in (records.dtype.names or ()):
            scale = torch.from_numpy(np.ascontiguousarray(records[f"{name}.scale"]))
            last = last * scale.to(device)[:, None, None]
        features[name] = last.movedim(-1, 1)
    return features


def weights_digest(module: nn.Module) -> str:
    """SHA-256 of all weights and statistics of a network."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).numpy().tobytes())
    return digest.hexdigest()
