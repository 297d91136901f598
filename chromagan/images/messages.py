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

REFUSALS = {
    "empty": "the file is empty",
    "folder": "this is a folder, not an image file",
    "irregular": "this is not a regular file",
    "missing": "there is no such file",
    "unopened": "the file cannot be opened ({reason})",
    "other": "this is not a photograph: it looks like {kind}",
    "bytes": "the file has {size:.1f} GB, too much for one image",
    "reader": "{kind} images need {lack}",
    "header": "the image header is damaged ({reason})",
    "no_pixels": "the header says {width}×{height} pixels",
    "pixels": "it has {width}×{height} pixels ({megapixels:.0f} megapixels), "
    "more than the limit of {limit:g} megapixels",
    "scans": "the JPEG has {scans} scans, more than any camera writes",
    "memory": "decoding it needs more memory than there is",
    "damaged": "the image is damaged or truncated ({reason})",
    "raw": "this is a camera raw file: export it as TIFF or JPEG first",
    "tiff_kind": "TIFF images of this kind ({kind}) are not supported",
    "tiff_samples": "TIFF samples of this kind ({bits} bits) are not supported",
}
"""Why a file is not read."""
KINDS = {
    "pdf": "a PDF document",
    "postscript": "a PostScript document",
    "photoshop": "a Photoshop document",
    "zip": "a ZIP archive or office document",
    "gzip": "a gzip archive",
    "jpeg_xl": "a JPEG XL image, which is not supported",
    "raw_kind": "a camera raw file, which is not supported",
    "video": "a video",
    "apple_double": "macOS's notes about another file",
    "zeros": "nothing but zero bytes",
    "nothing": "an empty file",
    "svg": "an SVG drawing, which has no pixels",
    "web_page": "a web page",
    "text": "a text file",
    "unknown": "an unknown kind of file",
}
"""What a file that is no photograph looks like."""
_ENGLISH = SENTENCES | REFUSALS | KINDS


class Note(str):
    """English words that keep their `name` and `values`, for those who say it otherwise."""

    name: str
    values: dict[str, Any]

    def __new__(cls, name: str, **values: Any) -> Note:
        note = super().__new__(cls, _ENGLISH[name].format(**values))
        note.name, note.values = name, values
        return note

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        # crosses process borders intact
        return (self.name,), self.values
