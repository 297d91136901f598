"""`python -m chromagan.demo` or `chromagan demo`: serve the web page."""

from __future__ import annotations

import argparse
import os


def main(argv: list[str] | None = None) -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="chromagan demo", description=__doc__)
    parser.add_argument("--port", type=int, help="default: $PORT, else 7860")
    arguments = parser.parse_args(argv)
    if arguments.port is not None:
        os.environ["PORT"] = str(arguments.port)
    from chromagan.demo.server import serve

    serve()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
