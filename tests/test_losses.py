"""Equations (2) to (4) against closed forms and an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import rel_entr
from torch import Tensor

from chromagan.config import VARIANTS, Compat, LossWeights
from chromagan.model import Critic
from chromagan.training import losses


def linear_critic(slope: float) -> losses.CriticFunction:
    """Scores proportional to the mean of ab: its slopes are known exactly."""

    def critic(luminance: Tensor, ab: Tensor) -> Tensor:
        patches = torch.ones(ab.shape[0], 1, 4, 4)
        return slope * ab.mean(dim=(1, 2, 3)).view(-1, 1, 1, 1) * patches + 0 * luminance.mean()

    return critic


def test_l2_is_the_mean_squared_error() -> None:
    a, b = torch.rand(2, 2, 5, 5), torch.rand(2, 2, 5, 5)
    assert torch.isclose(losses.l2_color(a, b), torch.tensor(np.mean((a - b).numpy() ** 2)))


def test_huber_is_l2_when_close_and_linear_when_far() -> None:
    zero = torch.zeros(1, 2, 1, 1)
    small = torch.full_like(zero, losses.HUBER_DELTA / 2)
    assert torch.isclose(losses.huber_color(small, zero), losses.l2_color(small, zero))
    far = [losses.huber_color(zero + x, zero).item() for x in (0.5, 0.6, 0.7)]
    assert far[2] - far[1] == pytest.approx(far[1] - far[0], rel=1e-4)


def test_the_logarithmic_loss_is_per_picture() -> None:
    """By hand, and with the gradient it documents: eq. (2)'s over 1 + mse / eps."""
    a, b, eps = torch.rand(3, 2, 5, 5), torch.rand(3, 2, 5, 5), 0.02
    mse = ((a - b).numpy().astype(np.float64) ** 2).mean(axis=(1, 2, 3))
    expected = (eps * np.log(1 + mse / eps)).mean()
    assert losses.log_color(a, b, eps).item() == pytest.approx(expected, rel=1e-5)
    pulls = []
    for criterion in ("log", "l2"):
        ab_hat = a.clone().requires_grad_()
        losses.color_loss(ab_hat, b, criterion, eps).backward()  # type: ignore[arg-type]
        assert ab_hat.grad is not None
        pulls.append(ab_hat.grad.flatten(1).norm(dim=1).numpy())
    np.testing.assert_allclose(pulls[0], pulls[1] / (1 + mse / eps), rtol=1e-4)
    near = b + 1e-4
    assert losses.log_color(near, b, eps).item() == pytest.approx(1e-8, rel=1e-2)


def test_kl_agrees_with_scipy() -> None:
    logits, teacher = torch.randn(3, 10), torch.randn(3, 10).softmax(1)
    student = logits.softmax(1).numpy()
    expected = rel_entr(teacher.numpy(), student).sum(axis=1).mean()
    assert losses.kl_classes(logits, teacher).item() == pytest.approx(expected, rel=1e-5)


def test_kl_is_zero_for_the_teacher_itself() -> None:
    logits = torch.randn(3, 10)
    assert losses.kl_classes(logits, logits.softmax(1)).abs() < 1e-6


def test_the_gap_is_the_difference_of_means() -> None:
    assert losses.wasserstein_gap(torch.tensor([1.0, 3.0]), torch.tensor([0.5, 0.5])) == 1.5


@pytest.mark.parametrize("size", [8, 16])
def test_the_papers_penalty_means_the_same_at_any_size(size: int) -> None:
    """A score s * mean(ab) has slope s * sqrt(2/3) per unit of RMS distance over (L, a, b)."""
    real, fake = torch.rand(2, 2, size, size), torch.rand(2, 2, size, size)
    luminance, mix = torch.rand(2, 1, size, size), torch.rand(2, 1, 1, 1)
    slope = 3.0
    penalty = losses.gradient_penalty(linear_critic(slope), luminance, real, fake, mix, "paper")
    # |grad|_2 = slope / sqrt(n_ab), times sqrt(n_all): n_all / n_ab = 3 / 2
    assert penalty.item() == pytest.approx((slope * 1.5**0.5 - 1) ** 2, rel=1e-4)


