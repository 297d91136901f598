"""Larsson, Maire, Shakhnarovich: Learning Representations for Automatic Colorization (ECCV 2016).

Input  the mean of R', G', B' in [0, 1], shrunk so that the short side is at most 256 and the long
side at most 500 (bilinear without prefilter, as scikit-image did then), zero-padded to 512×512.
Output a VGG-16 with fc6 and fc7 as convolutions; all its layers at a quarter of the size form a
hypercolumn, from which one hidden layer predicts histograms of hue and chroma (32 bins each).
Full size, as in the authors' `autocolorize`: the histograms are enlarged bilinearly, then turned
into colour; the mean of R', G', B' stays that of the picture.
Hue is that of HSV as a share of the circle; chroma is max(R, G, B) - min(R, G, B).
Layer names are Caffe's, so that the released `.caffemodel.h5` loads strictly.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from chromagan.inference.recolour import check_image
from eval.baselines.pictures import NetworkMethod, resize_bilinear, to_bytes, to_unit
from eval.baselines.weight_files import install, load_weights, scaled

BINS = 32
FADING = 0.03  # below this mean hue vector the hue is uncertain, and chroma fades
CANVAS = 512
SHORT_SIDE = 256
LONG_SIDE = 500
_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels, convolutions
_BAND_PIXELS = 1 << 17
GRID_STEP = 4  # the hypercolumn's grid, in pixels
WINDOW = 7  # of the local histograms that training aims at, in pixels


class LarssonNetwork(nn.Module):
    """Grey in [0, 1], (B, 1, H, W), H and W multiples of 32 -> hue and chroma histograms.

    Two tensors (B, 32, H/4, W/4), each summing to one over the bins. `norm` adds the batch norm
    (without scale and shift) that the authors train with and merge into the weights afterwards.
    `dense` is the share of fc6 and fc7, four fifths of the parameters, where it is not `width`.
    """

    def __init__(
        self, width: float = 1.0, *, dense: float | None = None, norm: bool = False
    ) -> None:
        super().__init__()
        channels, features = 1, 1
        self.steps: list[tuple[str, int]] = []  # layer name, its stride in pixels
        for block, (outputs, count) in enumerate(_BLOCKS, start=1):
            for number in range(1, count + 1):
                self._add(f"conv{block}_{number}", channels, scaled(outputs, width), 3, norm)
                self.steps.append((f"conv{block}_{number}", 2 ** (block - 1)))
                channels = scaled(outputs, width)
                features += channels
        wide = scaled(4096, width if dense is None else dense)
        for name, kernel in (("fc6", 7), ("fc7", 1)):
            self._add(name, channels, wide, kernel, norm)
            self.steps.append((name, 32))
            channels = wide
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
        return self._classify([_to_grid(x, stride) for x, stride in self.layers(grey)])

    def scores_at(self, grey: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        """`scores` at n cells of the grid alone, (B, n) by number -> (B, 32, n) each.

        The hidden layer is most of the work, and training needs it at few places.
        """
        column = [_to_grid(x, stride) for x, stride in self.layers(grey)]
        hue, chroma = self._classify([pick(x, cells)[..., None] for x in column])
        return hue[..., 0], chroma[..., 0]

    def _classify(self, column: list[Tensor]) -> tuple[Tensor, Tensor]:
        hidden = F.relu(self.h_fc1(torch.cat(column, dim=1)))
        return self.prediction_h(hidden), self.prediction_c(hidden)

    def forward(self, grey: Tensor) -> tuple[Tensor, Tensor]:
        hue, chroma = self.scores(grey)
        return hue.softmax(dim=1), chroma.softmax(dim=1)


def _to_grid(x: Tensor, stride: int) -> Tensor:
    """Bring a layer to the hypercolumn's grid: averages where finer, `enlarge` where coarser."""
    if stride < GRID_STEP:
        return F.avg_pool2d(x, GRID_STEP // stride)
    return x if stride == GRID_STEP else enlarge(x, stride // GRID_STEP)


def enlarge(x: Tensor, factor: int) -> Tensor:
    """Caffe's "bilinear" deconvolution, (B, C, h, w) -> (B, C, h·factor, w·factor).

    Inside it is bilinear interpolation; towards the border it fades to zero, because what lies
    outside counts as zero.
    """
    padded = F.pad(x, (1, 1, 1, 1))
    size = [side * factor for side in padded.shape[-2:]]
    wide = F.interpolate(padded, size=size, mode="bilinear", align_corners=False)
    return wide[..., factor:-factor, factor:-factor]


def pick(planes: Tensor, cells: Tensor) -> Tensor:
    """(B, C, h, w) at cells (B, n), numbered row by row -> (B, C, n)."""
    index = cells[:, None].expand(-1, planes.shape[1], -1)
    return planes.flatten(2).gather(2, index)


def working_size(height: int, width: int) -> tuple[int, int]:
    """The size at which the network sees a picture: never larger than the picture itself."""
    shrink = min(SHORT_SIDE / min(height, width), 1.0)
    if max(height, width) * shrink >= LONG_SIDE:
        shrink = LONG_SIDE / max(height, width)
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def hue_and_chroma(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """R'G'B' (..., 3, H, W) in [0, 1] -> hue in [0, 1), chroma in [0, 1], each (..., H, W).

    Hue is 0 where chroma is 0.
    """
    red, green, blue = rgb.unbind(-3)
    value, brightest = rgb.max(dim=-3)
    chroma = value - rgb.amin(dim=-3)
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    sector = torch.stack((green - blue, blue - red, red - green), dim=-3) / safe.unsqueeze(-3)
    sector = sector.gather(-3, brightest.unsqueeze(-3)).squeeze(-3) + 2 * brightest
    return torch.where(chroma > 0, (sector / 6) % 1.0, torch.zeros_like(sector)), chroma


def hsv_to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Planes (H, W) in [0, 1] -> R'G'B' (3, H, W): the usual hexcone."""
    offsets = torch.tensor([5.0, 3.0, 1.0]).to(hue)[:, None, None]
    k = (offsets + hue * 6) % 6
    ramp = torch.minimum(k, 4 - k).clamp(0, 1)
    return value * (1 - saturation * ramp)


def median_chroma(histogram: Tensor) -> Tensor:
    """(32, H, W) -> (H, W): centre of the bin in which the running sum reaches one half."""
    below = (histogram.cumsum(dim=0) < 0.5).sum(dim=0)
    return (below + 0.5) / BINS


def expected_hue(histogram: Tensor) -> tuple[Tensor, Tensor]:
    """(32, H, W) -> hue in [0, 1) of the mean vector on the circle, and the fading factor.

    The factor is min(|Σ p e^{iθ}| / 32 / 0.03, 1): the authors average over the bins.
    """
    angles = (torch.arange(BINS) + 0.5) / BINS * 2 * math.pi
    angles = angles.to(histogram)[:, None, None]
    x, y = (histogram * angles.cos()).sum(dim=0), (histogram * angles.sin()).sum(dim=0)
    hue = (torch.atan2(y, x) / (2 * math.pi)) % 1.0
    return hue, (torch.hypot(x, y) / BINS / FADING).clamp(max=1)


def histograms_to_rgb(histograms: Tensor, grey: Tensor) -> Tensor:
    """(64, H, W): hue then chroma, and grey (1, H, W) in [0, 1] -> R'G'B' (3, H, W) in [0, 1].

    V = grey + C/2 and S = 2C / (2 grey + C), then all three channels are shifted so that their
    mean is the grey again, and cut to [0, 1].
    """
    hue, fading = expected_hue(histograms[:BINS])
    chroma = median_chroma(histograms[BINS:]) * fading
    level = grey[0]
    saturation = 2 * chroma / (2 * level + chroma).clamp(min=1e-12)
    rgb = hsv_to_rgb(hue, saturation.clamp(0, 1), (level + chroma / 2).clamp(0, 1))
    return (rgb - rgb.mean(dim=0, keepdim=True) + grey).clamp(0, 1)


class LarssonMethod(NetworkMethod):
    """One pass over a 512×512 canvas; colours are decoded at full size in bands of rows."""

    @torch.inference_mode()
    def predict_histograms(self, grey: Tensor) -> Tensor:
        """Grey (1, H, W) -> hue and chroma histograms (64, h, w) at the working size."""
        height, width = working_size(*grey.shape[-2:])
        top, left = (CANVAS - height) // 2, (CANVAS - width) // 2
        canvas = torch.zeros(1, 1, CANVAS, CANVAS)
        canvas[0, :, top : top + height, left : left + width] = resize_bilinear(grey, height, width)
        both = torch.cat(self.network(canvas.to(self.device)), dim=1).float().cpu()
        return enlarge(both, GRID_STEP)[0, :, top : top + height, left : left + width]

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
    """The method with the authors' `.h5`, a `.safetensors` (with `dense`), or random weights."""
    loaded = load_weights(name, weights)
    dense = loaded.number("dense", loaded.width, low=1e-6, high=1)
    network = install(lambda width: LarssonNetwork(width, dense=dense), loaded, device)
    return LarssonMethod(name, "Larsson et al. 2016", loaded, network)


def local_histograms(values: Tensor) -> Tensor:
    """Values in [0, 1], (B, H, W) -> (B, 32, H, W): shares of the bins in the 7×7 around a pixel.

    Windows are cut at the border.
    """
    index = (values * BINS).long().clamp(0, BINS - 1)
    one_hot = F.one_hot(index, BINS).permute(0, 3, 1, 2).to(values)
    pad = WINDOW // 2
    return F.avg_pool2d(one_hot, WINDOW, 1, pad, count_include_pad=False)


def chroma_confidence(grey: Tensor) -> Tensor:
    """3 · min(x, 1/3, 1 - x): in near-black and near-white pixels chroma says little."""
    return 3 * torch.minimum(grey.clamp(max=1 / 3), 1 - grey)


def histogram_kl(
    hue_logits: Tensor, chroma_logits: Tensor, rgb: Tensor, cells: Tensor
) -> tuple[Tensor, Tensor]:
    """Larsson et al. 2016: KL to the local histograms of hue and of chroma.

    The logits are (B, 32, n), `rgb` (B, 3, H, W) in [0, 1], `cells` (B, n) their numbers on the
    grid of every fourth pixel; the target of a cell is the pixel at its centre. The hue
    term is weighted by the pixel's chroma, the chroma term by `chroma_confidence`. The objective is
    5 · hue + chroma.
    """
    centres = slice(GRID_STEP // 2, None, GRID_STEP)
    at_centres = (..., centres, centres)
    hue, chroma = hue_and_chroma(rgb)
    confidence = chroma_confidence(rgb.mean(dim=1))
    terms = []
    for logits, values, weight in (
        (hue_logits, hue, chroma),
        (chroma_logits, chroma, confidence),
    ):
        target = pick(local_histograms(values)[at_centres], cells)
        scores = logits.log_softmax(dim=1)
        divergence = F.kl_div(scores, target, reduction="none").sum(dim=1)
        terms.append((divergence * pick(weight[:, None][at_centres], cells)[:, 0]).mean())
    return terms[0], terms[1]
