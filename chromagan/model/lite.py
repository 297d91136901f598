"""The light network in parts: EfficientNet-Lite2 trunk, lateral connections, skip decoder.

Same method as the paper's network, other trunk (Tan & Le 2019, the "Lite" form: no squeeze and
excitation, ReLU6). Fully convolutional: any input whose sides are multiples of 32.
Parameter names in the trunk are our own; `efficientnet_names` maps the public checkpoint's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chromagan.config import ModelConfig
from chromagan.model.depthwise import DepthwiseConv2d
from chromagan.model.vgg import SamePadConv2d, spread


@dataclass(frozen=True)
class Stage:
    """A row of the EfficientNet table after Lite2's scaling (width 1.1, depth 1.2)."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(3, 3, 2, 6, 24),
    Stage(3, 5, 2, 6, 48),
    Stage(4, 3, 2, 6, 88),
    Stage(4, 5, 1, 6, 120),
    Stage(5, 5, 2, 6, 208),
    Stage(1, 3, 1, 6, 352),
)
STEM_CHANNELS = 32
TOP_CHANNELS = 1280
TRUNK_BN_EPS = 1e-3
TAPS = (0, 1, 2, 4, 6)  # the stages whose outputs are the maps at strides 2, 4, 8, 16 and 32
_SHALLOW = 2  # stages up to stride 4: their maps are cheap, and the largest
TAP_CHANNELS = tuple(STAGES[i].channels for i in TAPS)
# the public checkpoint was trained on (pixel - 127) / 128
INPUT_MEAN = 127 / 255
INPUT_STD = 128 / 255


def _conv_bn(
    inputs: int, outputs: int, kernel: int, stride: int = 1, act: bool = True
) -> nn.Sequential:
    return _norm_act(SamePadConv2d(inputs, outputs, kernel, stride, bias=False), act)


def _norm_act(conv: SamePadConv2d, act: bool = True) -> nn.Sequential:
    norm = nn.BatchNorm2d(conv.out_channels, eps=TRUNK_BN_EPS, momentum=0.01)
    return nn.Sequential(conv, norm, nn.ReLU6(inplace=True)) if act else nn.Sequential(conv, norm)


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise k x k, project 1x1; the input is added where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = inputs * expand
        layers = [] if expand == 1 else [_conv_bn(inputs, wide, 1)]
        layers += [
            _norm_act(DepthwiseConv2d(wide, kernel, stride)),
            _conv_bn(wide, outputs, 1, act=False),
        ]
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


class Trunk(nn.Module):
    """Luminance code `(B, 1, H, W)` -> maps at strides 2, 4, 8, 16, 32 and the 1280-channel top."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.stem = _conv_bn(3, STEM_CHANNELS, 3, 2)
        stages: list[nn.Module] = []
        channels = STEM_CHANNELS
        for stage in STAGES:
            blocks: list[nn.Module] = []
            for i in range(stage.repeats):
                stride = stage.stride if i == 0 else 1
                blocks.append(
                    InvertedResidual(channels, stage.channels, stage.kernel, stride, stage.expand)
                )
                channels = stage.channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.top = _conv_bn(channels, TOP_CHANNELS, 1)

    def forward(self, l_B1HW: Tensor) -> list[Tensor]:
        maps = self._maps(l_B1HW, len(STAGES))
        return [*maps, self.top(maps[-1])]

    def _maps(self, l_B1HW: Tensor, stages: int) -> list[Tensor]:
        """What the first stages say at their taps."""
        x = self.stem(((l_B1HW - INPUT_MEAN) / INPUT_STD).expand(-1, 3, -1, -1))
        maps: list[Tensor] = []
        for i, stage in enumerate(self.stages[:stages]):
            x = stage(x)
            if i in TAPS:
                maps.append(x)
        return maps

    kept_as_bytes = False

    def kept(self, features: list[Tensor]) -> dict[str, Tensor]:
        """What is worth keeping of a frozen trunk's features; `restored` brings back the rest."""
        names = {"stride8": features[2], "stride16": features[3], "stride32": features[4]}
        return names | {"pooled": features[5].mean(dim=(2, 3))}

    def restored(self, l_B1HW: Tensor, kept: dict[str, Tensor]) -> list[Tensor]:
        """Features from what was kept; the top map is its own mean, which is all that is used."""
        deep = [kept[name] for name in ("stride8", "stride16", "stride32")]
        return [*self._maps(l_B1HW, _SHALLOW), *deep, kept["pooled"][:, :, None, None]]

    def thinned(self, features: list[Tensor], share: float) -> list[Tensor]:
        """Dropout on the maps at strides 8 and 16 and on the channels of the top."""
        at2, at4, at8, at16, at32, top = features
        at8, at16 = F.dropout(at8, share), F.dropout(at16, share)
        return [at2, at4, at8, at16, at32, F.dropout2d(top, share)]

    def shallow_parts(self, stages: int) -> list[nn.Module]:
        """Stem and the first of the seven stages; the stem belongs to the first."""
        return [self.stem, *self.stages[:stages]] if stages else []


