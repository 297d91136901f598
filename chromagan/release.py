"""`python -m chromagan.release RUN -o checkpoints/NAME`: a run's average as a release with card."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from chromagan import __version__
from chromagan.checkpoint.card import model_card
from chromagan.checkpoint.release_file import (
    CheckpointError,
    load_state,
    save_release,
)
from chromagan.config import ConfigError, ModelConfig
from chromagan.files import sha256_of, write_text
from chromagan.model import build_generator

MODEL_FILE = "model.safetensors"


PATHS = ("data", "validation", "init", "trunk_weights")


def run_record(state: dict[str, Any], hardware: str | None = None) -> dict[str, Any]:
    """The facts of a run that its release carries, from the training state alone.

    Of paths only the names: folders are the business of the machine that trained.
    """
    config = state["config"]
    config = config | {key: _names(config[key]) for key in PATHS}
    return {
        "variant": config["variant"],
        "preset": config["preset"],
        "steps": state["step"],
        "images_seen": state["step"] * config["batch"],
        "hours": round(state["seconds"] / 3600, 2),
        "hardware": hardware or f"{platform.machine()}, torch {torch.__version__}",
        "toolkit": __version__,
        "commit": _commit(),
        "training": {k: v for k, v in config.items() if k not in ("model", "out")},
    }


def _names(value: Any) -> Any:
    if isinstance(value, str):
        return Path(value).name
    return [_names(item) for item in value] if isinstance(value, (list, tuple)) else value


def export(
    run: Path, folder: Path, *, class_head: bool, notes: Path | None = None,
    hardware: str | None = None,
) -> Path:  # fmt: skip
    """Write `folder/model.safetensors` and its card from `run/state.pt`."""
    state_path = run / "state.pt" if run.is_dir() else run
    if not state_path.is_file():
        raise CheckpointError(f"{run}: no state.pt there; train first")
    state = load_state(state_path)
    if "ema" not in state or "config" not in state:
        raise CheckpointError(f"{state_path}: not a ChromaGAN training state")
    generator = build_generator(ModelConfig.from_dict(state["config"]["model"]))
    generator.load_state_dict(state["ema"])
    record = run_record(state, hardware)
    path = folder / MODEL_FILE
    save_release(path, generator.eval(), name=folder.name, record=record, class_head=class_head)
    text = model_card(
        name=folder.name, config=asdict(generator.config), record=record, sha256=sha256_of(path),
        size=path.stat().st_size, notes=notes.read_text() if notes else "",
    )  # fmt: skip
    write_text(folder / "README.md", text)
    write_text(folder / "record.json", json.dumps(record, indent=2) + "\n")
    return path


def _commit() -> str:
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 - whichever git the user has
            cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m chromagan.release", description=__doc__)
    parser.add_argument("run", type=Path, help="run folder of chromagan.train, or its state.pt")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the release")
    parser.add_argument(
        "--class-head", action="store_true", help="keep the class head (lite: 2.6 MB)"
    )
    parser.add_argument("--notes", type=Path, help="Markdown with metrics and limits for the card")
    parser.add_argument("--hardware", help="what it was trained on, for the card")
    args = parser.parse_args(argv)
    try:
        path = export(
            args.run, args.out, class_head=args.class_head, notes=args.notes,
            hardware=args.hardware,
        )  # fmt: skip
    except (CheckpointError, ConfigError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
