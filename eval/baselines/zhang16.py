"""Zhang, Isola, Efros: Colorful Image Colorization (ECCV 2016).

Input  CIE L of the picture squashed to 256×256 (Pillow bicubic), as (L - 50) / 100.
Output a distribution over 313 colour bins at a quarter of the size; its mean, ×4 bilinear.
Full size: ab resized bilinearly to the picture, joined with the picture's own L; colours outside
sRGB are cut per channel. Key names are those of the authors' PyTorch release
(`richzhang/colorization`, `colorizers/eccv16.py`), whose forward pass has no explicit temperature.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chromagan.images.resizing import squash
from chromagan.inference.recolour import check_image
from eval.baselines.bins import COUNT, bin_centres
from eval.baselines.networks import convolutions, install, scaled
from eval.baselines.pictures import join_lab, lightness, resize_bilinear
from eval.baselines.weight_files import LoadedWeights, load_weights

SIZE = 256
AB_RANGE = 110.0


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
        for block in (
            self.model1,
            self.model2,
            self.model3,
            self.model4,
            self.model5,
            self.model6,
            self.model7,
            self.model8,
        ):
            x = block(x)
        return x

    def forward(self, luminance: Tensor) -> Tensor:
        mean = self.model_out(self.logits(luminance).softmax(dim=1))
        full = nn.functional.interpolate(mean, scale_factor=4, mode="bilinear", align_corners=False)
        return full * AB_RANGE


class LabMethod:
    """Networks that map the L of a squashed square to ab, joined with the full-size L."""

    def __init__(
        self, name: str, description: str, loaded: LoadedWeights, network: nn.Module, size: int
    ) -> None:
        self.name = name
        self.description = description
        self.weights_label = loaded.label
        self.weights_file = loaded.file
        self.network = network
        self.size = size

    @torch.inference_mode()
    def predict_ab(self, image: NDArray[np.uint8]) -> Tensor:
        """uint8 H×W×3 -> float32 (2, size, size): ab in CIE units."""
        check_image(image)
        device = next(self.network.parameters()).device
        small = lightness(squash(image, self.size))
        ab: Tensor = self.network(small[None].to(device))[0].float().cpu()
        return ab

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        ab = resize_bilinear(self.predict_ab(image), *image.shape[:2])
        return join_lab(lightness(image), ab)


def load(name: str, weights: Path | str | None, device: str) -> LabMethod:
    """The method with the authors' `.pth`, this project's `.safetensors`, or random weights."""
    loaded = load_weights(name, weights)
    network = install(Zhang16Network, loaded, device)
    return LabMethod(name, "Zhang et al. 2016 (ECCV)", loaded, network, SIZE)
