"""The generator: parts joined as in figure 2 of the paper, whichever trunk carries them."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from chromagan.config import ModelConfig
from chromagan.model import lite, vgg


class GeneratorOutput(NamedTuple):
    """What the generator says of a batch."""

    ab: Tensor
    """ab code `(B, 2, H/2, W/2)` in [0, 1]; `chromagan.color.decode_ab` gives CIE units."""
    class_logits: Tensor | None
    """`(B, classes)`, before the softmax; None where there is no class head or it was not asked."""
    features: Tensor
    """The fused map at stride 8, `(B, C, H/8, W/8)`: what the network knows of every place."""


class Generator(nn.Module):
    """Trunk -> (global branch -> class head), mid-level path -> fusion -> decoder.

    Input: luminance code `(B, 1, H, W)` in [0, 1], sides multiples of 32 (`stride`). `vgg16` is
    meant for `image_size` squares: of others, its global branch sees a pooled grid.
    """

    stride = 32

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        parts = vgg if config.architecture == "vgg16" else lite
        self.config = config
        self.trunk: lite.Trunk | vgg.Trunk = parts.Trunk(config)
        self.global_branch: nn.Module = parts.GlobalBranch(config)
        self.class_head = parts.ClassHead(config) if config.class_head else None
        self.mid_level: nn.Module = parts.MidLevel(config)
        self.fusion: nn.Module = parts.Fusion(config)
        self.decoder: nn.Module = parts.Decoder(config)

    def forward(
        self, l_B1HW: Tensor, *, classes: bool = True, features: list[Tensor] | None = None
    ) -> GeneratorOutput:
        """`features`: what the trunk says of this input, where that is known already."""
        self._check(l_B1HW)
        if features is None:
            features = self.trunk(l_B1HW)
        vector, pooled = self.global_branch(features)
        logits = None
        if classes and self.class_head is not None:
            logits = self.class_head(pooled)
        fused = self.fusion(self.mid_level(features), vector)
        return GeneratorOutput(self.decoder(fused, features), logits, fused)

    def _check(self, l_B1HW: Tensor) -> None:
        sides = tuple(l_B1HW.shape[-2:])
        if l_B1HW.ndim != 4 or l_B1HW.shape[1] != 1:
            raise ValueError(f"the generator takes (B, 1, H, W), got {tuple(l_B1HW.shape)}")
        if any(side % self.stride for side in sides):
            raise ValueError(f"sides must be multiples of {self.stride}, got {sides}")


def build_generator(config: ModelConfig) -> Generator:
    """A generator with fresh random weights; call `torch.manual_seed` first to reproduce it."""
    return Generator(config)


def enlarge_ab(ab_B2hw: Tensor, size: tuple[int, int], config: ModelConfig) -> Tensor:
    """The generator's half-size ab at the working size, where losses and critic look at it.

    The official code repeats pixels; elsewhere bilinear, since blocks of 2x2 are an artefact.
    """
    if config.compat == "official":
        return F.interpolate(ab_B2hw, size=size, mode="nearest")
    return F.interpolate(ab_B2hw, size=size, mode="bilinear", align_corners=False)


# -- exact simplifications of a trained network: the same function with less arithmetic -----------


def fold_linear(generator: Generator) -> Generator:
    """A copy of a `vgg16` generator with one global linear map instead of three; else a copy."""
    folded = copy.deepcopy(generator)
    branch = folded.global_branch
    if isinstance(branch, vgg.GlobalBranch) and not folded.config.folded:
        folded.config = replace(folded.config, folded=True)
        branch.linear = nn.Sequential(branch.fold())
    return folded


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """A copy in inference form: every batch norm that follows a convolution is merged into it.

    Conv-ReLU-BN (the official order) stays as it is: the norm cannot pass the ReLU, and merging it
    into the next convolution would be wrong at padded borders.
    """
    folded = copy.deepcopy(module).eval()
    for part in [part for part in folded.modules() if isinstance(part, nn.Sequential)]:
        for i, (conv, norm) in enumerate(pairwise(list(part))):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                with torch.no_grad():
                    part[i] = fuse_conv_bn_eval(conv, norm)
                part[i + 1] = nn.Identity()
    return folded
