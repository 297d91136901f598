"""ChromaGAN (Vitoria, Raad, Ballester, WACV 2020): colorization with a class distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Colorizer", "__version__", "load_colorizer"]

if TYPE_CHECKING:
    from chromagan.inference.colorizer import Colorizer, load_colorizer


def __getattr__(name: str) -> Any:
    """Import the inference side on first use, so that `import chromagan.color` stays light."""
    if name in {"Colorizer", "load_colorizer"}:
        from chromagan.inference import colorizer

        return getattr(colorizer, name)
    raise AttributeError(f"module 'chromagan' has no attribute {name!r}")
