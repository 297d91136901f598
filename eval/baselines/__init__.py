"""The compared systems by name. Importing this package loads no network and no torch.

    from eval.baselines import load_method, method_names
    colorize = load_method("zhang16", weights=Path("colorization_release_v2-9b330a0b.pth"))
    picture = colorize(photo)  # uint8 H×W×3 -> uint8 H×W×3

`weights` may also be the word "random": the architecture with seeded random weights, for tests and
timings; its label says so. Without `weights` a method uses, in this order, the official file that
`python -m eval.fetch NAME` put in the cache, then the reduced weights in `eval/baselines/weights/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chromagan.files import cache_folder

FLOORS = ("grey", "mean-ab")
PUBLISHED = {
    "zhang16": "zhang",
    "iizuka": "iizuka",
    "larsson": "larsson",
    "isola": "isola",
    "zhang17": "zhang",
}
"""Networks of other papers, and the module here with `load(name, weights, device) -> Method`."""
SMALL = ("small-full", "small-no-class", "small-no-gan")
"""ChromaGAN, ChromaGAN w/o class and ChromaNet at the width and after the training of those."""


class MethodError(ValueError):
    """A method cannot run here; the text is one sentence that says what to do about it."""


@dataclass(eq=False)
class Method:
    """A `chromagan.inference.colorizer.Colorizer` that also says where its weights come from."""

    name: str
    description: str
    weights_label: str
    weights_file: Path | None
    """The file that was loaded; None where nothing was (floors, random weights)."""

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 H×W×3 sRGB (its colour is ignored) -> uint8 H×W×3 sRGB of the same size."""
        raise NotImplementedError


def method_names() -> tuple[str, ...]:
    """Everything that can take part: this project's checkpoints, the floors, other systems."""
    from chromagan.checkpoint.source import available_checkpoints

    return (*available_checkpoints(), *FLOORS, *PUBLISHED, *SMALL)


def load_method(name: str, *, weights: Path | str | None = None, device: str = "auto") -> Method:
    """Build a method with its weights, ready to call.

    A name that is neither a floor nor a published system is a network of this project: a
    checkpoint, a small one, or any name with `weights`. Raises MethodError (one sentence) for an
    unknown name, and for missing, damaged or foreign weights; the sentence says how to get them.
    """
    module = PUBLISHED.get(name, "own")
    if module == "own" and weights is None and name not in (known := method_names()):
        raise MethodError(
            f"there is no method {name!r}; choose from {', '.join(known)}, or give weights of a "
            f"network of this project with --weights {name}=FILE"
        )
    method: Method = import_module(f"eval.baselines.{module}").load(name, weights, device)
    return method


@dataclass(frozen=True)
class Release:
    """Where authors published their weights. `sha256` may be a prefix, as in PyTorch's names."""

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
