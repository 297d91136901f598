"""What the owner of a photograph is told: what is wrong with a file, and what its way costs it."""

from __future__ import annotations

from typing import Any


class ImageError(ValueError):
    """A file that cannot be read or written as an image; `str()` is one sentence for its owner.

    `salvageable`: what is left of it can be read with `accept_damaged`.
    """

    def __init__(self, path: str, reason: str, *, salvageable: bool = False) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
        self.salvageable = salvageable

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str], dict[str, bool]]:
        # crosses process borders intact
        return type(self), (self.path, self.reason), {"salvageable": self.salvageable}


def brief(error: BaseException) -> str:
    """A decoder's message, cut to what fits into a sentence."""
    text = " ".join(str(error).split())
    return (text[:120] + "…" if len(text) > 120 else text) or type(error).__name__


SENTENCES = {
    "cut": "the file was cut off or damaged; what is missing stays empty",
    "frame": "the first frame taken",
    "page": "the largest of {count} pages taken (number {number})",
    "page_below": "the largest of {count} pages taken (below a page)",
    "eight_bits": "the result has 8 bits per channel, the input had more (PNG and TIFF keep 16)",
    "credentials": "the input's Content Credentials are not in the result "
    "(--sign keeps them as its ingredient)",
    "maker": "the camera's maker notes were left out",
    "exif_long": "the EXIF is too long for a JPEG; its long values were left out",
    "xmp_damaged": "the XMP packet was damaged and was left out",
    "xmp_long": "the XMP packet is too long for a JPEG and was left out",
    "profile_none": "the input has no RGB profile to convert back into; the result is sRGB",
    "profile_bad": "the input's profile cannot be used ({reason}); the result is sRGB",
}
"""In English, by name; `{…}` is filled with a note's values."""


class Note(str):
    """An English sentence that keeps its `name` and `values`, for those who say it otherwise."""

    name: str
    values: dict[str, Any]

    def __new__(cls, name: str, **values: Any) -> Note:
        note = super().__new__(cls, SENTENCES[name].format(**values))
        note.name, note.values = name, values
        return note

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        # crosses process borders intact
        return (self.name,), self.values
