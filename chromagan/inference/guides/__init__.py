"""What a person knows of a photograph's colours, spread over it.

`points`: what can be known, and the files it comes in; `guidance`: apply it to a prediction;
`propagation`: the mathematics of spreading; `swatches`: plausible colours to choose from.
"""

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
