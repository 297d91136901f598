"""Zhang et al.: Colorful Image Colorization (ECCV 2016); Real-Time User-Guided … (SIGGRAPH 2017).

Both see CIE L of the picture squashed to 256×256 (Pillow bicubic), as (L - 50) / 100. Their ab is
resized bilinearly and joined with the picture's own L; colours outside sRGB are cut per channel.

2016  a distribution over 313 colour bins at a quarter of the size; its mean, ×4 bilinear.
2017  three more planes with the hints: ab / 110 and a mask that is 1 where they are known, all 0 in
      automatic mode (the released weights expect the mask uncentred); tanh × 110 at 256×256.

Key names are those of the authors' PyTorch release (`richzhang/colorization`), `eccv16.py`, whose
forward pass has no explicit temperature, and `siggraph17.py` with its unused 529-way class head.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from eval.baselines.pictures import LabMethod
from eval.baselines.weight_files import install, load_weights, scaled

SIZE = 256
AB_RANGE = 110.0
STEP = 10
COUNT = 313
CLASSES = 529  # a 23×23 grid of (a, b)
GREY_LIMIT = 5.0  # in training a picture with no |a| or |b| above this does not count
# The bins in the published order: a ascending, then b ascending; every value of a has one unbroken
# range of b. No simple rule reproduces the table exactly ("corners of the occupied 10×10 cells"
# gives 309 of the 313), so it is written out.
_ROWS = {
    -90: (50, 90),
    -80: (20, 90),
    -70: (0, 90),
    -60: (-20, 90),
    -50: (-30, 100),
    -40: (-40, 100),
    -30: (-50, 100),
    -20: (-50, 100),
    -10: (-60, 100),
    0: (-70, 100),
    10: (-80, 90),
    20: (-80, 90),
    30: (-90, 90),
    40: (-100, 90),
    50: (-100, 80),
    60: (-110, 80),
    70: (-110, 80),
    80: (-110, 70),
    90: (-110, 70),
    100: (-90, 0),
}


def bin_centres() -> NDArray[np.float32]:
    """(313, 2) float32: the (a, b) centre of every bin, in CIE units."""
    points = [(a, b) for a, (first, last) in _ROWS.items() for b in range(first, last + STEP, STEP)]
    return np.array(points, dtype=np.float32)


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


class Zhang16Network(nn.Module):
    """L in [0, 100], (B, 1, H, W) with H and W multiples of 8 -> ab in CIE units (B, 2, H, W)."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c64, c128, c256, c512 = (scaled(c, width) for c in (64, 128, 256, 512))
        self.model1 = convolutions((1, c64, c64), last_stride=2)
        self.model2 = convolutions((c64, c128, c128), last_stride=2)
        self.model3 = convolutions((c128, c256, c256, c256), last_stride=2)
        self.model4 = convolutions((c256, c512, c512, c512))
        self.model5 = convolutions((c512, c512, c512, c512), dilation=2)
        self.model6 = convolutions((c512, c512, c512, c512), dilation=2)
        self.model7 = convolutions((c512, c512, c512, c512))
        self.model8 = nn.Sequential(
            nn.ConvTranspose2d(c512, c256, 4, stride=2, padding=1),
            nn.ReLU(),
            *convolutions((c256, c256, c256), norm=False),
            nn.Conv2d(c256, COUNT, 1),
        )
        self.model_out = nn.Conv2d(COUNT, 2, 1, bias=False)
        with torch.no_grad():
            self.model_out.weight.copy_(torch.from_numpy(bin_centres().T)[..., None, None])
            self.model_out.weight.div_(AB_RANGE)

    def logits(self, luminance: Tensor) -> Tensor:
        """L (B, 1, H, W) -> scores of the bins (B, 313, H/4, W/4)."""
        x = (luminance - 50) / 100
        for number in range(1, 9):
            x = self.get_submodule(f"model{number}")(x)
        return x

    def forward(self, luminance: Tensor) -> Tensor:
        mean = self.model_out(self.logits(luminance).softmax(dim=1))
        full = F.interpolate(mean, scale_factor=4, mode="bilinear", align_corners=False)
        return full * AB_RANGE


