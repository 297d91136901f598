"""Where the authors published their weights, and how to recognise the files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chromagan.files import cache_folder


@dataclass(frozen=True)
class Release:
    """One published file. `sha256` may be a prefix, as in PyTorch's file names."""

    method: str
    url: str
    filename: str
    licence: str
    sha256: str | None = None
    md5: str | None = None
    size: int | None = None  # bytes


RELEASES: dict[str, Release] = {
    release.method: release
    for release in (
        Release(
            "zhang16",
            "https://colorizers.s3.us-east-2.amazonaws.com/colorization_release_v2-9b330a0b.pth",
            "colorization_release_v2-9b330a0b.pth",
            "BSD-2-Clause",
            sha256="9b330a0b",
        ),
        Release(
            "zhang17",
            "https://colorizers.s3.us-east-2.amazonaws.com/siggraph17-df00044c.pth",
            "siggraph17-df00044c.pth",
            "BSD-2-Clause",
            sha256="df00044c0a4d7c3edcecf6f75437ce346a66e7a42612d9b968e1a7e17dbc6f66",
            size=136_787_426,
        ),
        Release(
            "larsson",
            "https://people.cs.uchicago.edu/~larsson/colorization/res/autocolorize.caffemodel.h5",
            "autocolorize.caffemodel.h5",
            "BSD-3-Clause",
            size=588_203_256,
        ),
        Release(
            "iizuka",
            "https://iizuka.cs.tsukuba.ac.jp/data/colornet_imagenet.t7",
            "colornet_imagenet.t7",
            "CC BY-NC-SA 4.0 (not for commercial use)",
            md5="09eddf45cd1b085fcb4cc880ba448072",
        ),
    )
}


def cached_release(method: str) -> Path | None:
    """The official file of `method` in the cache, if it is there."""
    release = RELEASES.get(method)
    if release is None:
        return None
    path = cache_folder() / release.filename
    return path if path.is_file() else None
