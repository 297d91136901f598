"""What the owner of a photograph should know of its way through: one sentence each."""

from __future__ import annotations

from typing import Any

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
