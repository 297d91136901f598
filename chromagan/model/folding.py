"""Exact simplifications of a trained generator: the same function with less arithmetic."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from chromagan.model.generator import Generator
from chromagan.model.vgg import GlobalBranch


def fold_linear(generator: Generator) -> Generator:
    """A copy of a `vgg16` generator with one global linear map instead of three; else a copy."""
    folded = copy.deepcopy(generator)
    branch = folded.global_branch
    if isinstance(branch, GlobalBranch) and not folded.config.folded:
        folded.config = replace(folded.config, folded=True)
        branch.linear = nn.Sequential(branch.fold())
    return folded


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """A copy in inference form: every batch norm that follows a convolution is merged into it.

    Conv-ReLU-BN (the official order) stays as it is: the norm cannot pass the ReLU, and merging it
    into the next convolution would be wrong at padded borders.
    """
    folded = copy.deepcopy(module).eval()
    with torch.no_grad():
        _fold_children(folded)
    return folded


def _fold_children(module: nn.Module) -> None:
    for child in module.children():
        _fold_children(child)
    if not isinstance(module, nn.Sequential):
        return
    layers = list(module)
    for i, (conv, norm) in enumerate(pairwise(layers)):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            module[i] = fuse_conv_bn_eval(conv, norm)
            module[i + 1] = nn.Identity()
