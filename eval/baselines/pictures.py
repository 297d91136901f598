"""Between uint8 pictures and tensors, and the method that most systems are: L in, ab out."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from chromagan.color import lab_to_rgb8, rgb8_to_lab
from chromagan.images.pixels import squash
from chromagan.inference.recolour import check_image
from eval.baselines import Method
from eval.baselines.weight_files import LoadedWeights


def to_unit(image: NDArray[np.uint8]) -> Tensor:
    """uint8 H×W×3 -> float32 (3, H, W) in [0, 1]."""
    return torch.tensor(image).permute(2, 0, 1).float() / 255


def to_bytes(rgb: Tensor) -> NDArray[np.uint8]:
    """float (3, H, W) in [0, 1], clipped and rounded -> uint8 H×W×3."""
    planes = (rgb.clamp(0, 1) * 255).round().to(torch.uint8)
    array: NDArray[np.uint8] = planes.permute(1, 2, 0).contiguous().numpy()
    return array


def lightness(image: NDArray[np.uint8]) -> Tensor:
    """uint8 H×W×3 -> float32 (1, H, W): CIE L in [0, 100] of every pixel."""
    return torch.from_numpy(rgb8_to_lab(image)[:1])


def join_lab(luminance: Tensor, ab: Tensor) -> NDArray[np.uint8]:
    """L (1, H, W) and (a, b) (2, H, W), CIE units -> uint8 H×W×3.

    As `skimage.color.lab2rgb` in the authors' code: b is limited to what has no negative Z, and
    colours outside sRGB are cut per channel; there the luminance of the result differs from L.
    """
    a, b = ab.to(luminance)
    b = b.minimum((luminance[0] + 16) * (200 / 116))
    return lab_to_rgb8(torch.stack((luminance[0], a, b)).numpy())


def resize_bilinear(planes: Tensor, height: int, width: int) -> Tensor:
    """(C, h, w) -> (C, height, width): bilinear, pixel centres aligned, no prefilter."""
    if planes.shape[-2:] == (height, width):
        return planes
    resized = F.interpolate(planes[None], (height, width), mode="bilinear", align_corners=False)
    return resized[0]


class NetworkMethod(Method):
    """A method that runs a network with weights read by `load_weights`."""

    def __init__(
        self, name: str, description: str, loaded: LoadedWeights, network: nn.Module
    ) -> None:
        super().__init__(name, description, loaded.label, loaded.file)
        self.network = network
        self.device = next(network.parameters()).device


class LabMethod(NetworkMethod):
    """Networks that map the L of a squashed square to ab, joined with the full-size L."""

    def __init__(
        self, name: str, description: str, loaded: LoadedWeights, network: nn.Module, size: int
    ) -> None:
        super().__init__(name, description, loaded, network)
        self.size = size

    @torch.inference_mode()
    def predict_ab(self, image: NDArray[np.uint8], *more: Tensor) -> Tensor:
        """uint8 H×W×3, `more` inputs of the network -> float32 (2, size, size): ab in CIE units."""
        check_image(image)
        small = lightness(squash(image, self.size))[None]
        ab: Tensor = self.network(*(x.to(self.device) for x in (small, *more)))[0]
        return ab.float().cpu()

    def join(self, image: NDArray[np.uint8], ab: Tensor) -> NDArray[np.uint8]:
        """The L of a picture with ab of another size."""
        return join_lab(lightness(image), resize_bilinear(ab, *image.shape[:2]))

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self.join(image, self.predict_ab(image))