class GlobalBranch(nn.Module):
    """Mean of the top map -> global vector (as wide as the mid-level path)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(TOP_CHANNELS, config.width)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        pooled = features[-1].mean(dim=(2, 3))
        return self.linear(pooled), pooled


class ClassHead(nn.Module):
    """The classifier's own last layer: pooled top features -> 1000 logits."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(TOP_CHANNELS, config.classes)

    def forward(self, pooled: Tensor) -> Tensor:
        logits: Tensor = self.linear(pooled)
        return logits


def _norm_conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs, momentum=0.01),
        nn.ReLU(inplace=True),
    )


def _enlarge(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class MidLevel(nn.Module):
    """The path at stride 8, enriched from strides 16 and 32 through lateral connections."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        _, _, at8, at16, at32 = TAP_CHANNELS
        width = config.width
        self.lateral32 = nn.Conv2d(at32, width, 1)
        self.lateral16 = nn.Conv2d(at16, width, 1)
        self.lateral8 = nn.Conv2d(at8, width, 1)
        self.conv16 = _norm_conv(width, width)
        self.conv8 = _norm_conv(width, width)

    def forward(self, features: list[Tensor]) -> Tensor:
        _, _, at8, at16, at32, _ = features
        x = self.conv16(self.lateral16(at16) + _enlarge(self.lateral32(at32)))
        mid: Tensor = self.conv8(self.lateral8(at8) + _enlarge(x))
        return mid


class Fusion(nn.Module):
    """Concatenate the global vector at every position, then a 1x1 convolution."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.conv = _norm_conv(2 * config.width, config.width, kernel=1)

    def forward(self, mid: Tensor, vector: Tensor) -> Tensor:
        fused: Tensor = self.conv(torch.cat((mid, spread(vector, mid)), dim=1))
        return fused


class Decoder(nn.Module):
    """Two x2 enlargements with skips from strides 4 and 2; ab code in [0, 1] at half size.

    The shallow maps keep colour edges where the photograph has edges.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        at2, at4, *_ = TAP_CHANNELS
        width = config.width
        self.conv8 = _norm_conv(width, width // 2)
        self.conv4 = _norm_conv(width // 2 + at4, width // 2)
        self.reduce4 = _norm_conv(width // 2, width // 4, kernel=1)
        self.conv2 = _norm_conv(width // 4 + at2, width // 4)
        self.last2 = _norm_conv(width // 4, width // 4)
        self.out = nn.Conv2d(width // 4, 2, 1)
        nn.init.zeros_(self.out.weight)  # training starts at grey, not at noise
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, fused: Tensor, features: list[Tensor]) -> Tensor:
        at2, at4, *_ = features
        x = self.conv4(torch.cat((_enlarge(self.conv8(fused)), at4), dim=1))
        x = self.conv2(torch.cat((_enlarge(self.reduce4(x)), at2), dim=1))
        return torch.sigmoid(self.out(self.last2(x)))


def efficientnet_names() -> dict[str, str]:
    """The public EfficientNet-Lite2 checkpoint's module names -> ours (trunk and class head)."""
    names = {"_conv_stem": "trunk.stem.0", "_bn0": "trunk.stem.1"}
    number = 0
    for s, stage in enumerate(STAGES):
        for i in range(stage.repeats):
            theirs, ours = f"_blocks.{number}", f"trunk.stages.{s}.{i}.layers"
            parts = ["_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
            if stage.expand != 1:
                parts = ["_expand_conv", "_bn0", *parts]
            for k, part in enumerate(parts):
                names[f"{theirs}.{part}"] = f"{ours}.{k // 2}.{k % 2}"
            number += 1
    return names | {"_conv_head": "trunk.top.0", "_bn1": "trunk.top.1", "_fc": "class_head.linear"}
