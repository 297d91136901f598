"""`chromagan COMMAND …` (or `python -m chromagan COMMAND …`): every command under one name."""

from __future__ import annotations

import sys
from importlib import import_module

from chromagan import __version__

COMMANDS = {
    "colorize": ("chromagan.colorize", "colour photographs from the command line"),
    "inspect": ("chromagan.inspect", "tell how results were made, and verify them"),
    "demo": ("chromagan.demo.__main__", "serve the web page"),
    "train": ("chromagan.train", "train a network"),
    "release": ("chromagan.release", "make a release of a training run"),
    "curves": ("chromagan.curves", "draw a run's curves"),
    "tune": ("chromagan.tune", "find the fastest engine on this machine"),
    "bench": ("chromagan.bench", "measure training speed"),
    "trials": ("chromagan.trials", "measure the choices behind the defaults"),
    "keras-import": ("chromagan.keras_import", "turn the official weights into a release"),
    "onnx-export": ("chromagan.onnx_export", "write a checkpoint as an ONNX graph"),
}
"""Name -> module with a `main(argv)`, imported when it is asked for, and what it does."""
_EXTRAS = {"torch": "train", "torchvision": "train", "gradio": "demo", "matplotlib": "train"}
"""What a command may lack where only the base was installed -> the extra that brings it."""


def usage() -> str:
    lines = [f"  {name:<14}{text}" for name, (_, text) in COMMANDS.items()]
    head = "usage: chromagan COMMAND [OPTIONS]\n\nCommands (each has --help):"
    return "\n".join([head, *lines])


def main(argv: list[str] | None = None) -> int:
    """Run a command; its exit code, 2 for one that does not exist or cannot run here."""
    argv = sys.argv[1:] if argv is None else argv
    name, rest = (argv[0], argv[1:]) if argv else ("", [])
    if name in ("-h", "--help", "help"):
        print(usage())
        return 0
    if name == "--version":
        print(f"chromagan {__version__}")
        return 0
    if name not in COMMANDS:
        problem = f"there is no command {name!r}\n\n" if name else ""
        print(f"{problem}{usage()}", file=sys.stderr)
        return 2
    try:
        code: int = import_module(COMMANDS[name][0]).main(rest)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        hint = f'pip install "chromagan[{extra}]"'
        print(f"chromagan {name}: needs {error.name}: {hint}", file=sys.stderr)
        return 2
    return code


if __name__ == "__main__":
    raise SystemExit(main())
