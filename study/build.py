"""Make a stimulus set from folders of pictures: `python -m study.build`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import fields
from pathlib import Path
from string import Template

from study.records import REAL, Stimulus
from study.stimuli.building import (
    ENCODERS,
    MANIPULATIONS,
    BuildError,
    BuildOptions,
    build_set,
    read_about,
)
from study.stimuli.stimulus_set import MANIFEST, load_stimuli

STARTER = Path(__file__).parent / "stimuli" / "starter.yaml"
_RESERVED = {"attention", "practice"}


def starter_config(stimuli: list[Stimulus], folder: str) -> str:
    """A commented study.yaml that fits a set, as a place to start from."""
    scenes = len({entry.base_image for entry in stimuli if entry.kind == "real"})
    practice = sum(entry.kind == "practice" for entry in stimuli) // 2
    checks = min(sum(entry.kind == "attention" for entry in stimuli), 3)
    methods = sorted({entry.method for entry in stimuli if entry.kind in {"real", "method"}})
    trials = max(1, min(50, scenes - checks))
    names = ", ".join(json.dumps(name) for name in methods)
    template = Template(STARTER.read_text(encoding="utf-8"))
    return template.substitute(
        folder=json.dumps(folder), names=names, trials=trials, practice=practice, checks=checks
    )


def _write_config(path: Path, target: Path) -> None:
    stimuli = list(load_stimuli(target).stimuli)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.path.relpath(target.resolve(), path.resolve().parent)
    path.write_text(starter_config(stimuli, Path(folder).as_posix()), encoding="utf-8")
    print(f"wrote {path}")


def _method(text: str) -> tuple[str, Path]:
    name, separator, folder = text.partition("=")
    if not separator or not name.strip() or not folder:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FOLDER")
    if name in _RESERVED or name == REAL:
        raise argparse.ArgumentTypeError(f"the name {name!r} is taken; call the method otherwise")
    return name.strip(), Path(folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m study.build", description=__doc__)
    parser.add_argument("--real", type=Path, required=True, help="folder of the photographs")
    parser.add_argument(
        "--method",
        type=_method,
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="folder of one method's results, named as the photographs (repeat)",
    )
    parser.add_argument(
        "--anchor",
        dest="anchors",
        choices=sorted(MANIPULATIONS),
        action="append",
        default=[],
        help="a known manipulation of the photographs as a further condition (repeat)",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="new folder for the set")
    parser.add_argument("--size", type=int, default=384, help="longer side in pixels (384)")
    parser.add_argument("--encoder", choices=sorted(ENCODERS), default="png")
    parser.add_argument("--practice", type=int, default=0, help="scenes set aside for practice")
    parser.add_argument("--attention", type=int, default=0, help="scenes with an attention picture")
    parser.add_argument("--limit", type=int, help="use at most this many scenes, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--write-config", type=Path, metavar="FILE", help="also write a study.yaml that fits"
    )
    parser.add_argument(
        "--about",
        "--licences",
        type=Path,
        metavar="CSV",
        help="columns file, licence and kind (what the scene shows: people, outdoor, …)",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Command line; 0 all scenes used, 1 some left out, 2 nothing built."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    methods = dict(arguments.method)
    try:
        if len(methods) != len(arguments.method):
            raise BuildError("--method: a name was given twice")
        if not methods and not arguments.anchors:
            raise BuildError("give at least one --method NAME=DIR (or --anchor)")
        if arguments.size < 16 or min(arguments.practice, arguments.attention) < 0:
            raise BuildError("--size needs 16 or more, --practice and --attention 0 or more")
        given = {f.name: getattr(arguments, f.name) for f in fields(BuildOptions)}
        given["anchors"] = tuple(dict.fromkeys(arguments.anchors))
        given["about"] = read_about(arguments.about) if arguments.about else {}
        options = BuildOptions(**given)
        if arguments.write_config is not None and arguments.write_config.exists():
            raise BuildError(f"--write-config {arguments.write_config}: exists already")
        notes = build_set(arguments.real, methods, arguments.output, options)
    except BuildError as error:
        print(f"study.build: {error}", file=sys.stderr)
        return 2
    for note in notes:
        print(f"study.build: {note}", file=sys.stderr)
    print(f"wrote {arguments.output / MANIFEST}")
    if arguments.write_config is not None:
        _write_config(arguments.write_config, arguments.output)
    return 1 if notes else 0


if __name__ == "__main__":
    raise SystemExit(main())
