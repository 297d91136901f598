"""Larsson, Maire, Shakhnarovich: Learning Representations for Automatic Colorization (ECCV 2016).

Input  the mean of R', G', B' in [0, 1], shrunk so that the short side is at most 256 and the long
side at most 500 (bilinear without prefilter, as scikit-image did then), zero-padded to 512×512.
Output a VGG-16 with fc6 and fc7 as convolutions; all its layers at a quarter of the size form a
hypercolumn, from which one hidden layer predicts histograms of hue and chroma (32 bins each).
Full size, as in the authors' `autocolorize`: the histograms are enlarged bilinearly, then turned
into colour (`eval.baselines.larsson_colour`); the mean of R', G', B' stays that of the picture.
Layer names are Caffe's, so that the released `.caffemodel.h5` loads strictly.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from chromagan.inference.recolour import check_image
from eval.baselines.larsson_colour import BINS, histograms_to_rgb
from eval.baselines.networks import install, scaled
from eval.baselines.pictures import resize_bilinear, to_bytes, to_unit
from eval.baselines.weight_files import LoadedWeights, load_weights

CANVAS = 512
SHORT_SIDE = 256
LONG_SIDE = 500
_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels, convolutions
_BAND_PIXELS = 1 << 17
_STEP = 4  # the hypercolumn's grid, in pixels


class LarssonNetwork(nn.Module):
    """Grey in [0, 1], (B, 1, H, W), H and W multiples of 32 -> hue and chroma histograms.

    Two tensors (B, 32, H/4, W/4), each summing to one over the bins. `norm` adds the batch norm
    (without scale and shift) that the authors train with and merge into the weights afterwards.
    """

    def __init__(self, width: float = 1.0, *, norm: bool = False) -> None:
        super().__init__()
        channels, features = 1, 1
        self.steps: list[tuple[str, int]] = []  # layer name, its stride in pixels
        for block, (outputs, count) in enumerate(_BLOCKS, start=1):
            for number in range(1, count + 1):
                self._add(f"conv{block}_{number}", channels, scaled(outputs, width), 3, norm)
                self.steps.append((f"conv{block}_{number}", 2 ** (block - 1)))
                channels = scaled(outputs, width)
                features += channels
        for name, kernel in (("fc6", 7), ("fc7", 1)):
            self._add(name, channels, scaled(4096, width), kernel, norm)
            self.steps.append((name, 32))
            channels = scaled(4096, width)
            features += channels
        hidden = scaled(1024, width)
        self.h_fc1 = nn.Conv2d(features, hidden, 1)
        self.prediction_h = nn.Conv2d(hidden, BINS, 1)
        self.prediction_c = nn.Conv2d(hidden, BINS, 1)

    def _add(self, name: str, inputs: int, outputs: int, kernel: int, norm: bool) -> None:
        self.add_module(name, nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))
        if norm:
            self.add_module(f"batch_{name}", nn.BatchNorm2d(outputs, affine=False))

    def layers(self, grey: Tensor) -> list[tuple[Tensor, int]]:
        """Every layer's activation after ReLU with its stride, the input first."""
        activations = [(grey, 1)]
        x = grey
        stride = 1
        for name, wanted in self.steps:
            if wanted != stride:
                x = F.max_pool2d(x, 2)
                stride = wanted
            x = self.get_submodule(name)(x)
            norm = getattr(self, f"batch_{name}", None)
            x = F.relu(x if norm is None else norm(x))
            activations.append((x, stride))
        return activations

    def scores(self, grey: Tensor) -> tuple[Tensor, Tensor]:
        """Hue and chroma scores before the softmax, (B, 32, H/4, W/4) each."""
        column = torch.cat([_to_grid(x, stride) for x, stride in self.layers(grey)], dim=1)
        hidden = F.relu(self.h_fc1(column))
        return self.prediction_h(hidden), self.prediction_c(hidden)

    def forward(self, grey: Tensor) -> tuple[Tensor, Tensor]:
        hue, chroma = self.scores(grey)
        return hue.softmax(dim=1), chroma.softmax(dim=1)


