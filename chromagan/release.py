"""A run's average as a release with card, or a release with another description.

python -m chromagan.release RUN -o checkpoints/NAME --title "Light network" --chroma-factor 1.2
python -m chromagan.release checkpoints/NAME --chroma-factor 1.1
"""

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
from huggingface_hub import ModelCard, ModelCardData

from chromagan import __version__, checkpoint
from chromagan.checkpoint.graph import GraphError
from chromagan.checkpoint.release_file import describe_release, load_state, save_release
from chromagan.checkpoint.source import FILE_NAME, CheckpointError, Release, read_release
from chromagan.config import ConfigError, ModelConfig
from chromagan.files import write_text
from chromagan.model import build_generator

NETWORKS = {
    "vgg16": "the paper's network (VGG-16 trunk to conv4_3, 224 x 224 input)",
    "lite": "ChromaGAN-lite (EfficientNet-Lite2 trunk, lateral connections, any size)",
}
PATHS = ("data", "validation", "init", "trunk_weights", "teacher", "cache_folder")
RUN_FACTS = ("photos", "unreadable", "changes")
"""What the state says beside its settings; `changes` are settings that were changed on the way."""


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
        **{key: state[key] for key in RUN_FACTS if state.get(key)},
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
    run: Path,
    folder: Path,
    *,
    class_head: bool,
    notes: Path | None = None,
    hardware: str | None = None,
    licence: str | None = None,
    **described: Any,
) -> Path:
    """Write `folder/model.safetensors`, for `lite` its graph, and the card from `run/state.pt`."""
    state_path = run / "state.pt" if run.is_dir() else run
    if not state_path.is_file():
        raise CheckpointError(f"{run}: no state.pt there; train first")
    state = load_state(state_path)
    if "ema" not in state or "config" not in state:
        raise CheckpointError(f"{state_path}: not a ChromaGAN training state")
    if state["config"]["model"] is None:
        method = state["config"]["method"]
        raise CheckpointError(f"{state_path}: holds {method}; its run wrote {method}.safetensors")
    generator = build_generator(ModelConfig.from_dict(state["config"]["model"]))
    generator.load_state_dict(state["ema"])
    record = run_record(state, hardware)
    path = folder / FILE_NAME
    save_release(
        path,
        generator.eval(),
        name=folder.name,
        record=record,
        class_head=class_head,
        graph=generator.config.architecture == "lite",
        **{key: value for key, value in described.items() if value is not None},
    )
    card = model_card(
        read_release(path),
        notes=notes.read_text() if notes else "",
        licence=licence or state["config"].get("licence"),
    )
    write_text(folder / "README.md", card)
    write_text(folder / "record.json", json.dumps(record, indent=2) + "\n")
    return path


def model_card(release: Release, *, notes: str = "", licence: str | None = None) -> str:
    """Markdown with front matter for a model hub, of what the release itself knows.

    `notes` adds what it cannot know: metrics measured after training, where photographs are from.
    """
    about = ModelCardData(
        license=licence or None,
        library_name="chromagan",
        pipeline_tag="image-to-image",
        tags=["image-colorization"],
    )
    card = ModelCard.from_template(
        about,
        template_path=str(Path(checkpoint.__file__).with_name("model_card.md.jinja")),
        release=release,
        record=release.record,
        training=release.record["training"],
        settings=asdict(release.config),
        networks=NETWORKS,
        notes=notes.strip(),
        megabytes=_megabytes,
    )
    return f"{card.content}\n"


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"


def release_in(path: Path) -> Path | None:
    """The release file that `path` is or holds; None for a training run."""
    inside = path / FILE_NAME if path.is_dir() else path
    return inside if inside.suffix == ".safetensors" and inside.is_file() else None


def _commit() -> str:
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 - whichever git the user has
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip()


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chromagan.release", description=__doc__)
    add = parser.add_argument
    add(
        "run", type=Path, help="run folder of chromagan.train, its state.pt, or a release to change"
    )
    add("-o", "--out", type=Path, help="folder of the release (its name is the checkpoint's)")
    add("--title", help="a short name for people")
    add("--note", help="a sentence on what to expect of it")
    add("--chroma-factor", type=_factor, help="vividness: multiplies the network's ab (default: 1)")
    add("--class-head", action="store_true", help="keep the class head (lite: 2.6 MB)")
    add(
        "--weights",
        choices=("half", "bytes"),
        default="half",
        help="bytes: half the size of half precision, each with a scale per output channel",
    )
    add("--notes", type=Path, help="Markdown with metrics and sources for the card")
    add("--license", dest="licence", metavar="ID", help="licence of the weights, for the card")
    add("--hardware", help="what it was trained on, for the card")
    return parser


def _factor(text: str) -> float:
    value = float(text)
    if not 0 < value <= 4:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 4: {text}")
    return value


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    described = {"title": args.title, "note": args.note, "chroma_factor": args.chroma_factor}
    path = release_in(args.run)
    if path is None and args.out is None:
        parser.error("the following arguments are required: -o/--out")
    try:
        if path is not None:
            describe_release(path, **described)
        else:
            path = export(
                args.run,
                args.out,
                class_head=args.class_head,
                notes=args.notes,
                hardware=args.hardware,
                licence=args.licence,
                precision=args.weights,
                **described,
            )
    except (CheckpointError, ConfigError, GraphError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{path}: {_megabytes(path)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
