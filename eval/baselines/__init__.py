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

from eval.baselines.method import Method, MethodError

__all__ = ["FLOORS", "PUBLISHED", "Method", "MethodError", "load_method", "method_names"]

FLOORS = ("grey", "mean-ab")
PUBLISHED = ("zhang16", "iizuka", "larsson", "isola", "zhang17")
"""Networks of other papers; each is a module with `load(name, weights, device) -> Method`."""


def method_names() -> tuple[str, ...]:
    """Everything that can take part: this project's checkpoints, the floors, other systems."""
    from chromagan.checkpoint.source import available_checkpoints

    return (*available_checkpoints(), *FLOORS, *PUBLISHED)


def load_method(name: str, *, weights: Path | str | None = None, device: str = "auto") -> Method:
    """Build a method with its weights, ready to call.

    A name that is neither a floor nor a published system is a network of this project: a
    checkpoint, or any name with `weights`. Raises MethodError (one sentence) for an unknown name,
    and for missing, damaged or foreign weights; the sentence says how to get them.
    """
    module = "floors" if name in FLOORS else name if name in PUBLISHED else "ours"
    if module == "ours" and weights is None and name not in (known := method_names()):
        raise MethodError(
            f"there is no method {name!r}; choose from {', '.join(known)}, or give weights of a "
            f"network of this project with --weights {name}=FILE"
        )
    method: Method = import_module(f"eval.baselines.{module}").load(name, weights, device)
    return method
