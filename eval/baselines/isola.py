"""Isola, Zhu, Zhou, Efros: Image-to-Image Translation (pix2pix, CVPR 2017), colorization mode.

Input  L / 50 - 1 of the picture squashed to 256×256; output tanh, ab / 110.
The authors publish results of that size only; here ab is resized bilinearly and joined with the
picture's own L, out-of-gamut colours cut per channel, the rule of the other Lab systems.
As in the authors' test script, batch norm uses the statistics of the picture itself and dropout
stays on; its noise comes from a fixed seed, so that a picture always gets the same colours.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eval.baselines import MethodError
from eval.baselines.pictures import LabMethod
from eval.baselines.weight_files import install, load_weights, scaled
from eval.baselines.zhang import AB_RANGE

DEPTHS = {256: 8, 128: 7}
"""Side of the square -> halvings until one pixel is left: the authors' unet_256 and unet_128."""
DEPTH = 8
DROPOUT_SEED = 0
_CHANNELS = (64, 128, 256, 512, 512, 512, 512, 512)


class BatchStatistics(nn.Module):
    """Batch norm that always normalises with the batch at hand, as pix2pix does at test time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(0, 2, 3), keepdim=True)
        variance = x.var(dim=(0, 2, 3), keepdim=True, unbiased=False)
        scale = self.weight[:, None, None] * (variance + 1e-5).rsqrt()
        return (x - mean) * scale + self.bias[:, None, None]


class UNet(nn.Module):
    """L in [0, 100], (B, 1, S, S) -> ab in CIE units, (B, 2, S, S), where S is 2 to the `depth`.

    Level i halves the size for the i-th time; its decoder step undoes that. While training,
    dropout draws from torch's global generator, otherwise from `DROPOUT_SEED`.
    """

    def __init__(self, width: float = 1.0, *, depth: int = DEPTH) -> None:
        super().__init__()
        self.depth = depth
        c = [scaled(channels, width) for channels in _CHANNELS[:depth]]
        self.down = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False)
            for inputs, outputs in pairwise([1, *c])
        )
        self.down_norm = nn.ModuleList(
            BatchStatistics(c[level]) if 0 < level < depth - 1 else nn.Identity()
            for level in range(depth)
        )
        outputs = [2, *c[:-1]]
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(
                c[level] if level == depth - 1 else 2 * c[level],
                outputs[level],
                4,
                stride=2,
                padding=1,
                bias=level == 0,
            )
            for level in range(depth)
        )
        self.up_norm = nn.ModuleList(
            BatchStatistics(outputs[level]) if level else nn.Identity() for level in range(depth)
        )

    def forward(self, luminance: Tensor) -> Tensor:
        return self.normalised(luminance / 50 - 1) * AB_RANGE

    def normalised(self, x: Tensor) -> Tensor:
        """L / 50 - 1 -> ab / 110, both (B, ·, S, S) in [-1, 1]."""
        noise = None if self.training else torch.Generator().manual_seed(DROPOUT_SEED)
        skips: list[Tensor] = []
        for level in range(self.depth):
            x = x if level == 0 else F.leaky_relu(x, 0.2)
            x = self.down_norm[level](self.down[level](x))
            skips.append(x)
        for level in reversed(range(self.depth)):
            x = x if level == self.depth - 1 else torch.cat((skips[level], x), dim=1)
            x = self.up_norm[level](self.up[level](F.relu(x)))
            if 4 <= level < self.depth - 1:  # the decoder steps after the innermost
                x = _dropout(x, noise)
        return x.tanh()


def _dropout(x: Tensor, noise: torch.Generator | None) -> Tensor:
    """Dropout with p = 0.5; `noise` (a CPU generator) makes it repeatable on every device."""
    if noise is None:
        return F.dropout(x, 0.5, training=True)
    kept = torch.rand(x.shape, generator=noise) < 0.5
    return x * kept.to(x.device, x.dtype) * 2


class PatchDiscriminator(nn.Module):
    """The 70×70 PatchGAN of the training: L / 50 - 1 and ab / 110, (B, 3, H, W) -> scores."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c = [scaled(channels, width) for channels in (64, 128, 256, 512)]
        layers: list[nn.Module] = [nn.Conv2d(3, c[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for (inputs, outputs), stride in zip(pairwise(c), (2, 2, 1), strict=True):
            layers += [
                nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1, bias=False),
                BatchStatistics(outputs),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(c[-1], 1, 4, padding=1))

    def forward(self, luminance: Tensor, ab: Tensor) -> Tensor:
        """L in [0, 100] and ab in CIE units -> one score per patch, before the sigmoid."""
        scores: Tensor = self.layers(torch.cat((luminance / 50 - 1, ab / AB_RANGE), dim=1))
        return scores


_NESTED = re.compile(r"model\.model\.((?:\d+\.model\.)*)(\d+)\.(weight|bias)$")
# (depth kind) -> {index inside the block: our module list}
_OUTERMOST = {"0": "down", "3": "up"}
_MIDDLE = {"1": "down", "2": "down_norm", "5": "up", "6": "up_norm"}
_INNERMOST = {"1": "down", "3": "up", "4": "up_norm"}


def from_nested_keys(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Key names of `junyanz/pytorch-CycleGAN-and-pix2pix` (`netG`, unet_256) -> those of UNet.

    There every level is nested in the one above. Running statistics are dropped: the method uses
    those of the picture. Other keys are returned as they are.
    """
    renamed: dict[str, Tensor] = {}
    for key, value in tensors.items():
        if key.endswith(("running_mean", "running_var", "num_batches_tracked")):
            continue
        match = _NESTED.match(key)
        if match is None:
            renamed[key] = value
            continue
        level = match[1].count("model.")
        table = {0: _OUTERMOST, DEPTH - 1: _INNERMOST}.get(level, _MIDDLE)
        if match[2] not in table:
            raise MethodError(f"isola: unknown layer {key}; is it a unet_256 of pix2pix?")
        renamed[f"{table[match[2]]}.{level}.{match[3]}"] = value
    return renamed


def load(name: str, weights: Path | str | None, device: str) -> LabMethod:
    """The method with a pix2pix `.pth`, this project's `.safetensors`, or random weights."""
    loaded = load_weights(name, weights)
    if loaded.path.suffix in {".pth", ".pt"}:
        loaded = replace(loaded, tensors=from_nested_keys(loaded.tensors))
    depth = int(loaded.number("depth", DEPTH, low=min(DEPTHS.values()), high=DEPTH))
    network = install(lambda width: UNet(width, depth=depth), loaded, device)
    return LabMethod(name, "Isola et al. 2017 (pix2pix)", loaded, network, 2**depth)


def cgan_generator(fake_scores: Tensor, ab_hat: Tensor, ab: Tensor) -> tuple[Tensor, Tensor]:
    """Isola et al. 2017, eq. 4: the adversarial term and L1 of ab / 110; objective: sum, L1 × 100.

    The generator maximises log D instead of minimising log(1 - D), as the paper says.
    """
    adversarial = F.binary_cross_entropy_with_logits(fake_scores, torch.ones_like(fake_scores))
    return adversarial, F.l1_loss(ab_hat / 110, ab / 110)


def cgan_discriminator(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Isola et al. 2017, eq. 1 for the discriminator, halved to slow it down (§3.3)."""
    real = F.binary_cross_entropy_with_logits(real_scores, torch.ones_like(real_scores))
    fake = F.binary_cross_entropy_with_logits(fake_scores, torch.zeros_like(fake_scores))
    return (real + fake) / 2
