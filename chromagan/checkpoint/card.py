"""The model card beside a release, written from the run's own record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from chromagan.checkpoint.description import Release

LIMITS = """\
Colours are plausible, not true: the network guesses from what it has seen in modern photographs.
It cannot know the colour of a uniform, a dress or a car, and should not be used as evidence.
Faces of people who are rare in the training photographs, interiors, small persons in groups and
man-made objects come out duller or browner than landscapes, skies, animals and plants."""

ARCHITECTURE = {
    "vgg16": "the paper's network (VGG-16 trunk to conv4_3, 224 x 224 input)",
    "lite": "ChromaGAN-lite (EfficientNet-Lite2 trunk, lateral connections, any size)",
}


def model_card(release: Release, *, notes: str = "", licence: str | None = None) -> str:
    """Markdown with front matter for a model hub, of what the release itself knows.

    `notes` adds what it cannot know: metrics measured after training, where photographs are from.
    """
    record, config = release.record, asdict(release.config)
    training = record["training"]
    start = training["init"] or training["trunk_weights"] or "ImageNet weights"
    weights = training["weights"]
    facts = {
        "Network": ARCHITECTURE[config["architecture"]],
        "Variant": record["variant"],
        "Settings": ", ".join(f"{k} {v}" for k, v in config.items() if k != "architecture"),
        "Starts from": start,
        "Loss weights": ", ".join(f"{k} {v:g}" for k, v in weights.items()),
        "Steps": f"{record['steps']:,} of {training['batch']} crops of {training['crop']} px "
        f"({record['images_seen']:,} image-steps)",
        "Rates": f"{training['lr']:g} (trunk {training['trunk_lr']}, {training['schedule']})",
        "Average of weights": f"{training['ema']:g}" if training["ema"] else "none",
        "Hardware": record["hardware"],
        "Time": f"{record['hours']} h",
        "Toolkit": f"{record['toolkit']} ({record['commit']})",
        "Chroma factor": f"{release.chroma_factor:g}",
        "File": f"model.safetensors, {release.path.stat().st_size / 1e6:.1f} MB, half precision, "
        f"sha256 `{release.sha256}`",
    }
    if release.graph is not None:
        facts["Without PyTorch"] = f"model.onnx, {release.graph.stat().st_size / 1e6:.1f} MB"
    table = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    front = f"license: {licence}\n" if licence else ""
    return f"""---
{front}library_name: chromagan
pipeline_tag: image-to-image
tags: [image-colorization]
---
# {release.title}

Colorizes grey photographs. Use it with `chromagan.load_colorizer("{release.name}")`.
{_note(release)}
| | |
|---|---|
{table}

## Training data

{_data(record)}

{notes.strip() or "## Metrics" + chr(10) + chr(10) + "Not measured yet: run `python eval/psnr.py`."}

## Limits

{LIMITS}
"""


def _data(record: dict[str, Any]) -> str:
    """What is known of the photographs: the trainer's own words, else the names of the sources."""
    training = record["training"]
    count = f"{record['photos']:,} photographs. " if "photos" in record else ""
    what = training.get("data_note") or f"Photographs of {_listed(training['data'])}."
    return f"{count}{what} They belong to their makers and are not part of this release."


def _note(release: Release) -> str:
    return f"\n{release.note}\n" if release.note else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "an unnamed source"
