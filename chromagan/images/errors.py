"""The one error of reading and writing images."""

from __future__ import annotations


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
