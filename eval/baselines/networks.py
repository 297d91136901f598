"""What the compared networks share: device, width, seeded weights, and strict loading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn

from chromagan.model.device import choose_device
from eval.baselines.method import MethodError
from eval.baselines.weight_files import LoadedWeights

RANDOM_SEED = 20200301

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def scaled(channels: int, width: float) -> int:
    """The channel count of a reduced network; width 1 is the published one."""
    return max(1, round(channels * width))


def convolutions(
    channels: Sequence[int],
    *,
    last_stride: int = 1,
    dilation: int = 1,
    relu_first: bool = False,
    norm: bool = True,
) -> nn.Sequential:
    """3×3 convolutions, each followed by ReLU, then one batch norm: Zhang's building block."""
    layers: list[nn.Module] = [nn.ReLU()] if relu_first else []
    steps = list(pairwise(channels))
    for position, (inputs, outputs) in enumerate(steps, start=1):
        stride = last_stride if position == len(steps) else 1
        layers.append(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation)
        )
        layers.append(nn.ReLU())
    if norm:
        layers.append(nn.BatchNorm2d(channels[-1]))
    return nn.Sequential(*layers)


def seeded(build: Callable[[], NetworkT], seed: int = RANDOM_SEED) -> NetworkT:
    """Build with torch's default initialisation from `seed`; the global generator is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def install(build: Callable[[float], NetworkT], loaded: LoadedWeights, device: str) -> NetworkT:
    """Network of the width that `loaded` states, filled strictly, in eval mode on `device`.

    Without tensors ("random") the weights stay as seeded. Raises MethodError when a tensor is
    missing, left over, of another shape or not finite.
    """
    network = seeded(lambda: build(loaded.width))
    if loaded.tensors:
        tensors = {key: value.float() for key, value in loaded.tensors.items()}
        for key, value in tensors.items():
            if not torch.isfinite(value).all():
                raise MethodError(f"{loaded.path}: {key} holds numbers that are not finite")
        try:
            network.load_state_dict(tensors, strict=True)
        except RuntimeError as error:
            raise MethodError(
                f"{loaded.path} does not fit the network of {loaded.method}: {_first_line(error)}"
            ) from error
    try:
        return network.to(choose_device(device)).eval()
    except ValueError as error:
        raise MethodError(f"{error}; try --device cpu") from error


def _first_line(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[1] if len(lines) > 1 else lines[0]
