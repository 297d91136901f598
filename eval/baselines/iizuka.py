"""Iizuka, Simo-Serra, Ishikawa: Let there be Color! (SIGGRAPH 2016).

Input  luma Y' minus the training mean, twice: the whole picture scaled to multiples of 8, and a
224×224 copy for the global branch; the low-level layers are shared.
Output two sigmoids σ at the picture's size (last ×2 by nearest); ab = (2σ - 1)·100.
Full size, as in the authors' `colorize.lua`: σ scaled to the picture; ab with an L plane to R'G'B'
and on to U and V; the picture keeps its own Y'. Values outside [0, 1] are cut at the very end.
The L plane there is that of `yuv2rgb(Y', Y', Y')`, not of the grey picture: kept as it is.

Batch norm of the training is merged into the convolutions. The paper fuses with a 1×1 layer; the
released network, by the independent port of its weights, with 3×3. Both sizes can be built.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from chromagan.color import lab_to_rgb, rgb_to_lab
from chromagan.inference.recolour import check_image
from eval.baselines.pictures import NetworkMethod, to_bytes, to_unit
from eval.baselines.weight_files import LoadedWeights, install, load_weights, scaled

GLOBAL_SIZE = 224
TRAINING_MEAN = 0.44505  # of Y' in the authors' training set
# Torch7's rounded constants: they invert each other to about 1e-5 only
_RGB_TO_YUV = (
    (0.299, 0.587, 0.114),
    (-0.14713, -0.28886, 0.436),
    (0.615, -0.51499, -0.10001),
)
_YUV_TO_RGB = ((1.0, 0.0, 1.13983), (1.0, -0.39465, -0.58060), (1.0, 2.03211, 0.0))


def _layer(
    inputs: int, outputs: int, *, stride: int = 1, kernel: int = 3, norm: bool = False
) -> nn.Sequential:
    """Convolution, batch norm while training, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2),
        nn.BatchNorm2d(outputs) if norm else nn.Identity(),
        nn.ReLU(),
    )


class IizukaNetwork(nn.Module):
    """(whole (B, 1, H, W), copy (B, 1, 224, 224)) of Y' minus mean -> σ (B, 2, H, W) in (0, 1).

    H and W are multiples of 8. `norm` adds the batch norm used in training; `classes` adds the
    class head, whose scores `with_classes` returns as well.
    """

    def __init__(
        self, width: float = 1.0, *, fusion: int = 3, norm: bool = False, classes: int = 0
    ) -> None:
        super().__init__()
        c32, c64, c128, c256, c512 = (scaled(c, width) for c in (32, 64, 128, 256, 512))
        self.low = nn.Sequential(
            _layer(1, c64, stride=2, norm=norm),
            _layer(c64, c128, norm=norm),
            _layer(c128, c128, stride=2, norm=norm),
            _layer(c128, c256, norm=norm),
            _layer(c256, c256, stride=2, norm=norm),
            _layer(c256, c512, norm=norm),
        )
        self.mid = nn.Sequential(_layer(c512, c512, norm=norm), _layer(c512, c256, norm=norm))
        self.high = nn.Sequential(
            *(_layer(c512, c512, stride=stride, norm=norm) for stride in (2, 1, 2, 1))
        )
        side = GLOBAL_SIZE // 32
        c1024 = scaled(1024, width)
        self.dense1 = nn.Sequential(nn.Linear(c512 * side * side, c1024), nn.ReLU())
        self.dense2 = nn.Sequential(nn.Linear(c1024, c512), nn.ReLU())
        self.dense3 = nn.Sequential(nn.Linear(c512, c256), nn.ReLU())
        self.fusion = _layer(2 * c256, c256, kernel=fusion, norm=norm)
        double = nn.Upsample(scale_factor=2, mode="nearest")
        self.colour = nn.Sequential(
            _layer(c256, c128, norm=norm),
            double,
            _layer(c128, c64, norm=norm),
            _layer(c64, c64, norm=norm),
            double,
            _layer(c64, c32, norm=norm),
            nn.Conv2d(c32, 2, 3, padding=1),
            nn.Sigmoid(),
            double,
        )
        if classes:
            self.classes = nn.Sequential(nn.Linear(c512, c256), nn.ReLU(), nn.Linear(c256, classes))

    def _global(self, small: Tensor) -> tuple[Tensor, Tensor]:
        shared = self.dense2(self.dense1(self.high(self.low(small)).flatten(1)))
        return self.dense3(shared), shared

    def _join(self, whole: Tensor, summary: Tensor) -> Tensor:
        local = self.mid(self.low(whole))
        spread = summary[:, :, None, None].expand(-1, -1, *local.shape[-2:])
        sigma: Tensor = self.colour(self.fusion(torch.cat((local, spread), dim=1)))
        return sigma

    def forward(self, whole: Tensor, small: Tensor) -> Tensor:
        return self._join(whole, self._global(small)[0])

    def with_classes(self, whole: Tensor, small: Tensor) -> tuple[Tensor, Tensor]:
        """σ (B, 2, H, W) and class scores (B, classes); needs a network built with `classes`."""
        summary, shared = self._global(small)
        return self._join(whole, summary), self.classes(shared)


# -- Torch7's `image` package, which `colorize.lua` calls: it averages areas when it shrinks, and
# when it enlarges interpolates linearly between the outermost pixels


