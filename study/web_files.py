"""The few static files, by name."""

from __future__ import annotations

from pathlib import Path

from fastapi import HTTPException
from fastapi.responses import FileResponse

STATIC = Path(__file__).parent / "web" / "static"
_TYPES = {"study.css": "text/css", "trials.js": "text/javascript", "icon.svg": "image/svg+xml"}


def static_file(name: str) -> FileResponse:
    """One of the survey's own static files.

    Raises:
        HTTPException: 404 for any other name.
    """
    if name not in _TYPES:
        raise HTTPException(404, "There is no such file.")
    return FileResponse(STATIC / name, media_type=_TYPES[name])
