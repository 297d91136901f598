"""The compared systems by name. Importing this package loads no network and no torch.

    from eval.baselines import METHODS, load_method
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

__all__ = ["METHODS", "Method", "MethodError", "load_method"]

# name -> module with `load(name, weights, device) -> Method`
_MODULES = {
    "full": "ours",
    "no-class": "ours",
    "no-gan": "ours",
    "lite": "ours",
    "grey": "floors",
    "mean-ab": "floors",
    "zhang16": "zhang16",
    "iizuka": "iizuka",
    "larsson": "larsson",
    "isola": "isola",
    "zhang17": "zhang17",
}
METHODS: tuple[str, ...] = tuple(_MODULES)


def load_method(name: str, *, weights: Path | str | None = None, device: str = "auto") -> Method:
    """Build the method `name` of `METHODS` with its weights, ready to call.

    Raises MethodError (one sentence) for an unknown name, and for missing, damaged or foreign
    weights; the sentence says how to get them.
    """
    if name not in _MODULES:
        raise MethodError(f"there is no method {name!r}; choose from {', '.join(METHODS)}")
    module = import_module(f"eval.baselines.{_MODULES[name]}")
    method: Method = module.load(name, weights, device)
    return method
