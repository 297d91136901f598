"""The model card beside a release, written from the run's own record."""

from __future__ import annotations

from typing import Any

LIMITS = """\
Colours are plausible, not true: the network guesses from what it has seen in modern photographs.
It cannot know the colour of a uniform, a dress or a car, and should not be used as evidence.
Faces of people who are rare in the training photographs, interiors, small persons in groups and
man-made objects come out duller or browner than landscapes, skies, animals and plants."""

ARCHITECTURE = {
    "vgg16": "the paper's network (VGG-16 trunk to conv4_3, 224 x 224 input)",
    "lite": "ChromaGAN-lite (EfficientNet-Lite2 trunk, lateral connections, any size)",
}


def model_card(
    *, name: str, config: dict[str, Any], record: dict[str, Any], sha256: str, size: int, notes: str
) -> str:
    """Markdown with front matter for a model hub; `notes` adds metrics measured after training."""
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
        "File": f"model.safetensors, {size / 1e6:.1f} MB, half precision, sha256 `{sha256}`",
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    return f"""---
license: mit
library_name: chromagan
pipeline_tag: image-to-image
tags: [image-colorization]
---
# {name}

Colorizes grey photographs. Use it with `chromagan.load_colorizer("{name}")`.

| | |
|---|---|
{table}

## Training data

23,672 photographs collected from 32 public GitHub repositories (Flickr8k, PASCAL VOC animals, SUN
scenes, sports, Caltech-101, Imagenette and others), for research and training only; the photographs
belong to their makers and are not part of this release. Colour photographs only, short side 192 px.

{notes.strip() or "## Metrics" + chr(10) + chr(10) + "Not measured yet: run `python eval/psnr.py`."}

## Limits

{LIMITS}
"""
