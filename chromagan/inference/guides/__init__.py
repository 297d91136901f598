"""What a person knows of a photograph's colours, spread over it: points, references, frames."""

from chromagan.inference.guides.points import (
    GuideError,
    Guides,
    Point,
    format_guides,
    parse_guides,
    read_guides,
    strokes,
    write_guides,
)

__all__ = [
    "GuideError",
    "Guides",
    "Point",
    "format_guides",
    "parse_guides",
    "read_guides",
    "strokes",
    "write_guides",
]
