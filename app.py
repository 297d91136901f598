"""The web demo: `make demo`, `python app.py`, or the `app_file` of a Hugging Face Space."""

from __future__ import annotations

import os

if os.environ.get("SPACES_ZERO_GPU"):
    import spaces  # noqa: F401  # must come before torch, or no GPU can be lent

from chromagan.demo.server import serve

if __name__ == "__main__":
    serve()
