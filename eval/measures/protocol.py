"""What is measured on one photograph, in which size, under which name, and how means are given."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from chromagan.color import Floats, Rgb8, delta_e_2000, grey8, rgb8_to_lab
from chromagan.images.pixels import squash
from eval.measures import quality
from eval.measures.failures import chroma_products, psnr_at_factors, region_sums

Values = npt.NDArray[np.float64]
Luminance = Literal["true", "own"]

PROTOCOL = 2  # counts up when a number's meaning changes: older rows are then measured again
COLOURED = 4.0  # mean chroma from which a truth counts as a colour photograph
DRAWS = 2000
_CHUNK = 100


@dataclass(frozen=True)
class Metric:
    """How a number is named and printed, and which direction is better (0: the truth's own)."""

    title: str
    short: str
    better: int = 1
    digits: int = 2


METRICS = {
    "psnr224": Metric("PSNR 224² (dB)", "psnr224"),
    "psnr256": Metric("PSNR 256² (dB)", "psnr256"),
    "psnr_full": Metric("PSNR full size (dB)", "full size"),
    "ab_psnr": Metric("ab-PSNR, peak 255 (dB)", "ab-PSNR"),
    "ssim224": Metric("SSIM", "SSIM", digits=3),
    "delta_e2000": Metric("ΔE2000", "ΔE2000", better=-1),
    "colourfulness": Metric("Colourfulness", "CF", better=0),
    "colourfulness_ratio": Metric("Colourfulness / truth", "CF ratio", better=0),
    "colourfulness_absolute": Metric("Colourfulness, absolute", "CF abs.", better=0),
    "auc": Metric("AuC", "AuC", digits=3),
    "auc_rebalanced": Metric("AuC rebalanced", "AuC reb.", digits=3),
}
ON_REQUEST = {
    "lpips": Metric("LPIPS (AlexNet, 256²)", "LPIPS", better=-1, digits=3),
    "lpips_vgg": Metric("LPIPS (VGG-16, 256²)", "LPIPS VGG", better=-1, digits=3),
}
CAPTION = (
    "psnr224 is the official ChromaGAN definition: truth and full-size output squashed to 224×224 "
    "(Pillow bicubic), 8-bit RGB rebuilt from the true L and the predicted ab, PSNR per image "
    f"(at most {quality.PSNR_CAP:.2f} dB, the rounding limit), mean over images. psnr256: the same "
    "at 256×256; psnr_full: unscaled; ab_psnr: the ab planes at 224² with peak 255; SSIM, ΔE2000 "
    "and AuC at 224²; colourfulness: Hasler–Süsstrunk, signed, at 256² (absolute: the opponents' "
    "absolute values, as NTIRE, DDColor and CT2 report it); its ratio to the truth and "
    f"every 'colour' column only over photographs with mean truth chroma of at least {COLOURED:g}."
)


def measure(truth: Rgb8, output: Rgb8, luminance: Luminance = "true") -> dict[str, Any]:
    """Every metric of one output, plus `truth_chroma` and the `psnr224_grey` of no colour at all.

    `regions`, `chroma_products` and `psnr_at_factors` are what the report pools over pictures to
    say where a method fails and how vivid it should be.

    `luminance` "true" judges the chroma alone (the official definition); "own" compares the picture
    as the tool delivered it, its changes of brightness included. A ratio to a colourless truth is
    NaN: it has no meaning.
    """
    if truth.shape != output.shape:
        raise ValueError(f"the truth is {truth.shape}, the output {output.shape}")
    small = Pair(squash(truth, 224), squash(output, 224), luminance)
    middle = Pair(squash(truth, 256), squash(output, 256), luminance)
    full = small if small.truth is truth else Pair(truth, output, luminance)
    truth_ab, ab = small.truth_lab[1:], small.lab[1:]
    chroma = quality.mean_chroma(truth_ab)
    colour, truth_colour = (quality.colourfulness(x) for x in (middle.picture, middle.truth))
    return {
        "truth_chroma": chroma,
        "psnr224_grey": quality.capped_psnr(small.truth, grey8(small.truth_lab[0])),
        "psnr224": quality.capped_psnr(small.truth, small.picture),
        "psnr256": quality.capped_psnr(middle.truth, middle.picture),
        "psnr_full": quality.capped_psnr(truth, full.picture),
        "ab_psnr": min(quality.ab_psnr(truth_ab, ab), quality.PSNR_CAP),
        "ssim224": quality.ssim(small.truth, small.picture),
        "delta_e2000": float(delta_e_2000(small.truth_lab, small.lab).mean(dtype=np.float64)),
        "colourfulness": colour,
        "colourfulness_ratio": colour / truth_colour if chroma >= COLOURED else math.nan,
        "colourfulness_absolute": quality.colourfulness(middle.picture, absolute=True),
        "auc": quality.auc(truth_ab, ab),
        "auc_rebalanced": quality.auc(truth_ab, ab, quality.rebalancing_weights(truth_ab)),
        "chroma_products": chroma_products(truth_ab, ab),
        "psnr_at_factors": psnr_at_factors(small.truth, small.truth_lab, ab),
        "regions": {
            name: [float(f"{x:.7g}") for x in sums.as_list()]
            for name, sums in region_sums(small.truth_lab, small.lab).items()
        },
    }


def measure_gain(truth: Rgb8, output: Rgb8) -> float:
    """psnr224 of an output over that of no colour at all, in dB."""
    pair = Pair(squash(truth, 224), squash(output, 224), "true")
    grey = grey8(pair.truth_lab[0])
    return quality.capped_psnr(pair.truth, pair.picture) - quality.capped_psnr(pair.truth, grey)


class Pair:
    """Truth and output in one size, with the Lab planes of both and the picture to compare."""

    def __init__(self, truth: Rgb8, output: Rgb8, luminance: Luminance) -> None:
        self.truth = truth
        self.truth_lab = rgb8_to_lab(truth)
        self.lab: Floats = rgb8_to_lab(output)
        self.picture = output
        if luminance == "true":
            self.picture = quality.rebuild(self.truth_lab, self.lab[1:])
            self.lab[:1] = self.truth_lab[:1]


@dataclass(frozen=True)
class Estimate:
    """A mean over images: `se` = sd / sqrt(n), 95 % bootstrap interval, `n` images that count."""

    mean: float
    se: float
    low: float
    high: float
    n: int
    median: float

    def as_dict(self) -> dict[str, float | None]:
        """The numbers by name, for JSON."""
        return {name: finite(value) for name, value in vars(self).items()}


def estimate(values: npt.ArrayLike, seed: int = 0, draws: int = DRAWS) -> Estimate:
    """Mean of per-image `values` (NaN = not defined for that image) with its uncertainty.

    The interval is the percentile bootstrap: images drawn with replacement, 2.5 % and 97.5 %
    quantiles of the mean. All calls with one seed and one number of images draw the same images,
    so estimates of two methods, and of their difference, belong together (paired).
    """
    data: Values = np.asarray(values, np.float64)
    present = ~np.isnan(data)
    count = int(present.sum())
    if count == 0:
        return Estimate(math.nan, math.nan, math.nan, math.nan, 0, math.nan)
    kept = data[present]
    mean = float(kept.mean())
    if count == 1:
        return Estimate(mean, math.nan, math.nan, math.nan, 1, mean)
    low, high = np.nanquantile(_bootstrap_means(data, present, seed, draws), (0.025, 0.975))
    error = float(kept.std(ddof=1)) / math.sqrt(count)
    return Estimate(mean, error, float(low), float(high), count, float(np.median(kept)))


def paired_difference(first: npt.ArrayLike, second: npt.ArrayLike, seed: int = 0) -> Estimate:
    """`estimate` of first - second, image by image."""
    return estimate(np.asarray(first, np.float64) - np.asarray(second, np.float64), seed)


def _bootstrap_means(data: Values, present: npt.NDArray[np.bool_], seed: int, draws: int) -> Values:
    filled = np.where(present, data, 0.0)
    generator = np.random.default_rng(seed)
    means = []
    for start in range(0, draws, _CHUNK):  # in chunks, so that memory stays small
        drawn = generator.integers(0, data.size, (min(_CHUNK, draws - start), data.size))
        count = present[drawn].sum(axis=1)
        total = filled[drawn].sum(axis=1)
        means.append(np.divide(total, count, out=np.full(len(drawn), np.nan), where=count > 0))
    return np.concatenate(means)


def finite(value: float) -> float | None:
    """For JSON: what does not exist is null."""
    return value if math.isfinite(value) else None
