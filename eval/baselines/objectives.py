"""The training losses that the compared systems' papers state, as pure functions.

B pictures, H×W pixels; ab in CIE units unless stated; every loss is a mean over pictures.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from eval.baselines.larsson import BINS, GRID_STEP, hue_and_chroma, pick
from eval.baselines.zhang16 import COUNT, bin_centres

IIZUKA_CLASS_WEIGHT = 1 / 300
LARSSON_HUE_WEIGHT = 5.0
LARSSON_WINDOW = 7
ISOLA_L1_WEIGHT = 100.0
GREY_LIMIT = 5.0  # Zhang 2016: a picture with no |a| or |b| above this does not count


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


def iizuka_colour(sigma: Tensor, ab: Tensor) -> Tensor:
    """Iizuka et al. 2016, colour term: squared error of (ab / 100 + 1) / 2, per value."""
    return F.mse_loss(sigma, (ab / 100 + 1) / 2)


def soft_cross_entropy(logits: Tensor, probabilities: Tensor) -> Tensor:
    """-Σ p log q in nats; with one-hot p the class term of Iizuka et al. 2016."""
    return -(probabilities * logits.log_softmax(dim=1)).sum(dim=1).mean()


def local_histograms(values: Tensor) -> Tensor:
    """Values in [0, 1], (B, H, W) -> (B, 32, H, W): shares of the bins in the 7×7 around a pixel.

    Windows are cut at the border.
    """
    index = (values * BINS).long().clamp(0, BINS - 1)
    one_hot = F.one_hot(index, BINS).permute(0, 3, 1, 2).to(values)
    pad = LARSSON_WINDOW // 2
    return F.avg_pool2d(one_hot, LARSSON_WINDOW, 1, pad, count_include_pad=False)


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


def cgan_generator(fake_scores: Tensor, ab_hat: Tensor, ab: Tensor) -> tuple[Tensor, Tensor]:
    """Isola et al. 2017, eq. 4: the adversarial term and L1 of ab / 110; objective: sum, L1 × 100.

    The generator maximises log D instead of minimising log(1 - D), as the paper says.
    """
    adversarial = F.binary_cross_entropy_with_logits(fake_scores, torch.ones_like(fake_scores))
    return adversarial, F.l1_loss(ab_hat / 110, ab / 110)


def cgan_discriminator(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Isola et al. 2017, eq. 1 for the discriminator, halved to slow it down (§3.3)."""
    real = F.binary_cross_entropy_with_logits(real_scores, torch.ones_like(real_scores))
    fake = F.binary_cross_entropy_with_logits(fake_scores, torch.zeros_like(fake_scores))
    return (real + fake) / 2
