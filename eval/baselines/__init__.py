"""The compared systems by name. Importing this package loads no network and no torch.

    from eval.baselines import load_method, method_names
    colorize = load_method("zhang16", weights=Path("colorization_release_v2-9b330a0b.pth"))
    picture = colorize(photo)  # uint8 H×W×3 -> uint8 H×W×3

`weights` may also be the word "random": the architecture with seeded random weights, for tests and
timings; its label says so. Without `weights` a method uses, in this order, the official file that
`python -m eval.fetch NAME` put in the cache, then the reduced weights in `eval/baselines/weights/`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

FLOORS = ("grey", "mean-ab")
PUBLISHED = ("zhang16", "iizuka", "larsson", "isola", "zhang17")
"""Networks of other papers; each is a module with `load(name, weights, device) -> Method`."""
SMALL = ("small-full", "small-no-class", "small-no-gan")
"""ChromaGAN, ChromaGAN w/o class and ChromaNet at the width and after the training of those."""


class MethodError(ValueError):
    """A method cannot run here; the text is one sentence that says what to do about it."""


@runtime_checkable
class Method(Protocol):
    """A `chromagan.inference.colorizer.Colorizer` that also says where its weights come from."""

    name: str
    description: str
    weights_label: str
    weights_file: Path | None
    """The file that was loaded; None where nothing was (floors, random weights)."""

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 H×W×3 sRGB (its colour is ignored) -> uint8 H×W×3 sRGB of the same size."""
        ...


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
    module = name if name in PUBLISHED else "own"
    if module == "own" and weights is None and name not in (known := method_names()):
        raise MethodError(
            f"there is no method {name!r}; choose from {', '.join(known)}, or give weights of a "
            f"network of this project with --weights {name}=FILE"
        )
    method: Method = import_module(f"eval.baselines.{module}").load(name, weights, device)
    return method
