"""The paper's losses as pure functions, and the two objectives as dicts of named terms.

Shapes: B images, H x W working size, K classes. Codes in [0, 1] (see `chromagan.color`): the
paper's weights 0.1 and 0.003 refer to that scale.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from chromagan.config import Compat, Criterion, LossWeights

CriticFunction = Callable[[Tensor, Tensor], Tensor]

HUBER_DELTA = 0.02
"""Where the robust alternative to eq. (2) turns from square to linear, in ab code (5 CIE units)."""

RMS_UNIT = (3 * 224**2) ** 0.5
"""Euclidean units in one unit of root-mean-square distance between (L, a, b) pictures of 224 px."""


def l2_color(ab_hat_B2HW: Tensor, ab_B2HW: Tensor) -> Tensor:
    """L_e, eq. (2): squared error of (a, b), mean over pixels, channels and images."""
    return F.mse_loss(ab_hat_B2HW, ab_B2HW)


def huber_color(ab_hat_B2HW: Tensor, ab_B2HW: Tensor) -> Tensor:
    """A robust L_e: equal to eq. (2) for small errors, linear beyond `HUBER_DELTA`.

    It follows the median where eq. (2) follows the mean of the colours an object may have, and so
    fades less. Twice torch's Huber loss, so that small errors cost the same as in eq. (2).
    """
    return 2 * F.huber_loss(ab_hat_B2HW, ab_B2HW, delta=HUBER_DELTA)


def log_color(ab_hat_B2HW: Tensor, ab_B2HW: Tensor, eps: float) -> Tensor:
    """A loss per picture: eps log(1 + mse / eps), mean over images; what mean PSNR measures.

    Equal to eq. (2) for errors far below `eps`. A picture whose colours cannot be known weighs
    less: its gradient is that of eq. (2) times 1 / (1 + mse / eps). At the usual error of 0.003
    and `eps` 3e-4 that is an eleventh, so beside it lambda_g and lambda_s act as if they were
    eleven times larger: divide them by as much to keep the balance they have beside eq. (2).
    """
    mse_B = (ab_hat_B2HW - ab_B2HW).square().mean(dim=(1, 2, 3))
    return eps * (mse_B / eps).log1p().mean()


def color_loss(ab_hat_B2HW: Tensor, ab_B2HW: Tensor, criterion: Criterion, eps: float) -> Tensor:
    """L_e in the form asked for; `eps` is that of `log_color`."""
    match criterion:
        case "l2":
            return l2_color(ab_hat_B2HW, ab_B2HW)
        case "huber":
            return huber_color(ab_hat_B2HW, ab_B2HW)
        case "log":
            return log_color(ab_hat_B2HW, ab_B2HW, eps)


def kl_classes(class_logits_BK: Tensor, teacher_probs_BK: Tensor) -> Tensor:
    """L_s, eq. (3): KL(y_v || G2(L)) in nats, mean over images. y_v is the teacher's softmax."""
    return F.kl_div(
        F.log_softmax(class_logits_BK.float(), dim=1),
        teacher_probs_BK.float(),
        reduction="batchmean",
    )