class Zhang17Network(nn.Module):
    """L in [0, 100], (B, 1, H, W) with H and W multiples of 8 -> ab in CIE units (B, 2, H, W)."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c64, c128, c256, c512 = (scaled(c, width) for c in (64, 128, 256, 512))
        self.model1 = convolutions((4, c64, c64))
        self.model2 = convolutions((c64, c128, c128))
        self.model3 = convolutions((c128, c256, c256, c256))
        self.model4 = convolutions((c256, c512, c512, c512))
        self.model5 = convolutions((c512, c512, c512, c512), dilation=2)
        self.model6 = convolutions((c512, c512, c512, c512), dilation=2)
        self.model7 = convolutions((c512, c512, c512, c512))
        self.model8up = _double(c512, c256)
        self.model3short8 = _shortcut(c256, c256)
        self.model8 = convolutions((c256, c256, c256), relu_first=True)
        self.model9up = _double(c256, c128)
        self.model2short9 = _shortcut(c128, c128)
        self.model9 = convolutions((c128, c128), relu_first=True)
        self.model10up = _double(c128, c128)
        self.model1short10 = _shortcut(c64, c128)
        self.model10 = nn.Sequential(
            nn.ReLU(), nn.Conv2d(c128, c128, 3, padding=1), nn.LeakyReLU(0.2)
        )
        self.model_class = nn.Sequential(nn.Conv2d(c256, CLASSES, 1))
        self.model_out = nn.Sequential(nn.Conv2d(c128, 2, 1), nn.Tanh())

    def forward(self, luminance: Tensor, hints: Tensor | None = None) -> Tensor:
        """`hints` (B, 3, H, W): a and b over 110, and the mask."""
        l_plane = (luminance - 50) / 100
        if hints is None:
            hints = torch.zeros_like(l_plane).expand(-1, 3, -1, -1)
        conv1 = self.model1(torch.cat((l_plane, hints), dim=1))
        conv2 = self.model2(conv1[..., ::2, ::2])
        conv3 = self.model3(conv2[..., ::2, ::2])
        conv7 = self.model7(self.model6(self.model5(self.model4(conv3[..., ::2, ::2]))))
        conv8 = self.model8(self.model8up(conv7) + self.model3short8(conv3))
        conv9 = self.model9(self.model9up(conv8) + self.model2short9(conv2))
        conv10 = self.model10(self.model10up(conv9) + self.model1short10(conv1))
        ab: Tensor = self.model_out(conv10) * AB_RANGE
        return ab


def _double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1))


def _shortcut(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1))


class UserGuided(LabMethod):
    """The method with points: patches of 7 pixels a side, as its interface reveals them."""

    def with_points(
        self, image: NDArray[np.uint8], places: NDArray[np.float64], colors: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        """`places` (N, 2) are x and y in [0, 1], `colors` (N, 2) their ab in CIE units."""
        hints = torch.zeros(1, 3, self.size, self.size)
        for (x, y), ab in zip(places * self.size, colors, strict=True):
            rows, columns = (slice(max(0, int(v) - 3), int(v) + 4) for v in (y, x))
            hints[0, :2, rows, columns] = torch.from_numpy(ab / AB_RANGE)[:, None, None]
            hints[0, 2, rows, columns] = 1
        return self.join(image, self.predict_ab(image, hints))


def load(name: str, weights: Path | str | None, device: str) -> LabMethod:
    """The method with the authors' `.pth`, this project's `.safetensors`, or random weights."""
    loaded = load_weights(name, weights)
    if name == "zhang16":
        network = install(Zhang16Network, loaded, device)
        return LabMethod(name, "Zhang et al. 2016 (ECCV)", loaded, network, SIZE)
    guided = install(Zhang17Network, loaded, device)
    return UserGuided(name, "Zhang et al. 2017 (SIGGRAPH), automatic", loaded, guided, SIZE)


def rebalancing(prior: NDArray[np.float64], *, uniform: float = 0.5) -> NDArray[np.float64]:
    """(313,) share of each bin -> (313,) loss weights with expectation one under `prior`.

    Zhang et al. 2016, eq. 4: w ∝ ((1-λ)p + λ/Q)⁻¹ with λ = `uniform`.
    """
    mixed = (1 - uniform) * prior + uniform / len(prior)
    weights: NDArray[np.float64] = 1 / mixed
    return weights / float((prior * weights).sum())


def soft_encode(ab: Tensor, *, neighbours: int = 10, sigma: float = 5.0) -> tuple[Tensor, Tensor]:
    """(N, 2) colours -> the nearest bins (N, k), nearest first, and their weights (N, k).

    The weights are a Gaussian of the distance and sum to one (Zhang et al. 2016, §2.2; the paper
    says 5 neighbours, the published layers take 10; σ = 5).
    """
    centres = torch.from_numpy(bin_centres()).to(ab)
    distances, nearest = torch.cdist(ab, centres).topk(neighbours, largest=False)
    # relative to the nearest bin: the common factor cancels, and far colours do not underflow
    exponents = (distances[:, :1] ** 2 - distances**2) / (2 * sigma**2)
    return nearest, exponents.softmax(dim=1)


def bin_shares(nearest: Tensor, weights: Tensor) -> Tensor:
    """Soft-encoded colours -> (313,) share of every bin, summing to one: the prior's raw form."""
    shares = torch.zeros(COUNT, dtype=torch.float64, device=weights.device)
    shares.scatter_add_(0, nearest.flatten(), weights.flatten().double())
    return shares / shares.sum()


def rebalanced_cross_entropy(
    logits: Tensor, ab: Tensor, bin_weights: Tensor, *, neighbours: int = 10
) -> Tensor:
    """Zhang et al. 2016, eq. 2: -Σ v(Z) Σ Z log Ẑ, mean over the pixels of the output.

    `logits` (B, 313, H/4, W/4); `ab` (B, 2, H, W), of which every fourth pixel is the target;
    `bin_weights` (313,) is v, looked up at each target's nearest bin. Grey pictures do not count.
    """
    step = ab.shape[-1] // logits.shape[-1]
    target = ab[..., ::step, ::step].permute(0, 2, 3, 1)
    nearest, weights = soft_encode(target.reshape(-1, 2), neighbours=neighbours)
    log_probabilities = logits.log_softmax(dim=1).permute(0, 2, 3, 1).reshape(-1, COUNT)
    surprise = -(weights * log_probabilities.gather(1, nearest)).sum(dim=1)
    weighted = (bin_weights.to(surprise)[nearest[:, 0]] * surprise).view(len(ab), -1)
    coloured = (ab.abs() > GREY_LIMIT).flatten(1).any(dim=1)
    return (weighted.mean(dim=1) * coloured).mean()


def huber_regression(ab_hat: Tensor, ab: Tensor) -> Tensor:
    """Zhang et al. 2017: Huber loss (δ = 0.01) of ab / 110, a and b added."""
    return 2 * F.smooth_l1_loss(ab_hat / 110, ab / 110, beta=0.01)
