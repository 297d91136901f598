"""Licence-clean photographs that ship with the package; `CREDITS.csv` names maker and licence."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

FOLDER = Path(__file__).parent


def sample_paths(kind: Literal["color", "historic"]) -> list[Path]:
    """The bundled photographs of one kind, sorted by name.

    `color`: 38 colour photographs (the default evaluation set). `historic`: 12 old photographs
    in the public domain.
    """
    return sorted((FOLDER / kind).glob("*.jpg"))
