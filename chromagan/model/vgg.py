"""The paper's networks: VGG-16 trunk, global branch, class head, mid-level path, decoder; critic.

Channel counts, strides and paddings are those of the official release (171,166,090 trainable
parameters with the class head, 47,523,234 without), so its weights can be represented exactly.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chromagan.config import ModelConfig

Order = Literal["conv-bn-relu", "conv-relu-bn"]

# Keras' BatchNormalization: eps 1e-3, momentum 0.99 (= 0.01 the way torch counts)
BN_EPS = 1e-3
BN_MOMENTUM = 0.01

# torchvision's ImageNet statistics; the trunk's weights expect inputs normalised with them
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# VGG-16 up to conv4_3; "M" is a 2x2 max pool
_TRUNK = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512)

LEAK = 0.3  # the default of Keras' LeakyReLU, which the official code leaves as it is


class SamePadConv2d(nn.Conv2d):
    """A convolution with Keras' and TensorFlow's 'same' padding.

    The padding depends on the input's size and puts the odd pixel at the end, so a 3x3 kernel with
    stride 2 pads (0, 1) on even sides. Without it the official weights are off by one pixel.
    """

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for side, kernel, stride in zip(
            reversed(x.shape[-2:]), reversed(self.kernel_size), reversed(self.stride), strict=True
        ):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        even = pads[0] == pads[1] and pads[2] == pads[3]
        padding = (pads[2], pads[0]) if even else (0, 0)
        return self.convolve(x if even else F.pad(x, pads), padding)

    def convolve(self, x: Tensor, padding: tuple[int, int]) -> Tensor:
        """The convolution itself, `padding` pixels added on both sides of each dimension."""
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, 1, self.groups)


def conv_block(
    inputs: int, outputs: int, *, stride: int = 1, order: Order = "conv-bn-relu"
) -> nn.Sequential:
    """3x3 convolution, ReLU and batch norm in the paper's order or in the official code's."""
    conv = SamePadConv2d(inputs, outputs, 3, stride)
    norm = nn.BatchNorm2d(outputs, eps=BN_EPS, momentum=BN_MOMENTUM)
    if order == "conv-bn-relu":
        return nn.Sequential(conv, norm, nn.ReLU(inplace=True))
    return nn.Sequential(conv, nn.ReLU(inplace=True), norm)


def conv_relu(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    """Convolution and ReLU without batch norm, size kept."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.ReLU(inplace=True)
    )


def spread(vector: Tensor, like: Tensor) -> Tensor:
    """Repeat a vector `(B, C)` at every position of a map `(B, *, h, w)` -> `(B, C, h, w)`."""
    return vector[:, :, None, None].expand(-1, -1, *like.shape[-2:])


def _order(config: ModelConfig) -> Order:
    return "conv-bn-relu" if config.compat == "paper" else "conv-relu-bn"


class GreyInput(nn.Module):
    """Luminance code `(B, 1, H, W)` in [0, 1] -> three channels, ImageNet-normalised or raw."""

    mean: Tensor
    std: Tensor

    def __init__(self, normalize: bool) -> None:
        super().__init__()
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if normalize else ((0.0,) * 3, (1.0,) * 3)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, l_B1HW: Tensor) -> Tensor:
        return (l_B1HW - self.mean) / self.std


class Trunk(nn.Module):
    """VGG-16 conv1_1 … conv4_3: luminance code -> one map at stride 8 (512 channels).

    `features` carries torchvision's indices, so torchvision's VGG-16 state dict fits by name.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.grey = GreyInput(normalize=config.compat == "paper")
        layers: list[nn.Module] = []
        channels = 3
        for item in _TRUNK:
            if isinstance(item, str):
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(channels, item // config.divisor, 3, padding=1), nn.ReLU(True)]
            channels = item // config.divisor
        self.features = nn.Sequential(*layers)

    def forward(self, l_B1HW: Tensor) -> list[Tensor]:
        return [self.features(self.grey(l_B1HW))]

    kept_as_bytes = True

    def kept(self, features: list[Tensor]) -> dict[str, Tensor]:
        """What is worth keeping of a frozen trunk's features; never negative, after its ReLU."""
        return {"conv4_3": features[0]}

    def restored(self, l_B1HW: Tensor, kept: dict[str, Tensor]) -> list[Tensor]:
        """Features from what was kept."""
        return [kept["conv4_3"]]

    def thinned(self, features: list[Tensor], share: float) -> list[Tensor]:
        """Dropout on the map at stride 8."""
        return [F.dropout(features[0], share)]

    def shallow_parts(self, stages: int) -> list[nn.Module]:
        """The first of the four blocks of convolutions between which the map is halved."""
        pools = [i for i, layer in enumerate(self.features) if isinstance(layer, nn.MaxPool2d)]
        ends = [*pools, len(self.features)]
        return [self.features[: ends[stages - 1]]] if stages else []


