"""What a generator starts from: ImageNet weights, another run, or a release."""

from __future__ import annotations

from pathlib import Path

from chromagan.checkpoint.release_file import CheckpointError, load_release, load_state
from chromagan.config import TrainConfig
from chromagan.model import Generator
from chromagan.model.pretrained import (
    load_efficientnet,
    load_torchvision_vgg_trunk,
    load_vgg_trunk,
)


def load_start(generator: Generator, config: TrainConfig) -> None:
    """Fill a fresh generator from `--init`, or its trunk from ImageNet weights."""
    if config.init:
        load_init(generator, Path(config.init))
    elif config.trunk_weights == "none":
        return
    elif generator.config.architecture == "lite":
        load_efficientnet(generator, Path(config.trunk_weights) if config.trunk_weights else None)
    elif config.trunk_weights:
        load_vgg_trunk(generator, Path(config.trunk_weights), config.trunk_input)
    else:
        load_torchvision_vgg_trunk(generator)


def load_init(generator: Generator, path: Path) -> None:
    """Copy what fits from a training state (its average) or a release; the rest stays fresh.

    Only the class head and the unfolded linear layers may be absent; anything else is an error.
    """
    if path.suffix == ".safetensors":
        state = load_release(path)[0].state_dict()
    else:
        state = load_state(path).get("ema", {})
    own = generator.state_dict()
    fitting = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    optional = ("class_head.", "global_branch.linear.")
    absent = [k for k in own if k not in fitting and not k.startswith(optional)]
    if absent:
        raise CheckpointError(f"--init {path}: does not fit this network, {absent[0]} is missing")
    generator.load_state_dict(fitting, strict=False)
