"""Exact simplifications of a trained generator: the same function with less arithmetic."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from chromagan.model.generator import Generator, build_generator
from chromagan.model.vgg import GlobalBranch


def fold_linear(generator: Generator) -> Generator:
    """A copy of a `vgg16` generator with one global linear map instead of three; else a copy."""
    if generator.config.architecture != "vgg16" or generator.config.folded:
        return copy.deepcopy(generator)
    folded = build_generator(replace(generator.config, folded=True))
    branch = generator.global_branch
    assert isinstance(branch, GlobalBranch)
    state = {
        name: tensor
        for name, tensor in generator.state_dict().items()
        if not name.startswith("global_branch.linear.")
    }
    linear = branch.fold()
    state["global_branch.linear.0.weight"] = linear.weight.data
    state["global_branch.linear.0.bias"] = linear.bias.data
    folded.load_state_dict(state)
    return folded.train(generator.training)


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