def _mix(matrix: tuple[tuple[float, ...], ...], planes: Tensor) -> Tensor:
    return torch.einsum("ij,jhw->ihw", torch.tensor(matrix).to(planes), planes)


def rgb_to_yuv(rgb: Tensor) -> Tensor:
    """(3, H, W) R'G'B' -> Y'UV; Y in [0, 1] for R'G'B' in [0, 1]."""
    return _mix(_RGB_TO_YUV, rgb)


def yuv_to_rgb(yuv: Tensor) -> Tensor:
    """(3, H, W) Y'UV -> R'G'B', not clipped."""
    return _mix(_YUV_TO_RGB, yuv)


def luma(rgb: Tensor) -> Tensor:
    """(3, H, W) R'G'B' -> Y' (1, H, W)."""
    return _mix(_RGB_TO_YUV[:1], rgb)


def scale(planes: Tensor, height: int, width: int) -> Tensor:
    """`image.scale`, default mode: (C, h, w) -> (C, height, width), rows and columns apart."""
    columns = _scale_last(planes, width)
    return _scale_last(columns.transpose(1, 2), height).transpose(1, 2).contiguous()


def _scale_last(planes: Tensor, length: int) -> Tensor:
    source = planes.shape[-1]
    if length == source:
        return planes
    return _average(planes, length) if length < source else _interpolate(planes, length)


def _average(planes: Tensor, length: int) -> Tensor:
    """Mean over each of `length` equal, possibly fractional parts, from the running sum."""
    source = planes.shape[-1]
    total = torch.zeros(*planes.shape[:-1], source + 1, dtype=torch.float64)
    total[..., 1:] = planes.double().cumsum(dim=-1)
    edges = torch.arange(length + 1, dtype=torch.float64) * (source / length)
    whole = edges.floor().clamp(max=source - 1)
    at_edges = torch.lerp(total[..., whole.long()], total[..., whole.long() + 1], edges - whole)
    return (at_edges.diff(dim=-1) * (length / source)).to(planes.dtype)


def _interpolate(planes: Tensor, length: int) -> Tensor:
    """Linear between samples, first and last sample at the ends."""
    source = planes.shape[-1]
    if source == 1:
        return planes.expand(*planes.shape[:-1], length)
    positions = torch.arange(length, dtype=torch.float64) * ((source - 1) / (length - 1))
    left = positions.floor().clamp(max=source - 2).long()
    share = (positions - left).to(planes.dtype)
    return torch.lerp(planes[..., left], planes[..., left + 1], share)


def round_to_eight(side: int) -> int:
    """The nearest multiple of 8, halves up, at least 8."""
    return max(8, 8 * int(side / 8 + 0.5))


def sigma_to_rgb(sigma: Tensor, y: Tensor) -> Tensor:
    """σ (2, H, W) and Y' (1, H, W) -> R'G'B' (3, H, W), not clipped, with Y' kept."""
    quirk = rgb_to_lab(yuv_to_rgb(y.expand(3, -1, -1)))[:1]
    rgb = lab_to_rgb(torch.cat((quirk, (2 * sigma - 1) * 100)), clip=False)
    return yuv_to_rgb(torch.cat((y, rgb_to_yuv(rgb)[1:])))


class IizukaMethod(NetworkMethod):
    """Any size in one pass, without tiling: memory grows with the picture."""

    def __init__(
        self, name: str, loaded: LoadedWeights, network: IizukaNetwork, mean: float
    ) -> None:
        super().__init__(name, "Iizuka et al. 2016", loaded, network)
        self.mean = mean

    @torch.inference_mode()
    def predict_sigma(self, y: Tensor) -> Tensor:
        """Y' (1, H, W) in [0, 1] -> σ (2, H', W'), H' and W' the nearest multiples of 8."""
        whole = scale(y, round_to_eight(y.shape[1]), round_to_eight(y.shape[2])) - self.mean
        small = scale(whole, GLOBAL_SIZE, GLOBAL_SIZE)
        sigma: Tensor = self.network(whole[None].to(self.device), small[None].to(self.device))
        return sigma[0].float().cpu()

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        check_image(image)
        y = luma(to_unit(image))
        sigma = scale(self.predict_sigma(y), *image.shape[:2])
        return to_bytes(sigma_to_rgb(sigma, y))


def load(name: str, weights: Path | str | None, device: str) -> IizukaMethod:
    """The method with a `.safetensors` file (metadata `fusion`, `mean`) or random weights."""
    loaded = load_weights(name, weights)
    fusion = int(loaded.number("fusion", 3, low=1, high=3))
    mean = loaded.number("mean", TRAINING_MEAN, low=0, high=1)
    network = install(lambda width: IizukaNetwork(width, fusion=fusion), loaded, device)
    return IizukaMethod(name, loaded, network, mean)


def colour_loss(sigma: Tensor, ab: Tensor) -> Tensor:
    """Iizuka et al. 2016, colour term: squared error of (ab / 100 + 1) / 2, per value."""
    return F.mse_loss(sigma, (ab / 100 + 1) / 2)


def soft_cross_entropy(logits: Tensor, probabilities: Tensor) -> Tensor:
    """-Σ p log q in nats; with one-hot p the class term of Iizuka et al. 2016."""
    return -(probabilities * logits.log_softmax(dim=1)).sum(dim=1).mean()
