"""Everything that a training run carries from step to step, and its way to disk and back."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chromagan.checkpoint.release_file import CheckpointError, load_release, load_state, save_state
from chromagan.config import TrainConfig
from chromagan.model import Critic, Generator, build_generator
from chromagan.model.lite import LiteTrunk
from chromagan.model.pretrained import (
    load_efficientnet,
    load_torchvision_vgg_trunk,
    load_vgg_trunk,
)
from chromagan.model.vgg import VggTrunk

STATE_FORMAT = "chromagan-state-1"


class TrainingState:
    """Generator, its running average, critic, both optimisers and the step number."""

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.step = 0
        self.seconds = 0.0
        self.generator = build_generator(config.model)
        load_start(self.generator, config)
        self.critic = Critic() if config.weights.adversarial else None
        self.ema = copy.deepcopy(self.generator).requires_grad_(False).eval()
        for part in self._frozen_parts():
            part.requires_grad_(False)
        if self.generator.class_head is not None and not config.weights.classes:
            self.generator.class_head.requires_grad_(False)
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        for network in (self.generator, self.ema, self.critic):
            if network is not None:
                network.to(device=device, memory_format=layout)  # type: ignore[call-overload]
        fused = device.type in ("cuda", "cpu")  # ten times faster on the CPU too
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.generator, config), betas=config.betas, fused=fused
        )
        self.critic_optimizer = (
            torch.optim.Adam(
                self.critic.parameters(), config.critic_lr, betas=(0.5, 0.999), fused=fused
            )
            if self.critic is not None
            else None
        )

    def train_mode(self) -> None:
        self.generator.train()
        for part in self._frozen_parts():
            part.eval()  # frozen parts keep their batch-norm statistics too

    def _frozen_parts(self) -> list[nn.Module]:
        trunk = self.generator.trunk
        if self.config.freeze_trunk:
            return [trunk]
        assert isinstance(trunk, LiteTrunk | VggTrunk)
        return trunk.shallow_parts(self.config.frozen_stages)

    def update_average(self) -> None:
        """Exponential moving average of weights and batch-norm statistics; 0 = a plain copy.

        Young averages forget faster, so that the start does not linger for 1 / (1 - ema) steps.
        """
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step)) if self.config.ema else 0.0
        with torch.no_grad():
            for average, value in zip(
                self.ema.state_dict().values(), self.generator.state_dict().values(), strict=True
            ):
                if average.is_floating_point():
                    average.lerp_(value, 1 - decay)
                else:
                    average.copy_(value)

    def save(self, path: Path) -> None:
        save_state(
            path,
            {
                "format": STATE_FORMAT,
                "config": asdict(self.config),
                "step": self.step,
                "seconds": self.seconds,
                **{name: module.state_dict() for name, module in self._parts().items()},
            },
        )

    def load(self, path: Path) -> None:
        state = load_state(path)
        if state.get("format") != STATE_FORMAT:
            raise CheckpointError(f"{path}: not a ChromaGAN training state")
        if state["config"]["model"] != asdict(self.config.model):
            raise CheckpointError(
                f"{path}: holds another network ({state['config']['model']}); "
                "give --out another name or remove the folder"
            )
        parts = self._parts()
        missing = [name for name in parts if name not in state]
        if missing:
            raise CheckpointError(f"{path}: saved by a run without {missing}; use --init instead")
        for name, part in parts.items():
            part.load_state_dict(state[name])
        self.step, self.seconds = int(state["step"]), float(state["seconds"])

    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {
            "generator": self.generator,
            "ema": self.ema,
            "optimizer": self.optimizer,
        }
        if self.critic is not None:
            parts |= {"critic": self.critic, "critic_optimizer": self.critic_optimizer}
        return parts


def load_start(generator: Generator, config: TrainConfig) -> None:
    """Fill a fresh generator from `--init`, or its trunk from ImageNet weights."""
    if config.init:
        load_init(generator, Path(config.init))
    elif config.trunk_weights == "none":
        return
    elif config.model.architecture == "lite":
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


def parameter_groups(generator: Generator, config: TrainConfig) -> list[dict[str, Any]]:
    """Trunk, class head and the rest with their rates; no weight decay on biases and norms."""
    rates = {
        "trunk": config.trunk_lr if config.trunk_lr is not None else config.lr,
        "class_head": config.class_lr if config.class_lr is not None else config.lr,
        "rest": config.lr,
    }
    groups: dict[tuple[str, bool], list[Tensor]] = {}
    for name, parameter in generator.named_parameters():
        if parameter.requires_grad:
            part = name.split(".")[0]
            key = (part if part in rates else "rest", parameter.ndim > 1)
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": rates[part],
            "base_lr": rates[part],
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (part, decays), parameters in groups.items()
    ]


def rate_factor(step: int, total: int, config: TrainConfig) -> float:
    """The schedule: linear warm-up, then constant or a half cosine down to 1 %."""
    warm = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    if config.schedule == "constant":
        return warm
    progress = min(1.0, step / max(1, total))
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def gradients(modules: list[nn.Module]) -> list[Tensor]:
    return [p.grad for m in modules for p in m.parameters() if p.grad is not None]