def _to_grid(x: Tensor, stride: int) -> Tensor:
    """Bring a layer to the hypercolumn's grid: averages where finer, `enlarge` where coarser."""
    if stride < _STEP:
        return F.avg_pool2d(x, _STEP // stride)
    return x if stride == _STEP else enlarge(x, stride // _STEP)


def enlarge(x: Tensor, factor: int) -> Tensor:
    """Caffe's "bilinear" deconvolution, (B, C, h, w) -> (B, C, h·factor, w·factor).

    Inside it is bilinear interpolation; towards the border it fades to zero, because what lies
    outside counts as zero.
    """
    padded = F.pad(x, (1, 1, 1, 1))
    size = [side * factor for side in padded.shape[-2:]]
    wide = F.interpolate(padded, size=size, mode="bilinear", align_corners=False)
    return wide[..., factor:-factor, factor:-factor]


def working_size(height: int, width: int) -> tuple[int, int]:
    """The size at which the network sees a picture: never larger than the picture itself."""
    shrink = min(SHORT_SIDE / min(height, width), 1.0)
    if max(height, width) * shrink >= LONG_SIDE:
        shrink = LONG_SIDE / max(height, width)
    return max(1, round(height * shrink)), max(1, round(width * shrink))


class LarssonMethod:
    """One pass over a 512×512 canvas; colours are decoded at full size in bands of rows."""

    def __init__(self, loaded: LoadedWeights, network: LarssonNetwork) -> None:
        self.name = "larsson"
        self.description = "Larsson et al. 2016"
        self.weights_label = loaded.label
        self.weights_file = loaded.file
        self.network = network

    @torch.inference_mode()
    def predict_histograms(self, grey: Tensor) -> Tensor:
        """Grey (1, H, W) -> hue and chroma histograms (64, h, w) at the working size."""
        height, width = working_size(*grey.shape[-2:])
        top, left = (CANVAS - height) // 2, (CANVAS - width) // 2
        canvas = torch.zeros(1, 1, CANVAS, CANVAS)
        canvas[0, :, top : top + height, left : left + width] = resize_bilinear(grey, height, width)
        device = next(self.network.parameters()).device
        both = torch.cat(self.network(canvas.to(device)), dim=1).float().cpu()
        return enlarge(both, _STEP)[0, :, top : top + height, left : left + width]

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        check_image(image)
        height, width = image.shape[:2]
        grey = to_unit(image).mean(dim=0, keepdim=True)
        histograms = self.predict_histograms(grey)
        parts = []
        step = max(1, _BAND_PIXELS // width)  # 64 planes a pixel: band by band
        for top in range(0, height, step):
            rows = slice(top, min(height, top + step))
            band = _rows_of_enlarged(histograms, rows, height, width)
            parts.append(to_bytes(histograms_to_rgb(band, grey[:, rows])))
        return np.concatenate(parts)


def _rows_of_enlarged(planes: Tensor, rows: slice, height: int, width: int) -> Tensor:
    """`resize_bilinear(planes, height, width)[:, rows]` without building the rest."""
    source = planes.shape[1]
    centres = (torch.arange(rows.start, rows.stop) + 0.5) * (source / height) - 0.5
    centres = centres.clamp(0, source - 1)
    above = centres.floor().long()
    below = (above + 1).clamp(max=source - 1)
    share = (centres - above)[None, :, None]
    band = torch.lerp(planes[:, above], planes[:, below], share)
    return resize_bilinear(band, band.shape[1], width)


def load(name: str, weights: Path | str | None, device: str) -> LarssonMethod:
    """The method with the authors' `.h5`, this project's `.safetensors`, or random weights."""
    del name
    loaded = load_weights("larsson", weights)
    return LarssonMethod(loaded, install(LarssonNetwork, loaded, device))