class GlobalBranch(nn.Module):
    """Four strided convolutions, then linear maps 25088 -> 1024 -> 512 -> 256.

    The paper names no activation between the linear maps and the official code has none, so a
    release holds their product (`folded`): 6.4 instead of 26 million numbers, the same function.
    Other squares than `image_size` are pooled to the linear maps' grid, as torchvision's VGG does:
    training on small squares costs a third, and at `image_size` nothing changes.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        wide, order = 512 // config.divisor, _order(config)
        self.convs = nn.Sequential(
            *(conv_block(wide, wide, stride=s, order=order) for s in (2, 1, 2, 1))
        )
        side = config.image_size // 32
        self.grid = nn.AdaptiveAvgPool2d(side)
        flat = wide * side**2
        sizes = [flat, 256 // config.divisor]
        if not config.folded:
            sizes[1:1] = [1024 // config.divisor, 512 // config.divisor]
        self.linear = nn.Sequential(*(nn.Linear(i, o) for i, o in pairwise(sizes)))

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        flat = self.grid(self.convs(features[-1])).flatten(1)
        return self.linear(flat), flat

    def fold(self) -> nn.Linear:
        """The product of the linear maps, computed in double precision."""
        first, *others = self.maps
        weight, bias = first.weight.double(), first.bias.double()
        for layer in others:
            weight = layer.weight.double() @ weight
            bias = layer.weight.double() @ bias + layer.bias.double()
        folded = nn.Linear(weight.shape[1], weight.shape[0])
        folded.weight.data.copy_(weight)
        folded.bias.data.copy_(bias)
        return folded

    @property
    def maps(self) -> list[nn.Linear]:
        return [layer for layer in self.linear if isinstance(layer, nn.Linear)]

    @property
    def product_shape(self) -> tuple[int, int]:
        return self.maps[-1].out_features, self.maps[0].in_features

    def unfold(self, weight: Tensor, bias: Tensor) -> None:
        """Give the linear maps this product, `(256, 25088)` and `(256,)`, as a release holds it.

        The singular vectors share their values evenly among the maps. Hidden units beyond the
        product's rank keep their first weights and are not read yet, so they can still learn.
        """
        u, values, vh = torch.linalg.svd(weight.double(), full_matrices=False)
        rank, root = len(values), values ** (1 / len(self.linear))
        factors = [root[:, None] * vh, *[torch.diag(root)] * (len(self.linear) - 2), u * root]
        with torch.no_grad():
            for i, (layer, factor) in enumerate(zip(self.maps, factors, strict=True)):
                if i:
                    layer.weight[: len(factor), rank:] = 0
                layer.weight[: len(factor), : factor.shape[1]] = factor
                layer.bias.copy_(bias if layer is self.linear[-1] else torch.zeros_like(layer.bias))


class ClassHead(nn.Module):
    """The grey branch: 25088 -> 4096 -> 4096 -> 1000 logits; no activation, as in the release."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        flat = 512 // config.divisor * (config.image_size // 32) ** 2
        hidden = 4096 // config.divisor
        self.linear = nn.Sequential(
            nn.Linear(flat, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, config.classes)
        )

    def forward(self, flat: Tensor) -> Tensor:
        logits: Tensor = self.linear(flat)
        return logits


class MidLevel(nn.Module):
    """The purple branch: two Conv-BN-ReLU modules on the trunk's map."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        c, order = config.divisor, _order(config)
        self.convs = nn.Sequential(
            conv_block(512 // c, 512 // c, order=order), conv_block(512 // c, 256 // c, order=order)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        mid: Tensor = self.convs(features[-1])
        return mid


class Fusion(nn.Module):
    """Concatenate the global vector at every position, then a 1x1 convolution."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.conv = conv_relu(512 // config.divisor, 256 // config.divisor, kernel=1)

    def forward(self, mid: Tensor, vector: Tensor) -> Tensor:
        fused: Tensor = self.conv(torch.cat((mid, spread(vector, mid)), dim=1))
        return fused


class Decoder(nn.Module):
    """Six convolutions with two x2 enlargements; ab code in [0, 1] at half the input's size."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        c = config.divisor
        self.conv1 = conv_relu(256 // c, 128 // c)
        self.conv2 = nn.Sequential(*conv_relu(128 // c, 64 // c), *conv_relu(64 // c, 64 // c))
        self.conv3 = conv_relu(64 // c, 32 // c)
        self.out = nn.Conv2d(32 // c, 2, 3, padding=1)

    def forward(self, fused: Tensor, features: list[Tensor]) -> Tensor:
        x = F.interpolate(self.conv1(fused), scale_factor=2.0, mode="nearest")
        x = F.interpolate(self.conv2(x), scale_factor=2.0, mode="nearest")
        return torch.sigmoid(self.out(self.conv3(x)))


class Critic(nn.Module):
    """The PatchGAN critic of (L, ab): one score per patch, 2,764,737 parameters, no normalisation.

    Codes `(B, 1, H, W)` and `(B, 2, H, W)` in [0, 1] -> scores `(B, 1, H/8, W/8)`, unbounded.
    """

    def __init__(self, divisor: int = 1) -> None:
        """`divisor`: that of the generator it opposes."""
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for wide, stride in ((64, 2), (128, 2), (256, 2), (512, 1)):
            outputs = wide // divisor
            layers += [SamePadConv2d(channels, outputs, 4, stride), nn.LeakyReLU(LEAK)]
            channels = outputs
        self.layers = nn.Sequential(*layers, SamePadConv2d(channels, 1, 4))

    def forward(self, l_B1HW: Tensor, ab_B2HW: Tensor) -> Tensor:
        scores: Tensor = self.layers(torch.cat((l_B1HW, ab_B2HW), dim=1))
        return scores