def wasserstein_gap(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E[D(real)] - E[D(fake)], the first two terms of eq. (4): mean over patches and images."""
    return real_scores.mean() - fake_scores.mean()


def gradient_penalty(
    critic: CriticFunction,
    l_B1HW: Tensor,
    real_B2HW: Tensor,
    fake_B2HW: Tensor,
    mix_B111: Tensor,
    compat: Compat,
) -> Tensor:
    """The last term of eq. (4): (|grad D| - 1)^2 at random mixtures of real and fake, mean over B.

    `mix_B111` holds the mixing shares in [0, 1].

    `official`: as the released code: the gradient of the *sum* of the patch scores with respect to
    ab alone.
    `paper`: the gradient of the *mean* score, the reduction that the critic's loss uses, with
    respect to everything the critic sees, measured against the root-mean-square distance between
    pictures. Against the plain Euclidean distance the constraint would depend on the resolution
    and let the critic pull 400 times harder than L_e does at 224 px; against the mean distance
    both terms are means over pixels and the weights keep their meaning at any size.
    """
    ab = (mix_B111 * real_B2HW + (1 - mix_B111) * fake_B2HW).detach().requires_grad_()
    if compat == "official":
        (grad,) = torch.autograd.grad(critic(l_B1HW, ab).sum(), ab, create_graph=True)
        norm = grad.flatten(1).norm(dim=1)
    else:
        luminance = l_B1HW.detach().clone().requires_grad_()
        score = critic(luminance, ab).mean(dim=(1, 2, 3)).sum()
        grads = torch.autograd.grad(score, (luminance, ab), create_graph=True)
        grad = torch.cat(grads, dim=1).flatten(1)
        norm = grad.norm(dim=1) * grad.shape[1] ** 0.5
    penalty: Tensor = ((norm - 1) ** 2).mean()
    return penalty


def generator_losses(
    *,
    ab_hat: Tensor,
    ab: Tensor,
    class_logits: Tensor | None,
    teacher_probs: Tensor | None,
    fake_scores: Tensor | None,
    weights: LossWeights,
    criterion: Criterion = "l2",
    log_eps: float = 3e-4,
) -> dict[str, Tensor]:
    """The generator's terms that have a weight: `color`, `classes`, `adversarial`, and `total`.

    Without `fake_scores` nobody opposes it, as in a phase of the generator alone.
    """
    losses = {"color": color_loss(ab_hat, ab, criterion, log_eps)}
    if weights.classes:
        assert class_logits is not None and teacher_probs is not None
        losses["classes"] = kl_classes(class_logits, teacher_probs)
    if weights.adversarial and fake_scores is not None:
        losses["adversarial"] = -fake_scores.mean()
    losses["total"] = sum(
        (getattr(weights, name) * value for name, value in losses.items()), torch.zeros(())
    )
    return losses


def penalty_weight(weights: LossWeights, compat: Compat) -> float:
    """The penalty's weight in the unit of the scores.

    `official`: as it is, for Euclidean distances. `paper` scores a unit of RMS distance, which is
    sqrt(3 * 224^2) = 388 Euclidean units at the paper's size: the gap is as many times smaller, and
    so must be the weight, or the critic works at nothing but its slope (measured with 10: after 45
    steps the gap was still 0.000).
    """
    return weights.gradient_penalty / (RMS_UNIT if compat == "paper" else 1.0)


def critic_losses(
    *,
    real_scores: Tensor,
    fake_scores: Tensor,
    penalty: Tensor,
    weights: LossWeights,
    compat: Compat,
) -> dict[str, Tensor]:
    """The critic's terms: `gap` (which it widens), `penalty`, and `critic`, the objective."""
    gap = wasserstein_gap(real_scores, fake_scores)
    return {
        "gap": gap,
        "penalty": penalty,
        "critic": penalty_weight(weights, compat) * penalty - gap,
    }


def color_gradient(color: Tensor, ab_hat_B2HW: Tensor, weights: LossWeights) -> Tensor:
    """What the weighted L_e alone pulls at the predicted colours; the graph stays usable."""
    (pull,) = torch.autograd.grad(weights.color * color, ab_hat_B2HW, retain_graph=True)
    return pull


def adversarial_share(color_pull_B2HW: Tensor, total_pull_B2HW: Tensor) -> Tensor:
    """The critic's part in what moves the colours: |L_g's pull| over the sum of both norms, 0 to 1.

    Losses cannot tell it, since L_g has an arbitrary offset; gradients at the output can. L_s does
    not act there, so what L_e does not explain is L_g's.
    """
    adversarial = (total_pull_B2HW - color_pull_B2HW).norm()
    share: Tensor = adversarial / (adversarial + color_pull_B2HW.norm()).clamp_min(1e-20)
    return share
