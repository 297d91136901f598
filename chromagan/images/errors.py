"""The one error of reading and writing images."""

from __future__ import annotations


class ImageError(ValueError):
    """A file that cannot be read or written as an image; `str()` is one sentence for its owner."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        return type(self), (self.path, self.reason)  # crosses process borders intact


def brief(error: BaseException) -> str:
    """A decoder's message, cut to what fits into a sentence."""
    text = " ".join(str(error).split())
    return (text[:120] + "…" if len(text) > 120 else text) or type(error).__name__