def test_the_official_penalty_takes_the_sum_of_patches_and_ab_alone() -> None:
    real, fake = torch.rand(2, 2, 8, 8), torch.rand(2, 2, 8, 8)
    luminance, mix = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 1, 1)
    penalty = losses.gradient_penalty(linear_critic(3.0), luminance, real, fake, mix, "official")
    norm = 3.0 * 16 / 128**0.5  # 16 patches, each with gradient 3 / 128 per entry
    assert penalty.item() == pytest.approx((norm - 1) ** 2, rel=1e-4)


def test_the_penalty_trains_the_critic() -> None:
    torch.manual_seed(0)
    critic = Critic()
    penalty = losses.gradient_penalty(
        critic,
        torch.rand(1, 1, 32, 32),
        torch.rand(1, 2, 32, 32),
        torch.rand(1, 2, 32, 32),
        torch.rand(1, 1, 1, 1),
        "paper",
    )
    penalty.backward()
    first = next(critic.parameters()).grad
    assert first is not None and first.abs().sum() > 0


def everything(weights: LossWeights) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return losses.generator_losses(
        ab_hat=torch.rand(2, 2, 4, 4),
        ab=torch.rand(2, 2, 4, 4),
        class_logits=torch.randn(2, 10),
        teacher_probs=torch.randn(2, 10).softmax(1),
        fake_scores=torch.randn(2, 1, 2, 2),
        weights=weights,
    )


@pytest.mark.parametrize(
    ("variant", "terms"),
    [
        ("full", {"color", "classes", "adversarial", "total"}),
        ("no-class", {"color", "adversarial", "total"}),
        ("no-gan", {"color", "classes", "total"}),
    ],
)
def test_a_variant_is_a_row_of_weights(variant: str, terms: set[str]) -> None:
    named = everything(VARIANTS[variant])
    assert set(named) == terms
    weights = {"color": 1.0, "classes": 0.003, "adversarial": 0.1}
    expected = sum(weights[k] * v.item() for k, v in named.items() if k != "total")
    assert named["total"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("compat", "weight"), [("official", 10.0), ("paper", 10 / 387.98)])
def test_the_critic_widens_the_gap_and_pays_the_penalty(compat: Compat, weight: float) -> None:
    terms = losses.critic_losses(
        real_scores=torch.tensor([2.0]),
        fake_scores=torch.tensor([0.5]),
        penalty=torch.tensor(0.25),
        weights=LossWeights(gradient_penalty=10.0),
        compat=compat,
    )
    assert terms["gap"] == 1.5
    assert terms["critic"].item() == pytest.approx(weight * 0.25 - 1.5, rel=1e-5)


def test_both_units_play_the_same_game() -> None:
    """The best linear critic is as much steeper than 1 in RMS units as in Euclidean ones.

    It maximises slope * distance - weight * (slope - 1)^2: slope = 1 + distance / (2 * weight).
    """
    weights, rms = LossWeights(), 0.05
    steeper = [
        distance / (2 * losses.penalty_weight(weights, compat))
        for compat, distance in (("paper", rms), ("official", rms * (3 * 224 * 224) ** 0.5))
    ]
    assert steeper[0] == pytest.approx(steeper[1])


def test_the_critics_share_of_the_pull_is_that_of_the_slopes() -> None:
    """L_e pulls every value by 2 d / N, a linear critic by 0.1 s / N: the share follows."""
    ab, luminance = torch.rand(2, 2, 8, 8), torch.rand(2, 1, 8, 8)
    ab_hat = (ab + 0.25).requires_grad_()
    weights = VARIANTS["no-class"]
    scores = linear_critic(slope=5.0)(luminance, ab_hat)
    terms = losses.generator_losses(
        ab_hat=ab_hat,
        ab=ab,
        class_logits=None,
        teacher_probs=None,
        fake_scores=scores,
        weights=weights,
    )
    pull = losses.color_gradient(terms["color"], ab_hat, weights)
    (total,) = torch.autograd.grad(terms["total"], ab_hat)
    share = losses.adversarial_share(pull, total)
    assert share.item() == pytest.approx(0.1 * 5 / (0.1 * 5 + 2 * 0.25), rel=1e-4)
    assert losses.adversarial_share(pull, pull).item() == 0
