"""What is measured on one photograph, in which size, under which name."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from eval import metrics
from eval.ciede2000 import delta_e2000
from eval.lab import Floats, Rgb8, grey_of, rgb_to_lab
from eval.prior import rebalancing_weights

Luminance = Literal["true", "own"]

PROTOCOL = 1  # counts up when a number's meaning changes: older rows are then measured again
COLOURED = 4.0  # mean chroma from which a truth counts as a colour photograph

METRICS = (
    "psnr224",
    "psnr256",
    "psnr_full",
    "ab_psnr",
    "ssim224",
    "delta_e2000",
    "colourfulness",
    "colourfulness_ratio",
    "auc",
    "auc_rebalanced",
)
TITLES = {
    "psnr224": "PSNR 224² (dB)",
    "psnr256": "PSNR 256² (dB)",
    "psnr_full": "PSNR full size (dB)",
    "ab_psnr": "ab-PSNR, peak 255 (dB)",
    "ssim224": "SSIM",
    "delta_e2000": "ΔE2000",
    "colourfulness": "Colourfulness",
    "colourfulness_ratio": "Colourfulness / truth",
    "auc": "AuC",
    "auc_rebalanced": "AuC rebalanced",
    "lpips": "LPIPS (AlexNet, 256²)",
}
# the direction that is better; colourfulness has none: the truth's own is the aim
BETTER = dict.fromkeys(METRICS, 1) | {
    "delta_e2000": -1,
    "colourfulness": 0,
    "colourfulness_ratio": 0,
}
CAPTION = (
    "psnr224 is the official ChromaGAN definition: truth and full-size output squashed to 224×224 "
    "(Pillow bicubic), 8-bit RGB rebuilt from the true L and the predicted ab, PSNR per image "
    f"(at most {metrics.PSNR_CAP:.2f} dB, the rounding limit), mean over images. psnr256: the same "
    "at 256×256; psnr_full: unscaled; ab_psnr: the ab planes at 224² with peak 255; SSIM, ΔE2000 "
    "and AuC at 224²; colourfulness: Hasler–Süsstrunk, signed, at 256²; its ratio to the truth and "
    f"every 'colour' column only over photographs with mean truth chroma of at least {COLOURED:g}."
)


def measure(truth: Rgb8, output: Rgb8, luminance: Luminance = "true") -> dict[str, float]:
    """Every metric of one output, plus `truth_chroma` and the `psnr224_grey` of no colour at all.

    `luminance` "true" judges the chroma alone (the official definition); "own" compares the picture
    as the tool delivered it, its changes of brightness included. A ratio to a colourless truth is
    NaN: it has no meaning.
    """
    if truth.shape != output.shape:
        raise ValueError(f"the truth is {truth.shape}, the output {output.shape}")
    small = _Pair(metrics.squash(truth, 224), metrics.squash(output, 224), luminance)
    middle = _Pair(metrics.squash(truth, 256), metrics.squash(output, 256), luminance)
    full = small if small.truth is truth else _Pair(truth, output, luminance)
    truth_ab, ab = small.truth_lab[1:], small.lab[1:]
    chroma = metrics.mean_chroma(truth_ab)
    colour, truth_colour = (metrics.colourfulness(x) for x in (middle.picture, middle.truth))
    grey = grey_of(small.truth_lab[0])
    return {
        "truth_chroma": chroma,
        "psnr224_grey": _capped(metrics.psnr(small.truth, grey)),
        "psnr224": _capped(metrics.psnr(small.truth, small.picture)),
        "psnr256": _capped(metrics.psnr(middle.truth, middle.picture)),
        "psnr_full": _capped(metrics.psnr(truth, full.picture)),
        "ab_psnr": min(metrics.ab_psnr(truth_ab, ab), metrics.PSNR_CAP),
        "ssim224": metrics.ssim(small.truth, small.picture),
        "delta_e2000": float(delta_e2000(small.truth_lab, small.lab).mean(dtype=np.float64)),
        "colourfulness": colour,
        "colourfulness_ratio": colour / truth_colour if chroma >= COLOURED else math.nan,
        "auc": metrics.auc(truth_ab, ab),
        "auc_rebalanced": metrics.auc(truth_ab, ab, rebalancing_weights(truth_ab)),
    }


class _Pair:
    """Truth and output in one size, with the Lab planes of both and the picture to compare."""

    def __init__(self, truth: Rgb8, output: Rgb8, luminance: Luminance) -> None:
        self.truth = truth
        self.truth_lab = rgb_to_lab(truth)
        output_lab = rgb_to_lab(output)
        if luminance == "own":
            self.lab: Floats = output_lab
            self.picture: Rgb8 = output
        else:
            self.lab = np.concatenate((self.truth_lab[:1], output_lab[1:]))
            self.picture = metrics.rebuild(self.truth_lab, output_lab)


def _capped(decibel: float) -> float:
    return min(decibel, metrics.PSNR_CAP)
